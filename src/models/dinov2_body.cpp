#include "models/dinov2_body.h"


#include "mynah/json.h"
#include "nn/config.h"
#include "nn/recompute.h"
#include "nn/vision_model.h"

namespace mynah {

using nn::Init;
using nn::Weights;

VitConfig dinov2_config(const Json& json) {
  Json full = json;
  if (!full.contains("layer_norm_eps")) full["layer_norm_eps"] = 1e-6;
  full["intermediate_size"] = 1;  // mlp_ratio says it
  return VitConfig(full);
}

Dinov2Layer::Dinov2Layer(const VitConfig& c, const Json& json, const Weights& w)
    : heads(c.num_attention_heads),
      head_dim(c.hidden_size / heads),
      gated(nn::config_bool(json, "use_swiglu_ffn", false)),
      act(c.hidden_act),
      norm1(w, "norm1", c.hidden_size, c.layer_norm_eps),
      qkv(w / "attention" / "attention", {"query", "key", "value"}, c.hidden_size, {c.hidden_size, c.hidden_size, c.hidden_size}, c.init(), c.qkv_bias),
      attention_out(w / "attention" / "output", "dense", c.hidden_size, c.hidden_size, c.init()),
      scale1((w / "layer_scale1").tensor("lambda1", {c.hidden_size}, Init::ones())),
      norm2(w, "norm2", c.hidden_size, c.layer_norm_eps),
      scale2((w / "layer_scale2").tensor("lambda1", {c.hidden_size}, Init::ones())),
      drop(c.hidden_dropout_prob),
      attention_drop(c.attention_probs_dropout_prob),
      path_drop(nn::dropout_rate(json, "drop_path_rate", 0)) {
  auto inner = static_cast<int64_t>(static_cast<double>(c.hidden_size) * nn::config_number(json, "mlp_ratio", 4));
  if (gated) inner = (inner * 2 / 3 + 7) / 8 * 8;
  in = nn::Linear(w / "mlp", gated ? "weights_in" : "fc1", c.hidden_size, gated ? 2 * inner : inner, c.init());
  out = nn::Linear(w / "mlp", gated ? "weights_out" : "fc2", inner, c.hidden_size, c.init());
}

Tensor Dinov2Layer::forward(const Tensor& x, const nn::TokenBatch& batch) const {
  const int64_t n = x.size(0), size = heads * head_dim;
  const Tensor all = qkv(norm1(x));
  const auto part = [&](int64_t i) { return nn::split_heads(narrow(all, 1, i * size, size), n, heads, head_dim); };
  AttentionConfig config;
  config.causal = false;
  const auto images = static_cast<int64_t>(batch.lengths.size());
  const Tensor attended = nn::attend(part(0), part(1), part(2), batch, 0, config, attention_drop);
  const Tensor y = x + nn::drop_path(nn::dropout(attention_out(reshape(attended, {n, size})), drop) * scale1, images, path_drop);
  const Tensor z = in(norm2(y));
  return y + nn::drop_path(out(gated ? glu(z, Activation::silu) : activate(z, act)) * scale2, images, path_drop);
}

Dinov2Body::Dinov2Body(const Json& json, const Weights& w) : config(dinov2_config(json)) {
  const int64_t c = config.hidden_size;
  cls_ = (w / "embeddings").tensor("cls_token", {1, 1, c}, config.init());
  if (w.has("embeddings.mask_token")) (w / "embeddings").tensor("mask_token", {1, c}, Init::zeros());  // read in pretraining only
  positions_ = (w / "embeddings").tensor("position_embeddings", {1, config.grid()[0] * config.grid()[1] + 1, c}, config.init());
  const Weights patches = w / "embeddings" / "patch_embeddings" / "projection";
  projection_ = patches.tensor("weight", {c, config.num_channels, config.patch_size[0], config.patch_size[1]}, config.init());
  projection_bias_ = patches.tensor("bias", {c}, Init::zeros());
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) layers_.emplace_back(config, json, w / "encoder" / "layer" / i);
  norm = nn::LayerNorm(w, "layernorm", c, config.layer_norm_eps);
}

Tensor Dinov2Body::forward(const Tensor& pixels, const std::function<void(size_t, const Tensor&)>& note) const {
  const int64_t images = pixels.size(0), c = config.hidden_size;
  const Tensor patches = nn::patch_rows(pixels, projection_, projection_bias_);
  Tensor x = join_tokens({cls_}, patches, images);
  const int64_t tokens = x.size(0) / images;
  Tensor places = reshape(positions_, {positions_.size(1), c});
  if (tokens != places.size(0) || pixels.size(2) != pixels.size(3))
    places = cat({narrow(places, 0, 0, 1), nn::resize_positions(narrow(places, 0, 1, places.size(0) - 1), config.grid(), pixels.size(2) / config.patch_size[0],
                                                                pixels.size(3) / config.patch_size[1])},
                 0);
  x = reshape(reshape(x, {images, tokens, c}) + reshape(places, {1, tokens, c}), {images * tokens, c});
  x = nn::dropout(x, config.hidden_dropout_prob);
  nn::TokenBatch batch;
  batch.lengths.assign(static_cast<size_t>(images), tokens);
  if (note) note(0, reshape(x, {images, tokens, c}));
  for (size_t i = 0; i < layers_.size(); ++i) {
    x = nn::layer(x, {}, batch, [&layer = layers_[i]](const Tensor& in, const Tensor&, const nn::TokenBatch& b) { return layer.forward(in, b); });
    if (note) note(i + 1, reshape(x, {images, tokens, c}));
  }
  return reshape(x, {images, tokens, c});
}

}  // namespace mynah
