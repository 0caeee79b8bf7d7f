#include "models/bert_layers.h"

#include <algorithm>
#include <cmath>

#include "base/require.h"
#include "nn/config.h"
#include "nn/recompute.h"

namespace mynah {
namespace {

BertConfig::Positions positions_of(const Json& c) {
  const std::string name = nn::config_string(c, "position_embedding_type", "absolute");
  if (name == "absolute") return BertConfig::Positions::absolute;
  if (name == "relative_key") return BertConfig::Positions::relative_key;
  if (name == "relative_key_query") return BertConfig::Positions::relative_key_query;
  fail(ErrorCode::failure, "config.json: position_embedding_type is \"{}\", expected absolute, relative_key or relative_key_query", name);
}

}  // namespace

BertConfig::BertConfig(const Json& c, bool may_decode)
    : vocab_size(nn::config_int(c, "vocab_size", 30522)),
      hidden_size(nn::config_int(c, "hidden_size", 768)),
      intermediate_size(nn::config_int(c, "intermediate_size", 3072)),
      num_hidden_layers(nn::config_int(c, "num_hidden_layers", 12, 1, 10000)),
      num_attention_heads(nn::config_int(c, "num_attention_heads", 12, 1, 100000)),
      max_position_embeddings(nn::config_int(c, "max_position_embeddings", 512)),
      type_vocab_size(nn::config_int(c, "type_vocab_size", 2, 0)),
      pad_token_id(static_cast<int32_t>(nn::config_int(c, "pad_token_id", 0, -1))),
      layer_norm_eps(static_cast<float>(nn::config_number(c, "layer_norm_eps", 1e-12))),
      initializer_range(static_cast<float>(nn::config_number(c, "initializer_range", 0.02))),
      hidden_dropout_prob(nn::dropout_rate(c, "hidden_dropout_prob", 0.1)),
      attention_probs_dropout_prob(nn::dropout_rate(c, "attention_probs_dropout_prob", 0.1)),
      hidden_act(activation(nn::config_string(c, "hidden_act", "gelu"))),
      position_embedding_type(positions_of(c)) {
  require(hidden_size % num_attention_heads == 0, "config.json: hidden_size {} is not a multiple of num_attention_heads {}", hidden_size,
          num_attention_heads);
  require(may_decode || !nn::config_bool(c, "is_decoder", false), "config.json: is_decoder is true; this family is supported as an encoder only");
}

BertEmbeddings::BertEmbeddings(const BertConfig& c, const nn::Weights& w, int64_t width, int32_t position_padding_id)
    : word(w.matrix("word_embeddings", c.vocab_size, width, c.init())),
      position((c.trains_positions ? w : w.frozen()).tensor("position_embeddings.weight", {c.max_position_embeddings, width}, c.init())),
      norm(w, "LayerNorm", width, c.layer_norm_eps),
      padding_id(c.pad_token_id),
      position_padding(position_padding_id),
      absolute(c.position_embedding_type == BertConfig::Positions::absolute),
      drop(c.hidden_dropout_prob) {
  if (c.type_vocab_size > 0) token_type = w.tensor("token_type_embeddings.weight", {c.type_vocab_size, width}, c.init());
}

Tensor BertEmbeddings::forward(const nn::TokenBatch& batch) const {
  Tensor x = word.lookup(batch.ids, padding_id);
  require(token_type.defined() || batch.token_types.empty(), "forward: token_type_ids are given, but this model has no token types");
  if (token_type.defined()) x = x + embedding(token_type, batch.token_types.empty() ? std::vector<int32_t>(batch.ids.size(), 0) : batch.token_types);
  if (absolute) x = x + embedding(position, batch.positions, position_padding);
  return nn::dropout(norm(x), drop);
}

BertCross::BertCross(const BertConfig& c, const nn::Weights& w, int64_t memory_size)
    : heads(c.num_attention_heads),
      head_dim(c.hidden_size / c.num_attention_heads),
      drop(c.hidden_dropout_prob),
      attention_drop(c.attention_probs_dropout_prob),
      query(w / "self", "query", c.hidden_size, c.hidden_size, c.init()),
      key_value(w / "self", {"key", "value"}, memory_size, {c.hidden_size, c.hidden_size}, c.init()),
      out(w / "output", "dense", c.hidden_size, c.hidden_size, c.init()),
      norm(w / "output", "LayerNorm", c.hidden_size, c.layer_norm_eps) {}

std::pair<Tensor, Tensor> BertCross::keys_values(const Tensor& rows) const {
  const Tensor both = key_value(rows);
  const int64_t size = heads * head_dim;
  return {nn::split_heads(narrow(both, 1, 0, size), rows.size(0), heads, head_dim), nn::split_heads(narrow(both, 1, size, size), rows.size(0), heads, head_dim)};
}

Tensor BertCross::forward(const Tensor& x, const nn::TokenBatch& batch, int layer) const {
  const Tensor q = nn::split_heads(query(x), x.size(0), heads, head_dim);
  const Tensor y = nn::attend_memory(q, batch, layer, heads, [&](const Tensor& rows) { return keys_values(rows); }, {}, attention_drop);
  return norm(nn::dropout(out(reshape(y, {x.size(0), heads * head_dim})), drop) + x);
}

BertLayer::BertLayer(const BertConfig& c, const nn::Weights& w, const BertLayerNames& names, const BertDecoding& decoding)
    : heads(c.num_attention_heads),
      head_dim(c.hidden_size / c.num_attention_heads),
      drop(c.drops_attention_output ? c.hidden_dropout_prob : 0),
      output_drop(c.drops_output ? c.hidden_dropout_prob : 0),
      attention_drop(c.attention_probs_dropout_prob),
      qkv(w, {names.query, names.key, names.value}, c.hidden_size, {c.hidden_size, c.hidden_size, c.hidden_size}, c.init()),
      attention_out(w, names.attention_out, c.hidden_size, c.hidden_size, c.init()),
      attention_norm(w, names.attention_norm, c.hidden_size, c.layer_norm_eps),
      intermediate(w, names.intermediate, c.hidden_size, c.intermediate_size, c.init()),
      output(w, names.output, c.intermediate_size, c.hidden_size, c.init()),
      output_norm(w, names.output_norm, c.hidden_size, c.layer_norm_eps),
      act(c.hidden_act),
      key_distance(c.position_embedding_type == BertConfig::Positions::relative_key_query),
      distance_scale(1 / std::sqrt(static_cast<float>(head_dim))),
      causal(decoding.causal) {
  if (decoding.memory_size > 0) cross.emplace(c, w / "crossattention", decoding.memory_size);
  if (c.position_embedding_type != BertConfig::Positions::absolute)
    distance = (w / names.distance).tensor("weight", {2 * c.max_position_embeddings - 1, head_dim}, c.init());
}

// [S,H,T,T]: the embedding of each pair's distance times its query (and its key).
Tensor BertLayer::distance_scores(const Tensor& q, const Tensor& k, const nn::TokenBatch& batch) const {
  const int64_t longest = batch.longest(), reach = distance.size(0) / 2 + 1;
  require(longest <= reach, "forward: a row has {} tokens, expected at most {}", longest, reach);
  std::vector<int64_t> left, right;  // column of (row, other), other as key and as query
  for (int64_t i = 0; i < longest; ++i)
    for (int64_t j = 0; j < longest; ++j) {
      left.push_back(i - j + reach - 1);
      right.push_back(j - i + reach - 1);
    }
  const auto scores = [&](const Tensor& x, const std::vector<int64_t>& columns) {
    const Tensor products = matmul(transpose(nn::padded_rows(x, batch), 1, 2), transpose(distance, 0, 1));  // [S,H,T,2R-1]
    return gather_columns(products, columns, longest);
  };
  Tensor bias = scores(q, left);
  if (key_distance) bias = bias + transpose(scores(k, right), 2, 3);
  return bias * distance_scale;
}

Tensor BertLayer::forward(const Tensor& x, const nn::TokenBatch& batch, int layer, const AttentionConfig& attention, const Bias& bias, bool is_last) const {
  const int64_t n = x.size(0), size = heads * head_dim;
  const Tensor all = qkv(x);
  const auto part = [&](int64_t i) { return nn::split_heads(narrow(all, 1, i * size, size), n, heads, head_dim); };
  Tensor q = part(0);
  const Tensor k = part(1);
  AttentionConfig config = attention;
  config.causal = causal;
  if (distance.defined()) config.bias = distance_scores(q, k, batch);
  if (bias) config.bias = bias(q, k);
  const Tensor attended = reshape(nn::attend(q, k, part(2), batch, layer, config, attention_drop), {n, size});
  Tensor y = attention_norm(nn::dropout(attention_out(nn::read_rows(attended, batch, is_last)), drop) + nn::read_rows(x, batch, is_last));
  if (cross && (batch.memory.defined() || !batch.memory_caches.empty())) y = cross->forward(y, batch, layer);
  return output_norm(nn::dropout(output(activate(intermediate(y), act)), output_drop) + y);
}

BertStack::BertStack(const BertConfig& c, const nn::Weights& w, const BertLayerNames& names, const BertDecoding& decoding) {
  for (int64_t i = 0; i < c.num_hidden_layers; ++i) layers.emplace_back(c, w / "layer" / i, names, decoding);
}

Tensor BertStack::forward(Tensor x, const nn::TokenBatch& batch, std::vector<Tensor>* states, const AttentionConfig& attention) const {
  if (states) states->push_back(x);
  for (size_t i = 0; i < layers.size(); ++i) {
    const Tensor shared = attention.distance_bias;
    const bool is_last = !states && !layers[i].cross && i + 1 == layers.size();
    x = nn::layer(x, shared, batch, [&layer = layers[i], i, attention, is_last](const Tensor& in, const Tensor& bias, const nn::TokenBatch& b) {
      AttentionConfig config = attention;
      config.distance_bias = bias;
      return layer.forward(in, b, static_cast<int>(i), config, {}, is_last);
    });
    if (states) states->push_back(x);
  }
  return x;
}

}  // namespace mynah
