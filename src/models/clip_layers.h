// The pre-norm layers of CLIP's two towers, shared by families that keep its names (SigLIP, and decoders of pictures that embed
// a CLIP tower). Paper: arXiv:2103.00020. Shapes: N rows of all sequences, C hidden, H heads.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "nn/inputs.h"
#include "nn/layers.h"
#include "nn/token_batch.h"

namespace mynah {

struct ClipStackConfig {
  ClipStackConfig(const Json& c, int64_t hidden, int64_t layers, int64_t heads, int64_t intermediate, const char* act, double eps);

  int64_t hidden_size, num_hidden_layers, num_attention_heads, intermediate_size;
  Activation hidden_act;
  float layer_norm_eps, initializer_range, attention_dropout;
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
  // x [N, C] -> [N, C]; or, where `is_last`, the rows of it that the batch says are read.
  Tensor forward(const Tensor& x, const nn::TokenBatch& batch, int layer, bool causal, bool is_last) const;

  int64_t heads, head_dim;
  nn::LayerNorm norm1;
  nn::JoinedLinear qkv;
  nn::Linear out_proj;
  nn::LayerNorm norm2;
  ClipMLP mlp;
  float attention_drop;
};

struct ClipStack {
  ClipStack(const ClipStackConfig& c, const nn::Weights& w);  // w: "...encoder"
  // x [N,C] -> [N,C], or without `states` the rows that are read; with `states`, appends x and each layer's output as [B,T,C]
  // (sequences of equal length).
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

// What a tower gives: [B,T,C] (undefined if it was asked for no more than the other), and one row per text or image [B,C] (undefined if it
// has no such head).
struct TowerOutput {
  Tensor hidden, pooled;
};

// A tower's part of a config, or all of it if the tower stands alone.
const Json& tower_config(const Json& config, const char* key);

// Rows scaled to a length of 1.
Tensor unit_rows(const Tensor& x);

struct TowersOutput {
  TowerOutput text, image;  // undefined if the tower was not asked
};

// Asks the towers that are there, one alone where both are but only its inputs are given. A single tower's hidden states go to `out`.
template <class Text, class Image>
TowersOutput ask_towers(const std::optional<Text>& text, const std::optional<Image>& image, const nn::Inputs& in, bool hidden_states, nn::NamedTensors* out) {
  const bool both = text && image, has_text = in.has("input_ids"), has_image = in.has("pixel_values");
  std::vector<Tensor> states;
  std::vector<Tensor>* wanted = hidden_states && !both ? &states : nullptr;
  TowersOutput y;
  if (text && !(both && has_image && !has_text)) y.text = text->forward(in, wanted);
  if (image && !(both && has_text && !has_image)) y.image = image->forward(in, wanted);
  for (size_t i = 0; i < states.size(); ++i) (*out)["hidden_states." + std::to_string(i)] = states[i];
  return y;
}

// CLIP's loss of "logits_per_text" and "logits_per_image": each text's own image, and each image's own text, is the one of its number.
Tensor contrastive_loss(const nn::NamedTensors& out);

}  // namespace mynah
