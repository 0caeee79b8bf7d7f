// Swin's layers, whose attention stays inside windows that every second layer shifts, and the stages between which maps halve: shared by
// Swin, Donut and CLAP's ears. Paper: arXiv:2103.14030. Shapes: B images, N rows of all images, C hidden.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "base/json.h"
#include "models/maps.h"
#include "nn/layers.h"

namespace mynah {

struct SwinConfig {
  explicit SwinConfig(const Json& c);

  int64_t num_channels;
  std::array<int64_t, 2> patch_size;
  int64_t embed_dim, window;
  std::vector<int64_t> depths, heads;
  double mlp_ratio;
  bool qkv_bias;
  Activation act;
  float hidden_dropout_prob, attention_probs_dropout_prob, drop_path_rate;
  float layer_norm_eps, initializer_range;
  nn::Init init() const { return nn::Init::with_std(initializer_range); }
  int64_t size(size_t stage) const { return embed_dim << stage; }
};

// Zeros on the right and below, up to multiples of these sides.
Tensor padded_maps(const Tensor& maps, int64_t height, int64_t width);

struct SwinLayer {
  SwinLayer(const SwinConfig& c, const nn::Weights& w, size_t stage, int64_t number, float path);
  Tensor forward(const Tensor& x, const MapSize& map) const;

  int64_t size, heads, window, shift;
  nn::LayerNorm before;
  nn::JoinedLinear qkv;
  Tensor table;
  nn::Linear out;
  nn::LayerNorm after;
  nn::Linear up, down;
  Activation act;
  float drop, attention_drop, path_drop;
};

// Two by two places become one.
struct SwinMerging {
  SwinMerging(const SwinConfig& c, const nn::Weights& w, size_t stage);
  Tensor forward(const Tensor& x, MapSize* map) const;

  nn::LayerNorm norm;
  nn::Linear reduction;
};

struct SwinStack {
  SwinStack(const SwinConfig& c, const nn::Weights& w);  // w: what "layers" lie in
  // x [N,C] of maps of this size, which becomes the last stage's; with `states`, appends what leaves each stage as [B,places,C].
  Tensor forward(Tensor x, MapSize* map, std::vector<Tensor>* states) const;

  int64_t window;
  std::vector<std::vector<SwinLayer>> stages;
  std::vector<SwinMerging> mergings;
};

}  // namespace mynah
