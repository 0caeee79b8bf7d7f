#include "models/decoder_layers.h"

#include <cmath>

#include "base/require.h"
#include "tensor/half.h"

namespace mynah {

using nn::Weights;

namespace {

// Slopes of the heads: powers of 2^(-8/n) for n heads; when n is no power of two, those of the next lower one, and between them.
std::vector<float> slopes_of(int64_t heads) {
  int64_t lower = 1;
  while (2 * lower <= heads) lower *= 2;
  const auto base = [](int64_t n) { return static_cast<float>(std::exp2(-std::exp2(3 - std::log2(static_cast<double>(n))))); };
  std::vector<float> all;
  for (int64_t i = 1; i <= lower; ++i) all.push_back(std::pow(base(lower), static_cast<float>(i)));
  for (int64_t i = 1; static_cast<int64_t>(all.size()) < heads; i += 2) all.push_back(std::pow(base(2 * lower), static_cast<float>(i)));
  return all;
}

float as_bf16(float x) { return from_bf16(to_bf16(x)); }

Tensor clamp(const Tensor& x, float limit) { return maximum(minimum(x, Tensor::full({1}, limit)), Tensor::full({1}, -limit)); }

// Matrices of one input side by side; a family that stores them as [in, out] has one only.
nn::JoinedLinear joined(const DecoderConfig& c, const Weights& w, const std::vector<std::string>& names, int64_t in, const std::vector<int64_t>& outs, bool bias) {
  nn::JoinedLinear all;
  if (!c.transposed) return nn::JoinedLinear(w, names, in, outs, c.init(), bias);
  MYNAH_CHECK(names.size() == 1);
  all.weight = w.matrix(names[0], outs[0], in, c.init(), true);
  if (bias) all.bias = {(w / names[0]).tensor("bias", {outs[0]}, nn::Init::zeros())};
  return all;
}

// What brings a part's result back to the residual stream.
nn::Linear back(const DecoderConfig& c, const Weights& w, const std::string& name, int64_t in, bool bias) {
  nn::Linear all;
  const nn::Init init = c.residual_init > 0 ? nn::Init::with_std(c.residual_init) : c.init();
  all.weight = w.matrix(name, c.hidden_size, in, init, c.transposed);
  if (bias) all.bias = {(w / name).tensor("bias", {c.hidden_size}, nn::Init::zeros())};
  return all;
}

}  // namespace

Tensor slope_bias(const DecoderConfig& c, const nn::TokenBatch& batch) {
  if (c.slopes == DecoderConfig::Slopes::none) return {};
  const bool rounded = c.slopes == DecoderConfig::Slopes::bf16;
  // The reference divides the rounded slopes by the square root of the head size, as if they were part of the product.
  const float divisor = rounded ? std::sqrt(static_cast<float>(c.head_dim)) : 1;
  const int64_t heads = c.num_attention_heads, length = batch.longest(), sequences = batch.caches.empty() ? static_cast<int64_t>(batch.lengths.size()) : 1;
  std::vector<float> slopes = slopes_of(heads);
  if (rounded)
    for (float& s : slopes) s = as_bf16(s);
  Tensor bias = Tensor::zeros(batch.caches.empty() ? Shape{sequences, heads, 1, length} : Shape{heads, 1, length});
  float* p = bias.data<float>();
  size_t row = 0;
  std::vector<float> positions(static_cast<size_t>(length));
  for (int64_t s = 0; s < sequences; ++s) {
    // Positions count what the mask shows.
    const int64_t keys = batch.caches.empty() ? batch.lengths[static_cast<size_t>(s)] : length;
    int64_t seen = 0;
    for (int64_t j = 0; j < keys; ++j) {
      const bool shown = batch.key_mask.empty() || batch.key_mask[row + static_cast<size_t>(j)] != 0;
      positions[static_cast<size_t>(j)] = shown ? static_cast<float>(seen++) : 0.0f;
    }
    row += static_cast<size_t>(keys);
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t j = 0; j < keys; ++j) {
        const float product = slopes[static_cast<size_t>(h)] * (rounded ? as_bf16(positions[static_cast<size_t>(j)]) : positions[static_cast<size_t>(j)]);
        p[(s * heads + h) * length + j] = (rounded ? as_bf16(product) : product) / divisor;
      }
  }
  return bias;
}

HeadNorm::HeadNorm(const DecoderConfig& c, const Weights& w, const std::string& name, int64_t heads)
    : kind_(c.qk_norm), heads_(heads), head_dim_(c.head_dim), eps_(c.norm_eps) {
  if (kind_ == QkNorm::heads) norm_ = nn::Norm(w, name, head_dim_, c.norm_eps, c.qk_norm_kind);
  if (kind_ == QkNorm::rows) norm_ = nn::Norm(w, name, heads * head_dim_, c.norm_eps, c.qk_norm_kind);
  if (kind_ == QkNorm::each_head) weights_ = {(w / name).tensor("weight", {heads, head_dim_}, nn::Init::ones())};
  for (int64_t h = 0; kind_ == QkNorm::each_head_apart && h < heads; ++h)
    weights_.push_back((w / name / "norms" / h).tensor("weight", {head_dim_}, nn::Init::ones()));
}

Tensor HeadNorm::forward(const Tensor& in) const {
  const Tensor x = in.rank() == 3 ? in : nn::split_heads(kind_ == QkNorm::rows ? norm_(in) : in, in.size(0), heads_, head_dim_);
  if (kind_ == QkNorm::heads) return norm_(x);
  if (weights_.empty()) return x;
  return layer_norm(x, {}, {}, eps_) * (weights_.size() == 1 ? weights_[0] : reshape(cat(weights_, 0), {heads_, head_dim_}));
}

DecoderAttention::DecoderAttention(const DecoderConfig& c, const Weights& w, int layer)
    : o_(back(c, w, c.names.o, c.num_attention_heads * c.head_dim, c.o_bias)),
      q_norm_(c, w, c.names.q_norm, c.num_attention_heads),
      k_norm_(c, w, c.names.k_norm, c.num_key_value_heads),
      config_(c.attention),
      layer_(layer),
      rope_(c.ropes.empty() ? -1 : c.rope_of_layer.empty() ? 0 : c.rope_of_layer[static_cast<size_t>(layer)]) {
  const int64_t q_size = c.num_attention_heads * c.head_dim, kv_size = c.num_key_value_heads * c.head_dim;
  if (c.projection == Projection::apart) qkv_ = joined(c, w, {c.names.q, c.names.k, c.names.v}, c.hidden_size, {q_size, kv_size, kv_size}, c.qkv_bias);
  else qkv_ = joined(c, w, {c.names.qkv}, c.hidden_size, {q_size + 2 * kv_size}, c.qkv_bias);
  if (c.scale_by_layer) config_.scale /= static_cast<float>(layer + 1);
  if (!c.windows.empty()) config_.window = c.windows[static_cast<size_t>(layer)];
}

Tensor DecoderAttention::forward(const DecoderConfig& c, const Tensor& x, const DecoderContext& context) const {
  const int64_t n = x.size(0), d = c.head_dim, heads = c.num_attention_heads, kv_heads = c.num_key_value_heads;
  const Tensor all = c.clip_qkv > 0 ? clamp(qkv_(x), c.clip_qkv) : qkv_(x);
  Tensor q, k, v;
  if (c.projection == Projection::grouped) {
    const int64_t group = heads / kv_heads;
    const Tensor by_group = reshape(all, {n, kv_heads, group + 2, d});
    q = q_norm_.forward(group == 1 ? select(by_group, 2, 0) : reshape(narrow(by_group, 2, 0, group), {n, heads, d}));
    k = k_norm_.forward(select(by_group, 2, group));
    v = select(by_group, 2, group + 1);
  } else {
    q = q_norm_.forward(narrow(all, 1, 0, heads * d));
    k = k_norm_.forward(narrow(all, 1, heads * d, kv_heads * d));
    v = nn::split_heads(narrow(all, 1, (heads + kv_heads) * d, kv_heads * d), n, kv_heads, d);
  }
  if (rope_ >= 0) {
    const auto& [cos, sin] = context.tables.turns[static_cast<size_t>(rope_)];
    q = rope(q, cos, sin, c.interleaved_rope);
    k = rope(k, cos, sin, c.interleaved_rope);
  }
  const auto attended = [&](const AttentionConfig& config) { return o_(context.needed(reshape(nn::attend(q, k, v, context.batch, layer_, config, c.attention_dropout), {n, heads * d}))); };
  if (!context.tables.slopes.defined()) return attended(config_);
  AttentionConfig sloped = config_;
  sloped.bias = context.tables.slopes;
  return attended(sloped);
}

DecoderCross::DecoderCross(const DecoderConfig& c, const Weights& w, int layer)
    : q_(joined(c, w, {c.names.cross_q}, c.hidden_size, {c.num_attention_heads * c.head_dim}, c.qkv_bias)),
      kv_(joined(c, w, {c.names.cross_kv}, c.hidden_size, {2 * c.num_attention_heads * c.head_dim}, c.qkv_bias)),
      o_(back(c, w, c.names.o, c.num_attention_heads * c.head_dim, c.o_bias)),
      config_(c.attention),
      heads_(c.num_attention_heads),
      head_dim_(c.head_dim),
      layer_(layer) {
  if (c.scale_by_layer) config_.scale /= static_cast<float>(layer + 1);
}

std::pair<Tensor, Tensor> DecoderCross::keys_values(const Tensor& rows) const {
  const Tensor both = kv_(rows);
  const int64_t size = heads_ * head_dim_;
  return {nn::split_heads(narrow(both, 1, 0, size), rows.size(0), heads_, head_dim_), nn::split_heads(narrow(both, 1, size, size), rows.size(0), heads_, head_dim_)};
}

Tensor DecoderCross::forward(const DecoderConfig& c, const Tensor& x, const DecoderContext& context) const {
  const Tensor q = nn::split_heads(q_(x), x.size(0), heads_, head_dim_);
  const Tensor y = nn::attend_memory(q, context.batch, layer_, heads_, [&](const Tensor& rows) { return keys_values(rows); }, config_, c.attention_dropout);
  return o_(reshape(y, {x.size(0), heads_ * head_dim_}));
}

DecoderMlp::DecoderMlp(const DecoderConfig& c, const Weights& w) : down_(back(c, w, c.names.down, c.intermediate_size, c.mlp_bias)) {
  const int64_t i = c.intermediate_size;
  if (!c.gated) up_ = joined(c, w, {c.names.up}, c.hidden_size, {i}, c.mlp_bias);
  else if (c.joined_gate_up) up_ = joined(c, w, {c.names.gate_up}, c.hidden_size, {2 * i}, c.mlp_bias);
  else up_ = joined(c, w, {c.names.gate, c.names.up}, c.hidden_size, {i, i}, c.mlp_bias);
}

Tensor DecoderMlp::forward(const DecoderConfig& c, const Tensor& x) const {
  return down_(c.gated ? up_.gated(x, c.hidden_act) : activate(up_(x), c.hidden_act));
}

}  // namespace mynah
