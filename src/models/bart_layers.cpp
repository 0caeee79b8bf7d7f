#include "models/bart_layers.h"

#include <algorithm>
#include <cmath>

#include "base/require.h"
#include "nn/config.h"
#include "nn/recompute.h"
#include "nn/sinusoids.h"

namespace mynah {
namespace {

using nn::Weights;

constexpr float kBartLayersEps = 1e-5f;

// Word tables are tied, and files differ in the name they keep.
nn::Matrix word_table(const Weights& w, std::initializer_list<const char*> names, int64_t vocabulary, const BartConfig& c) {
  for (const char* name : names)
    if (w.has(std::string(name) + ".weight")) return w.matrix(name, vocabulary, c.d_model, c.init());
  return w.matrix(*names.begin(), vocabulary, c.d_model, c.init());
}
nn::Matrix source_words(const Weights& w, const BartConfig& c) {
  if (!c.share_encoder_decoder_embeddings) return w.matrix("model.encoder.embed_tokens", c.vocab_size, c.d_model, c.init());
  return word_table(w, {"model.shared", "model.decoder.embed_tokens", "model.encoder.embed_tokens", "lm_head"}, c.vocab_size, c);
}

nn::CacheShape decoder_cache(const BartConfig& c) {
  return {static_cast<int>(c.decoder_layers), c.decoder_attention_heads, c.d_model / c.decoder_attention_heads};
}
// Whether a file has the table of positions, which then counts though it need not hold sinusoids. A source that makes models anew has every
// name; there they are computed.
bool stores_positions(const Weights& w) { return w.has("embed_positions.weight") && !w.has("embed_positions.of_a_new_model"); }
int64_t position_limit(const BartConfig& c) { return c.family.positions == BartFamily::Positions::sinusoidal_after_padding ? 0 : c.max_position_embeddings; }

}  // namespace

BartConfig::BartConfig(const Json& c, const BartFamily& f)
    : vocab_size(nn::config_int(c, "vocab_size", 50265)),
      decoder_vocab_size(nn::config_int(c, "decoder_vocab_size", vocab_size)),
      d_model(nn::config_int(c, "d_model", 1024)),
      encoder_layers(nn::config_int(c, "encoder_layers", 12, 1, 10000)),
      encoder_attention_heads(nn::config_int(c, "encoder_attention_heads", 16, 1, 100000)),
      encoder_ffn_dim(nn::config_int(c, "encoder_ffn_dim", 4096)),
      decoder_layers(nn::config_int(c, "decoder_layers", 12, 1, 10000)),
      decoder_attention_heads(nn::config_int(c, "decoder_attention_heads", 16, 1, 100000)),
      decoder_ffn_dim(nn::config_int(c, "decoder_ffn_dim", 4096)),
      max_position_embeddings(nn::config_int(c, "max_position_embeddings", 1024)),
      pad_token_id(static_cast<int32_t>(nn::config_int(c, "pad_token_id", f.pad_token_id, -1))),
      init_std(static_cast<float>(nn::config_number(c, "init_std", 0.02))),
      embed_scale(nn::config_bool(c, "scale_embedding", f.scale_embedding) ? std::sqrt(static_cast<float>(d_model)) : 1.0f),
      dropout(nn::dropout_rate(c, "dropout", f.dropout)),
      attention_dropout(nn::dropout_rate(c, "attention_dropout", f.attention_dropout)),
      activation_dropout(nn::dropout_rate(c, "activation_dropout", 0)),
      encoder_layerdrop(nn::dropout_rate(c, "encoder_layerdrop", f.layer_dropout)),
      decoder_layerdrop(nn::dropout_rate(c, "decoder_layerdrop", f.layer_dropout)),
      tie_word_embeddings(nn::config_bool(c, "tie_word_embeddings", true)),
      share_encoder_decoder_embeddings(nn::config_bool(c, "share_encoder_decoder_embeddings", true)),
      activation_function(activation(nn::config_string(c, "activation_function", f.activation_function))),
      family(f) {
  if (share_encoder_decoder_embeddings) decoder_vocab_size = vocab_size;
}

BartAttention::BartAttention(const Weights& w, int64_t c, int64_t h, nn::Init init, bool key_bias, int64_t memory_size)
    : heads(h), size(c), q(w, "q_proj", c, c, init), kv(w, {"k_proj", "v_proj"}, memory_size > 0 ? memory_size : c, {c, c}, init, key_bias), out(w, "out_proj", c, c, init) {
  if (!key_bias) kv.bias = {Tensor(), (w / "v_proj").tensor("bias", {c}, nn::Init::zeros())};
  require(c % h == 0, "config.json: d_model {} is not a multiple of {} attention heads", c, h);
}

Tensor BartAttention::queries(const Tensor& x) const { return nn::split_heads(q(x), x.size(0), heads, size / heads); }
std::pair<Tensor, Tensor> BartAttention::keys_values(const Tensor& x) const {
  const Tensor both = kv(x);
  const auto part = [&](int64_t i) { return nn::split_heads(narrow(both, 1, i * size, size), x.size(0), heads, size / heads); };
  return {part(0), part(1)};
}
Tensor BartAttention::output(const Tensor& attended) const { return out(reshape(attended, {attended.size(0), size})); }

BartLayer::BartLayer(const BartConfig& c, const Weights& w, bool decoder, bool crosses)
    : norm_first(c.family.norm_first),
      causal(decoder),
      drop(c.dropout),
      attention_drop(c.attention_dropout),
      activation_drop(c.activation_dropout),
      self(w / "self_attn", c.d_model, decoder ? c.decoder_attention_heads : c.encoder_attention_heads, c.init(), c.family.key_bias),
      self_norm(w, "self_attn_layer_norm", c.d_model, kBartLayersEps),
      fc1(w, "fc1", c.d_model, decoder ? c.decoder_ffn_dim : c.encoder_ffn_dim, c.init()),
      fc2(w, "fc2", decoder ? c.decoder_ffn_dim : c.encoder_ffn_dim, c.d_model, c.init()),
      ff_norm(w, "final_layer_norm", c.d_model, kBartLayersEps),
      act(c.activation_function) {
  if (!crosses) return;
  cross.emplace(w / "encoder_attn", c.d_model, c.decoder_attention_heads, c.init(), c.family.key_bias, c.family.memory_size);
  cross_norm = nn::LayerNorm(w, "encoder_attn_layer_norm", c.d_model, kBartLayersEps);
}

Tensor BartLayer::forward(Tensor x, const nn::TokenBatch& batch, int layer, Tensor* queries) const {
  AttentionConfig config;
  config.causal = causal;
  // x plus a part of the layer, with the part's norm before or after
  const auto residual = [&](const nn::LayerNorm& norm, const auto& part) {
    x = norm_first ? x + nn::dropout(part(norm(x)), drop) : norm(x + nn::dropout(part(x), drop));
  };
  residual(self_norm, [&](const Tensor& y) {
    const auto [k, v] = self.keys_values(y);
    return self.output(nn::attend(self.queries(y), k, v, batch, layer, config, attention_drop));
  });
  if (cross && (batch.memory.defined() || !batch.memory_caches.empty()))
    residual(cross_norm, [&](const Tensor& y) {
      const Tensor q = cross->queries(y);
      if (queries) *queries = q;
      return cross->output(nn::attend_memory(q, batch, layer, cross->heads, [&](const Tensor& rows) { return cross->keys_values(rows); }, config, attention_drop));
    });
  residual(ff_norm, [&](const Tensor& y) { return fc2(nn::dropout(activate(fc1(y), act), activation_drop)); });
  return x;
}

BartStack::BartStack(const BartConfig& c, const Weights& w, nn::Matrix table, bool decoder, bool crosses)
    : padding_id(c.pad_token_id), unused_positions(c.family.unused_positions), embed_scale(c.embed_scale), drop(c.dropout), layer_drop(decoder ? c.decoder_layerdrop : c.encoder_layerdrop), positions(c.family.positions), words(std::move(table)) {
  if (positions == BartFamily::Positions::learned)
    position = w.tensor("embed_positions.weight", {c.max_position_embeddings + unused_positions, c.d_model}, c.init());
  if (positions == BartFamily::Positions::sinusoidal && stores_positions(w)) {
    unused_positions = 0;
    position = w.buffer("embed_positions.weight", {c.max_position_embeddings, c.d_model});
  }
  if (c.family.norm_embedding) embedding_norm = nn::LayerNorm(w, "layernorm_embedding", c.d_model, kBartLayersEps);
  for (int64_t i = 0; i < (decoder ? c.decoder_layers : c.encoder_layers); ++i) layers.emplace_back(c, w / "layers" / i, decoder, crosses);
  if (c.family.norm_first) last_norm = nn::LayerNorm(w, "layer_norm", c.d_model, kBartLayersEps);
}

Tensor BartStack::position_rows(const nn::TokenBatch& batch) const {
  if (positions == BartFamily::Positions::sinusoidal && !position.defined()) return nn::sinusoids(batch.positions, words.columns());
  std::vector<int32_t> at;
  if (position.defined()) {
    for (const int32_t p : batch.positions) at.push_back(p + static_cast<int32_t>(unused_positions));
    return embedding(position, at);
  }
  int64_t first = 0;
  for (const int64_t length : batch.lengths) {
    const auto ids = batch.ids.begin() + first;
    const int32_t before = batch.positions[static_cast<size_t>(first)];
    for (const int32_t p : nn::positions_after_padding({ids, ids + length}, 1, length, padding_id)) at.push_back(p == padding_id ? p : p + before);
    first += length;
  }
  return nn::sinusoids_with_padding(at, words.columns(), padding_id);
}

Tensor BartStack::embed(const nn::TokenBatch& batch) const {
  Tensor x = words.lookup(batch.ids, padding_id);
  if (embed_scale != 1) x = x * embed_scale;
  x = x + position_rows(batch);
  return nn::dropout(embedding_norm.weight.defined() ? embedding_norm(x) : x, drop);
}

Tensor BartStack::forward(const nn::TokenBatch& batch, std::vector<Tensor>* states) const {
  Tensor x = embed(batch);
  for (size_t i = 0; i < layers.size(); ++i) {
    if (states) states->push_back(x);
    if (nn::skips_layer(layer_drop)) continue;
    x = nn::layer(x, {}, batch, [&layer = layers[i], i](const Tensor& in, const Tensor&, const nn::TokenBatch& b) { return layer.forward(in, b, static_cast<int>(i)); });
  }
  if (last_norm.weight.defined()) x = last_norm(x);
  if (states) states->push_back(x);
  return x;
}

Bart::Bart(const Json& json, const Weights& w, const BartFamily& family)
    : Seq2SeqLM(json),
      c_(json, family),
      source_words_(source_words(w, c_)),
      target_words_(c_.share_encoder_decoder_embeddings ? source_words_
                                                        : word_table(w, {"model.decoder.embed_tokens", "lm_head"}, c_.decoder_vocab_size, c_)),
      head_(target_words_),
      encoder_(c_, w / "model" / "encoder", source_words_, false, false),
      decoder_(c_, w / "model" / "decoder", target_words_, true, true) {
  pad_ = c_.pad_token_id;
  if (decoder_start_ < 0) decoder_start_ = static_cast<int32_t>(family.decoder_start_token_id);
  load_classifier(w, c_.d_model, family.labels, c_.init());
  if (!causal_lm()) return;
  if (!c_.tie_word_embeddings && w.has("lm_head.weight")) head_ = w.matrix("lm_head", c_.decoder_vocab_size, c_.d_model, c_.init());
  if (w.has("final_logits_bias")) final_logits_bias_ = {w.buffer("final_logits_bias", {1, c_.decoder_vocab_size}, nn::Init::zeros())};
}

void Bart::remember(const Tensor& rows, nn::Cache* memory) const {
  for (size_t i = 0; i < decoder_.layers.size(); ++i) {
    const auto [k, v] = decoder_.layers[i].cross->keys_values(rows);
    nn::append_rows(memory->layer(static_cast<int>(i)), k, v, 0, rows.size(0));
  }
}

Tensor Bart::head(const Tensor& hidden) const { return head_(hidden, final_logits_bias_); }

std::vector<int32_t> Bart::shift_right(const std::vector<int32_t>& labels, int64_t rows, int64_t length) const {
  if (!c_.family.rotates_labels) return Seq2SeqLM::shift_right(labels, rows, length);
  std::vector<int32_t> out;
  for (int64_t b = 0; b < rows; ++b) {
    std::vector<int32_t> row(labels.begin() + b * length, labels.begin() + (b + 1) * length);
    std::replace(row.begin(), row.end(), -100, pad_);
    const auto count = static_cast<int64_t>(row.size()) - std::count(row.begin(), row.end(), pad_);
    out.push_back(row[static_cast<size_t>(std::max<int64_t>(count, 1) - 1)]);
    out.insert(out.end(), row.begin(), row.end() - 1);
  }
  return out;
}

nn::CacheShape Bart::cache_shape() const { return decoder_cache(c_); }
int64_t Bart::max_positions() const { return position_limit(c_); }

BartDecoder::BartDecoder(const Json& json, const Weights& w, const BartFamily& family)
    : CausalLM(json),
      c_(json, family),
      decoder_(c_, w / "model" / "decoder", word_table(w, {"model.decoder.embed_tokens", "model.shared", family.head}, c_.vocab_size, c_), true,
               family.always_crosses || nn::config_bool(json, "add_cross_attention", false)),
      head_(decoder_.words) {
  if (!c_.tie_word_embeddings && w.has(std::string(family.head) + ".weight")) head_ = w.matrix(family.head, c_.vocab_size, c_.d_model, c_.init());
}

void BartDecoder::remember(const Tensor& rows, nn::Cache* memory) const {
  for (size_t i = 0; i < decoder_.layers.size(); ++i) {
    if (!decoder_.layers[i].cross) return CausalLM::remember(rows, memory);
    const auto [k, v] = decoder_.layers[i].cross->keys_values(rows);
    nn::append_rows(memory->layer(static_cast<int>(i)), k, v, 0, rows.size(0));
  }
}

nn::CacheShape BartDecoder::cache_shape() const { return decoder_cache(c_); }
int64_t BartDecoder::max_positions() const { return position_limit(c_); }

}  // namespace mynah
