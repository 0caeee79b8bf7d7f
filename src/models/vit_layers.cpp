#include "models/vit_layers.h"

#include "base/require.h"
#include "nn/config.h"
#include "nn/recompute.h"

namespace mynah {

VitConfig::VitConfig(const Json& c)
    : hidden_size(nn::config_int(c, "hidden_size", 768)),
      intermediate_size(nn::config_int(c, "intermediate_size", 3072)),
      num_hidden_layers(nn::config_int(c, "num_hidden_layers", 12, 1, 10000)),
      num_attention_heads(nn::config_int(c, "num_attention_heads", 12, 1, 100000)),
      num_channels(nn::config_int(c, "num_channels", 3)),
      image_size(nn::config_pair(c, "image_size", 224)),
      patch_size(nn::config_pair(c, "patch_size", 16)),
      layer_norm_eps(static_cast<float>(nn::config_number(c, "layer_norm_eps", 1e-12))),
      initializer_range(static_cast<float>(nn::config_number(c, "initializer_range", 0.02))),
      hidden_dropout_prob(nn::dropout_rate(c, "hidden_dropout_prob", 0)),
      attention_probs_dropout_prob(nn::dropout_rate(c, "attention_probs_dropout_prob", 0)),
      qkv_bias(nn::config_bool(c, "qkv_bias", true)),
      hidden_act(activation(nn::config_string(c, "hidden_act", "gelu"))) {
  require(hidden_size % num_attention_heads == 0, "config.json: hidden_size {} is not a multiple of num_attention_heads {}", hidden_size, num_attention_heads);
  require(grid()[0] > 0 && grid()[1] > 0, "config.json: a patch is larger than image_size");
}

Tensor join_tokens(const std::vector<Tensor>& special, const Tensor& patches, int64_t images, const std::vector<Tensor>& after) {
  const int64_t c = patches.size(1);
  const auto every = [&](const Tensor& t) { return expand(t, {images, t.size(1), c}); };
  std::vector<Tensor> parts;
  for (const Tensor& t : special) parts.push_back(every(t));
  parts.push_back(reshape(patches, {images, patches.size(0) / images, c}));
  for (const Tensor& t : after) parts.push_back(every(t));
  const Tensor all = cat(parts, 1);
  return reshape(all, {all.size(0) * all.size(1), c});
}

VitLayer::VitLayer(const VitConfig& c, const nn::Weights& w)
    : heads(c.num_attention_heads),
      head_dim(c.hidden_size / c.num_attention_heads),
      qkv(w / "attention" / "attention", {"query", "key", "value"}, c.hidden_size, {c.hidden_size, c.hidden_size, c.hidden_size}, c.init(), c.qkv_bias),
      attention_out(w / "attention" / "output", "dense", c.hidden_size, c.hidden_size, c.init()),
      before(w, "layernorm_before", c.hidden_size, c.layer_norm_eps),
      after(w, "layernorm_after", c.hidden_size, c.layer_norm_eps),
      intermediate(w / "intermediate", "dense", c.hidden_size, c.intermediate_size, c.init()),
      output(w / "output", "dense", c.intermediate_size, c.hidden_size, c.init()),
      act(c.hidden_act),
      drop(c.hidden_dropout_prob),
      attention_drop(c.attention_probs_dropout_prob) {}

Tensor VitLayer::forward(const Tensor& x, const nn::TokenBatch& batch, int layer, bool is_last) const {
  const int64_t n = x.size(0), size = heads * head_dim;
  const Tensor all = qkv(before(x));
  const auto part = [&](int64_t i) { return nn::split_heads(narrow(all, 1, i * size, size), n, heads, head_dim); };
  AttentionConfig config;
  config.causal = false;
  const Tensor attended = reshape(nn::attend(part(0), part(1), part(2), batch, layer, config, attention_drop), {n, size});
  const Tensor y = nn::read_rows(x, batch, is_last) + nn::dropout(attention_out(nn::read_rows(attended, batch, is_last)), drop);
  return y + nn::dropout(output(activate(intermediate(after(y)), act)), drop);
}

VitStack::VitStack(const VitConfig& c, const nn::Weights& w) : drop(c.hidden_dropout_prob) {
  for (int64_t i = 0; i < c.num_hidden_layers; ++i) layers.emplace_back(c, w / "layer" / i);
}

Tensor VitStack::forward(Tensor x, int64_t images, std::vector<Tensor>* states, int64_t kept) const {
  nn::TokenBatch batch;
  batch.lengths.assign(static_cast<size_t>(images), x.size(0) / images);
  const auto note = [&] {
    if (states) states->push_back(reshape(x, {images, x.size(0) / images, x.size(1)}));
  };
  if (kept < batch.lengths[0]) batch.read = nn::first_rows(batch, kept);
  x = nn::dropout(x, drop);
  note();
  for (size_t i = 0; i < layers.size(); ++i) {
    const bool is_last = i + 1 == layers.size() && !states;
    x = nn::layer(x, {}, batch, [&layer = layers[i], i, is_last](const Tensor& in, const Tensor&, const nn::TokenBatch& b) { return layer.forward(in, b, static_cast<int>(i), is_last); });
    note();
  }
  return batch.read ? nn::wanted_rows(x, *batch.read) : x;
}

}  // namespace mynah
