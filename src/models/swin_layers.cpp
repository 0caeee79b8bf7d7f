#include "models/swin_layers.h"

#include <algorithm>

#include "base/require.h"
#include "models/map_windows.h"
#include "models/stochastic_depth.h"
#include "mynah/json.h"
#include "mynah/ops.h"
#include "nn/config.h"
#include "nn/dropout.h"

namespace mynah {
namespace {

using nn::Weights;

constexpr float kSwinMergingEps = 1e-5f;
constexpr float kOtherRegion = -100;  // what the reference adds to scores between regions that the shift brought together

// [H,T,T] of distances, or [S,H,T,T] where regions of a window must not mix.
Tensor swin_bias(const SwinLayer& layer, const MapWindows& windows) {
  const int64_t window = layer.window, length = window * window;
  std::vector<int64_t> index;
  for (int64_t i = 0; i < length; ++i)
    for (int64_t j = 0; j < length; ++j)
      index.push_back((i / window - j / window + window - 1) * (2 * window - 1) + i % window - j % window + window - 1);
  const Tensor distances = reshape(transpose(index_rows(layer.table, index), 0, 1), {layer.heads, length, length});
  if (std::all_of(windows.regions.begin(), windows.regions.end(), [](int r) { return r == 0; })) return distances;
  const int64_t count = windows.count();
  Tensor apart = Tensor::zeros({count, 1, length, length});
  for (int64_t s = 0; s < count; ++s)
    for (int64_t i = 0; i < length; ++i)
      for (int64_t j = 0; j < length; ++j)
        if (windows.regions[static_cast<size_t>(s * length + i)] != windows.regions[static_cast<size_t>(s * length + j)])
          apart.data<float>()[(s * length + i) * length + j] = kOtherRegion;
  const Tensor one = apart + unsqueeze(distances, 0);
  return reshape(expand(unsqueeze(one, 0), {windows.images, count, layer.heads, length, length}), {windows.images * count, layer.heads, length, length});
}

// Rows of windows [B * windows * T, C] -> the same.
Tensor swin_attend(const SwinLayer& layer, const Tensor& x, const MapWindows& windows) {
  const int64_t rows = x.size(0), length = layer.window * layer.window, size = layer.size, heads = layer.heads, head = size / heads;
  const Tensor all = layer.qkv(x);
  const auto part = [&](int64_t i) { return reshape(narrow(all, 1, i * size, size), {rows, heads, head}); };
  std::vector<Sequence> sequences;
  for (int64_t at = 0; at < rows; at += length) sequences.push_back({at, length, at, length});
  AttentionConfig config;
  config.causal = false;
  config.bias = swin_bias(layer, windows);
  return nn::dropout(layer.out(reshape(nn::attention_with_dropout(part(0), part(1), part(2), sequences, config, layer.attention_drop), {rows, size})), layer.attention_drop);
}

int64_t swin_inner(const SwinConfig& c, int64_t size) { return static_cast<int64_t>(c.mlp_ratio * static_cast<double>(size)); }

}  // namespace

SwinConfig::SwinConfig(const Json& c)
    : num_channels(nn::config_int(c, "num_channels", 3)),
      patch_size(nn::config_pair(c, "patch_size", 4)),
      embed_dim(nn::config_int(c, "embed_dim", 96)),
      window(nn::config_int(c, "window_size", 7, 1, 1000)),
      depths(nn::config_ints(c, "depths", {2, 2, 6, 2})),
      heads(nn::config_ints(c, "num_heads", {3, 6, 12, 24})),
      mlp_ratio(nn::config_number(c, "mlp_ratio", 4.0)),
      qkv_bias(nn::config_bool(c, "qkv_bias", true)),
      act(activation(nn::config_string(c, "hidden_act", "gelu"))),
      hidden_dropout_prob(nn::dropout_rate(c, "hidden_dropout_prob", 0)),
      attention_probs_dropout_prob(nn::dropout_rate(c, "attention_probs_dropout_prob", 0)),
      drop_path_rate(nn::dropout_rate(c, "drop_path_rate", 0.1)),
      layer_norm_eps(static_cast<float>(nn::config_number(c, "layer_norm_eps", 1e-5))),
      initializer_range(static_cast<float>(nn::config_number(c, "initializer_range", 0.02))) {
  require(heads.size() == depths.size(), "config.json: {} num_heads and {} depths, expected as many", heads.size(), depths.size());
  require(depths.size() < 20, "config.json: {} depths, expected fewer than 20", depths.size());
  for (size_t i = 0; i < depths.size(); ++i)
    require(size(i) % heads[i] == 0, "config.json: num_heads has {}, which does not divide {}", heads[i], size(i));
  require(!nn::config_bool(c, "use_absolute_embeddings", false), "config.json: use_absolute_embeddings is not supported for swin, nor by the reference");
}

Tensor padded_maps(const Tensor& maps, int64_t height, int64_t width) {
  const auto missing = [](int64_t size, int64_t side) { return (side - size % side) % side; };
  Tensor out = maps;
  if (const int64_t n = missing(out.size(3), width)) out = cat({out, Tensor::zeros({out.size(0), out.size(1), out.size(2), n})}, 3);
  if (const int64_t n = missing(out.size(2), height)) out = cat({out, Tensor::zeros({out.size(0), out.size(1), n, out.size(3)})}, 2);
  return out;
}

SwinLayer::SwinLayer(const SwinConfig& c, const Weights& w, size_t stage, int64_t number, float path)
    : size(c.size(stage)),
      heads(c.heads[stage]),
      window(c.window),
      shift(number % 2 == 0 ? 0 : c.window / 2),
      before(w, "layernorm_before", size, c.layer_norm_eps),
      qkv(w / "attention" / "self", {"query", "key", "value"}, size, {size, size, size}, c.init(), c.qkv_bias),
      table((w / "attention" / "self").tensor("relative_position_bias_table", {(2 * window - 1) * (2 * window - 1), heads}, nn::Init::zeros())),
      out(w / "attention" / "output", "dense", size, size, c.init()),
      after(w, "layernorm_after", size, c.layer_norm_eps),
      up(w / "intermediate", "dense", size, swin_inner(c, size), c.init()),
      down(w / "output", "dense", swin_inner(c, size), size, c.init()),
      act(c.act),
      drop(c.hidden_dropout_prob),
      attention_drop(c.attention_probs_dropout_prob),
      path_drop(path) {}

Tensor SwinLayer::forward(const Tensor& x, const MapSize& map) const {
  // A map no larger than a window has nothing to shift.
  const MapWindows windows(map, window, std::min(map.height, map.width) <= window ? 0 : shift);
  const Tensor y = x + nn::drop_path(windows.together(swin_attend(*this, windows.apart(before(x)), windows)), map.images, path_drop);
  return y + nn::dropout(down(activate(up(after(y)), act)), drop);
}

SwinMerging::SwinMerging(const SwinConfig& c, const Weights& w, size_t stage)
    : norm(w, "norm", 4 * c.size(stage), kSwinMergingEps), reduction(w, "reduction", 4 * c.size(stage), 2 * c.size(stage), c.init(), false) {}

Tensor SwinMerging::forward(const Tensor& x, MapSize* map) const {
  const Tensor maps = padded_maps(maps_of(x, *map), 2, 2);
  map->height = maps.size(2) / 2;
  map->width = maps.size(3) / 2;
  const Tensor wide = reshape(maps, {maps.size(0), maps.size(1), map->height, 2, map->width, 2});
  const auto quarter = [&](int64_t row, int64_t column) { return select(select(wide, 5, column), 3, row); };
  return reduction(norm(map_rows(cat({quarter(0, 0), quarter(1, 0), quarter(0, 1), quarter(1, 1)}, 1))));
}

SwinStack::SwinStack(const SwinConfig& c, const Weights& w) : window(c.window) {
  StochasticDepth paths(c.drop_path_rate, c.depths);
  for (size_t s = 0; s < c.depths.size(); ++s) {
    const Weights stage = w / "layers" / static_cast<int64_t>(s);
    stages.emplace_back();
    for (int64_t i = 0; i < c.depths[s]; ++i) stages.back().emplace_back(c, stage / "blocks" / i, s, i, paths.next());
    if (s + 1 < c.depths.size()) mergings.emplace_back(c, stage / "downsample", s);
  }
}

Tensor SwinStack::forward(Tensor x, MapSize* map, std::vector<Tensor>* states) const {
  for (size_t s = 0; s < stages.size(); ++s) {
    require(std::min(map->height, map->width) >= window, "forward: stage {} has a map of {}x{}, which is smaller than a window of {}; give a larger picture", s + 1, map->height,
            map->width, window);
    for (const SwinLayer& layer : stages[s]) x = nn::recomputed([&layer, size = *map](const std::vector<Tensor>& t) { return layer.forward(t[0], size); }, {x});
    if (s < mergings.size()) x = mergings[s].forward(x, map);
    if (states) states->push_back(reshape(x, {map->images, map->height * map->width, x.size(1)}));
  }
  return x;
}

}  // namespace mynah
