#include "models/clip_layers.h"

#include <numeric>

#include "base/require.h"
#include "models/vit_layers.h"
#include "mynah/json.h"
#include "nn/config.h"
#include "nn/losses.h"
#include "nn/recompute.h"
#include "nn/vision_model.h"

namespace mynah {

ClipStackConfig::ClipStackConfig(const Json& c, int64_t hidden, int64_t layers, int64_t heads, int64_t intermediate, const char* act, double eps)
    : hidden_size(nn::config_int(c, "hidden_size", hidden)),
      num_hidden_layers(nn::config_int(c, "num_hidden_layers", layers, 1, 10000)),
      num_attention_heads(nn::config_int(c, "num_attention_heads", heads, 1, 100000)),
      intermediate_size(nn::config_int(c, "intermediate_size", intermediate)),
      hidden_act(activation(nn::config_string(c, "hidden_act", act))),
      layer_norm_eps(static_cast<float>(nn::config_number(c, "layer_norm_eps", eps))),
      initializer_range(static_cast<float>(nn::config_number(c, "initializer_range", 0.02))),
      attention_dropout(nn::dropout_rate(c, "attention_dropout", 0)) {
  require(hidden_size % num_attention_heads == 0, "config.json: hidden_size {} is not a multiple of num_attention_heads {}", hidden_size, num_attention_heads);
}

ClipMLP::ClipMLP(const ClipStackConfig& c, const nn::Weights& w)
    : fc1(w, "fc1", c.hidden_size, c.intermediate_size, c.init()), fc2(w, "fc2", c.intermediate_size, c.hidden_size, c.init()), act(c.hidden_act) {}

ClipLayer::ClipLayer(const ClipStackConfig& c, const nn::Weights& w)
    : heads(c.num_attention_heads),
      head_dim(c.hidden_size / c.num_attention_heads),
      norm1(w, "layer_norm1", c.hidden_size, c.layer_norm_eps),
      qkv(w / "self_attn", {"q_proj", "k_proj", "v_proj"}, c.hidden_size, {c.hidden_size, c.hidden_size, c.hidden_size}, c.init()),
      out_proj(w / "self_attn", "out_proj", c.hidden_size, c.hidden_size, c.init()),
      norm2(w, "layer_norm2", c.hidden_size, c.layer_norm_eps),
      mlp(c, w / "mlp"),
      attention_drop(c.attention_dropout) {}

Tensor ClipLayer::forward(const Tensor& x, const nn::TokenBatch& batch, int layer, bool causal, bool is_last) const {
  const int64_t n = x.size(0), size = heads * head_dim;
  const Tensor all = qkv(norm1(x));
  const auto part = [&](int64_t i) { return nn::split_heads(narrow(all, 1, i * size, size), n, heads, head_dim); };
  AttentionConfig config;
  config.causal = causal;
  const Tensor attended = reshape(nn::attend(part(0), part(1), part(2), batch, layer, config, attention_drop), {n, size});
  const Tensor y = nn::read_rows(x, batch, is_last) + out_proj(nn::read_rows(attended, batch, is_last));
  return y + mlp(norm2(y));
}

ClipStack::ClipStack(const ClipStackConfig& c, const nn::Weights& w) {
  for (int64_t i = 0; i < c.num_hidden_layers; ++i) layers.emplace_back(c, w / "layers" / i);
}

Tensor ClipStack::forward(Tensor x, const nn::TokenBatch& batch, bool causal, std::vector<Tensor>* states) const {
  const auto note = [&] {
    const auto b = static_cast<int64_t>(batch.lengths.size());
    if (states) states->push_back(reshape(x, {b, x.size(0) / b, x.size(1)}));
  };
  note();
  for (size_t i = 0; i < layers.size(); ++i) {
    const bool is_last = i + 1 == layers.size() && !states;
    x = nn::layer(x, {}, batch, [&layer = layers[i], i, causal, is_last](const Tensor& in, const Tensor&, const nn::TokenBatch& b) {
      return layer.forward(in, b, static_cast<int>(i), causal, is_last);
    });
    note();
  }
  return x;
}

ClipPatches::ClipPatches(const Json& c, const ClipStackConfig& stack, const nn::Weights& w, bool with_class)
    : channels(nn::config_int(c, "num_channels", 3)), image_size(nn::config_int(c, "image_size", 224)), patch_size(nn::config_int(c, "patch_size", with_class ? 32 : 16)) {
  require(image_size >= patch_size, "config.json: patch_size {} is larger than image_size {}", patch_size, image_size);
  const int64_t side = image_size / patch_size;
  projection = (w / "patch_embedding").tensor("weight", {stack.hidden_size, channels, patch_size, patch_size}, stack.init());
  if (with_class) class_embedding = w.tensor("class_embedding", {stack.hidden_size}, stack.init());
  else projection_bias = (w / "patch_embedding").tensor("bias", {stack.hidden_size}, nn::Init::zeros());
  positions = (w / "position_embedding").tensor("weight", {side * side + (with_class ? 1 : 0), stack.hidden_size}, stack.init());
}

Tensor ClipPatches::forward(const Tensor& pixels, bool interpolate, float excess) const {
  const int64_t images = pixels.size(0), c = positions.size(1);
  const bool other = pixels.size(2) != image_size || pixels.size(3) != image_size;
  require(!other || interpolate, "forward: pixel_values are {}x{}, expected {}x{}; set interpolate_pos_encoding for other sizes", pixels.size(2), pixels.size(3),
          image_size, image_size);
  const Tensor patches = nn::patch_rows(pixels, projection, projection_bias);
  const int64_t special = class_embedding.defined() ? 1 : 0;
  const Tensor x = special ? join_tokens({reshape(class_embedding, {1, 1, c})}, patches, images) : patches;
  Tensor places = positions;
  if (other) {
    places = nn::resize_positions(narrow(positions, 0, special, positions.size(0) - special), {image_size / patch_size, image_size / patch_size}, pixels.size(2) / patch_size, pixels.size(3) / patch_size, excess);
    if (special) places = cat({narrow(positions, 0, 0, 1), places}, 0);
  }
  const int64_t tokens = x.size(0) / images;
  return reshape(reshape(x, {images, tokens, c}) + reshape(places, {1, tokens, c}), {images * tokens, c});
}

const Json& tower_config(const Json& config, const char* key) {
  const auto it = config.find(key);
  return it != config.end() && it->is_object() ? *it : config;
}

Tensor unit_rows(const Tensor& x) { return x / sqrt(sum(square(x), -1, true)); }

Tensor contrastive_loss(const nn::NamedTensors& out) {
  const Tensor &texts = out.at("logits_per_text"), &images = out.at("logits_per_image");
  require(texts.size(0) == images.size(0), "forward: return_loss needs as many texts as images, got {} and {}", texts.size(0), images.size(0));
  std::vector<int32_t> own(static_cast<size_t>(texts.size(0)));
  std::iota(own.begin(), own.end(), 0);
  return (nn::token_loss(texts, own) + nn::token_loss(contiguous(images), own)) * 0.5f;
}

}  // namespace mynah
