// The body of DINOv2, alone or as the backbone of another network: a ViT with scaled residuals that resizes its position table to the
// picture. Paper: arXiv:2304.07193.
#pragma once
#include <functional>
#include <vector>

#include "base/json.h"
#include "models/vit_layers.h"

namespace mynah {

// A config of model type dinov2.
VitConfig dinov2_config(const Json& json);

struct Dinov2Layer {
  Dinov2Layer(const VitConfig& c, const Json& json, const nn::Weights& w);
  Tensor forward(const Tensor& x, const nn::TokenBatch& batch) const;

  int64_t heads, head_dim;
  bool gated;
  Activation act;
  nn::LayerNorm norm1;
  nn::JoinedLinear qkv;
  nn::Linear attention_out;
  Tensor scale1;
  nn::LayerNorm norm2;
  nn::Linear in, out;
  Tensor scale2;
  float drop, attention_drop, path_drop;
};

class Dinov2Body {
 public:
  Dinov2Body(const Json& json, const nn::Weights& w);
  // pixels [B,C,H,W] -> tokens [B,T,C] before the last norm; `note` is called with the embeddings (0) and every layer's output.
  Tensor forward(const Tensor& pixels, const std::function<void(size_t, const Tensor&)>& note = {}) const;

  VitConfig config;
  nn::LayerNorm norm;

 private:
  Tensor cls_, positions_, projection_, projection_bias_;
  std::vector<Dinov2Layer> layers_;
};

}  // namespace mynah
