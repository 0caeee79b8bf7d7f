#include "models/bert_layers.h"

#include "base/require.h"
#include "nn/config.h"

namespace mynah {

BertConfig::BertConfig(const Json& c, double default_eps)
    : vocab_size(nn::config_int(c, "vocab_size", 30522)),
      hidden_size(nn::config_int(c, "hidden_size", 768)),
      intermediate_size(nn::config_int(c, "intermediate_size", 3072)),
      num_hidden_layers(nn::config_int(c, "num_hidden_layers", 12, 1, 10000)),
      num_attention_heads(nn::config_int(c, "num_attention_heads", 12, 1, 100000)),
      max_position_embeddings(nn::config_int(c, "max_position_embeddings", 512)),
      type_vocab_size(nn::config_int(c, "type_vocab_size", 2)),
      pad_token_id(static_cast<int32_t>(nn::config_int(c, "pad_token_id", 0, -1))),
      layer_norm_eps(static_cast<float>(nn::config_number(c, "layer_norm_eps", default_eps))),
      initializer_range(static_cast<float>(nn::config_number(c, "initializer_range", 0.02))),
      hidden_act(activation(nn::config_string(c, "hidden_act", "gelu"))) {
  require(hidden_size % num_attention_heads == 0, "config.json: hidden_size {} is not a multiple of num_attention_heads {}", hidden_size,
          num_attention_heads);
  const std::string positions = nn::config_string(c, "position_embedding_type", "absolute");
  require(positions == "absolute", "config.json: position_embedding_type is \"{}\", expected \"absolute\"", positions);
  require(!nn::config_bool(c, "is_decoder", false), "config.json: is_decoder is true; this family is supported as an encoder only");
}

BertEmbeddings::BertEmbeddings(const BertConfig& c, const nn::Weights& w, int64_t width, int32_t position_padding_id)
    : word(w.matrix("word_embeddings", c.vocab_size, width, c.init())),
      position(w.tensor("position_embeddings.weight", {c.max_position_embeddings, width}, c.init())),
      token_type(w.tensor("token_type_embeddings.weight", {c.type_vocab_size, width}, c.init())),
      norm(w, "LayerNorm", width, c.layer_norm_eps),
      padding_id(c.pad_token_id),
      position_padding(position_padding_id) {}

Tensor BertEmbeddings::forward(const nn::TokenBatch& batch) const {
  const std::vector<int32_t> zeros(batch.token_types.empty() ? batch.ids.size() : 0, 0);
  const Tensor types = embedding(token_type, batch.token_types.empty() ? zeros : batch.token_types);
  return norm(word.lookup(batch.ids, padding_id) + types + embedding(position, batch.positions, position_padding));
}

BertLayer::BertLayer(const BertConfig& c, const nn::Weights& w)
    : heads(c.num_attention_heads),
      head_dim(c.hidden_size / c.num_attention_heads),
      qkv(w / "attention" / "self", {"query", "key", "value"}, c.hidden_size, {c.hidden_size, c.hidden_size, c.hidden_size}, c.init()),
      attention_out(w / "attention" / "output", "dense", c.hidden_size, c.hidden_size, c.init()),
      attention_norm(w / "attention" / "output", "LayerNorm", c.hidden_size, c.layer_norm_eps),
      intermediate(w / "intermediate", "dense", c.hidden_size, c.intermediate_size, c.init()),
      output(w / "output", "dense", c.intermediate_size, c.hidden_size, c.init()),
      output_norm(w / "output", "LayerNorm", c.hidden_size, c.layer_norm_eps),
      act(c.hidden_act) {}

Tensor BertLayer::forward(const Tensor& x, const nn::TokenBatch& batch, int layer) const {
  const int64_t n = x.size(0), size = heads * head_dim;
  const Tensor all = qkv(x);
  const auto part = [&](int64_t i) { return nn::split_heads(narrow(all, 1, i * size, size), n, heads, head_dim); };
  AttentionConfig config;
  config.causal = false;
  const Tensor attended = reshape(nn::attend(part(0), part(1), part(2), batch, layer, config), {n, size});
  const Tensor y = attention_norm(attention_out(attended) + x);
  return output_norm(output(activate(intermediate(y), act)) + y);
}

BertStack::BertStack(const BertConfig& c, const nn::Weights& w) {
  for (int64_t i = 0; i < c.num_hidden_layers; ++i) layers.emplace_back(c, w / "layer" / i);
}

Tensor BertStack::forward(Tensor x, const nn::TokenBatch& batch, std::vector<Tensor>* states) const {
  if (states) states->push_back(x);
  for (size_t i = 0; i < layers.size(); ++i) {
    x = layers[i].forward(x, batch, static_cast<int>(i));
    if (states) states->push_back(x);
  }
  return x;
}

}  // namespace mynah
