// The patch embedding and the pre-norm layers of ViT, shared by families that keep its names (DeiT, YOLOS ...).
// Paper: arXiv:2010.11929. Shapes: B images, T tokens of each, N = B * T rows, C hidden, H heads.
#pragma once
#include <array>
#include <vector>

#include "base/json.h"
#include "nn/layers.h"
#include "nn/token_batch.h"

namespace mynah {

struct VitConfig {
  explicit VitConfig(const Json& c);

  int64_t hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, num_channels;
  std::array<int64_t, 2> image_size, patch_size;
  float layer_norm_eps, initializer_range, hidden_dropout_prob, attention_probs_dropout_prob;
  bool qkv_bias;
  Activation hidden_act;
  nn::Init init() const { return nn::Init::with_std(initializer_range); }
  std::array<int64_t, 2> grid() const { return {image_size[0] / patch_size[0], image_size[1] / patch_size[1]}; }
};

// Rows of B images whose tokens are `special` learned ones [1, S, C] (several tensors), then the patches [B * P, C].
Tensor join_tokens(const std::vector<Tensor>& special, const Tensor& patches, int64_t images, const std::vector<Tensor>& after = {});

struct VitLayer {
  VitLayer(const VitConfig& c, const nn::Weights& w);
  // x [B*T, C] -> [B*T, C]; or, where `is_last`, the rows of it that the batch says are read.
  Tensor forward(const Tensor& x, const nn::TokenBatch& batch, int layer, bool is_last = false) const;

  int64_t heads, head_dim;
  nn::JoinedLinear qkv;
  nn::Linear attention_out;
  nn::LayerNorm before, after;
  nn::Linear intermediate, output;
  Activation act;
  float drop, attention_drop;
};

struct VitStack {
  VitStack(const VitConfig& c, const nn::Weights& w);
  // x [B*T, C] -> [B*T, C]; with `states`, appends x and each layer's output as [B,T,C].
  Tensor forward(Tensor x, int64_t images, std::vector<Tensor>* states) const { return forward(std::move(x), images, states, x.size(0) / images); }
  // The same for who reads no more than the first `kept` tokens of each image: [B*kept, C].
  Tensor forward(Tensor x, int64_t images, std::vector<Tensor>* states, int64_t kept) const;

  std::vector<VitLayer> layers;
  float drop;  // of what enters the first layer
};

}  // namespace mynah
