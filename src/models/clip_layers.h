// The pre-norm layers of CLIP's two towers, shared by families that keep its names (SigLIP, and decoders of pictures that embed
// a CLIP tower). Paper: arXiv:2103.00020. Shapes: N rows of all sequences, C hidden, H heads.
#pragma once
#include <vector>

#include "base/json.h"
#include "nn/layers.h"
#include "nn/token_batch.h"

namespace mynah {

struct ClipStackConfig {
  ClipStackConfig(const Json& c, int64_t hidden, int64_t layers, int64_t heads, int64_t intermediate, const char* act, double eps);

  int64_t hidden_size, num_hidden_layers, num_attention_heads, intermediate_size;
  Activation hidden_act;
  float layer_norm_eps, initializer_range;
  nn::Init init() const { return nn::Init::with_std(initializer_range); }
};

// fc1, activation, fc2
struct ClipMLP {
  ClipMLP(const ClipStackConfig& c, const nn::Weights& w);
  Tensor operator()(const Tensor& x) const { return fc2(activate(fc1(x), act)); }

  nn::Linear fc1, fc2;
  Activation act;
};

struct ClipLayer {
  ClipLayer(const ClipStackConfig& c, const nn::Weights& w);
  Tensor forward(const Tensor& x, const nn::TokenBatch& batch, int layer, bool causal) const;

  int64_t heads, head_dim;
  nn::LayerNorm norm1;
  nn::JoinedLinear qkv;
  nn::Linear out_proj;
  nn::LayerNorm norm2;
  ClipMLP mlp;
};

struct ClipStack {
  ClipStack(const ClipStackConfig& c, const nn::Weights& w);  // w: "...encoder"
  // x [N,C] -> [N,C]; with `states`, appends x and each layer's output as [B,T,C] (sequences of equal length).
  Tensor forward(Tensor x, const nn::TokenBatch& batch, bool causal, std::vector<Tensor>* states) const;

  std::vector<ClipLayer> layers;
};

// The patches of images and their places: a class token in front (CLIP) or not (SigLIP).
struct ClipPatches {
  ClipPatches(const Json& c, const ClipStackConfig& stack, const nn::Weights& w, bool with_class);
  // pixels [B,C,H,W] -> [B * T, C]; other sizes than image_size need `interpolate`.
  Tensor forward(const Tensor& pixels, bool interpolate, float excess = 0) const;

  int64_t channels, image_size, patch_size;
  Tensor projection, projection_bias, class_embedding, positions;
};

// What a tower gives: [B,T,C], and one row per text or image [B,C] (undefined if it has no such head).
struct TowerOutput {
  Tensor hidden, pooled;
};

// A tower's part of a config, or all of it if the tower stands alone.
const Json& tower_config(const Json& config, const char* key);

// Rows scaled to a length of 1.
Tensor unit_rows(const Tensor& x);

}  // namespace mynah
