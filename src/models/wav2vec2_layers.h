// What Wav2Vec2 and its relatives share: convolutions that turn samples into frames, and one that says where a frame
// stands.
#pragma once
#include <optional>
#include <vector>

#include "base/json.h"
#include "mynah/ops.h"
#include "nn/layers.h"
#include "nn/weight_norm.h"

namespace mynah {

// config.json's conv_*, feat_extract_* and num_conv_pos_*.
struct SoundFeatureConfig {
  std::vector<int64_t> conv_dim, conv_kernel, conv_stride;
  bool conv_bias, layer_normed_features;
  Activation feat_extract_activation;
  int64_t num_conv_pos_embeddings, num_conv_pos_embedding_groups;

  // Throws failure for lists that do not fit together.
  explicit SoundFeatureConfig(const Json& config);
  // Frames that the convolutions make of so many samples.
  int64_t frames(int64_t samples) const;
  // Frames of each row that count: [B,samples] of `mask` (1 for samples that do), or all of them without one. Throws
  // failure where none is left.
  std::vector<int64_t> frames_of(const Shape& samples, const std::vector<uint8_t>& mask) const;
};

// One convolution over [B,C,T] with the norm that follows it in some checkpoints.
struct SoundFeatureLayer {
  SoundFeatureLayer(const SoundFeatureConfig& c, const nn::Weights& w, size_t index);
  Tensor forward(const Tensor& x) const;

  int64_t stride;
  Activation act;
  bool by_channel;
  Tensor weight, bias;
  std::optional<nn::LayerNorm> norm;
};

// Where a frame stands, from its neighbours: a grouped convolution over time.
struct PositionalConvolution {
  PositionalConvolution(const SoundFeatureConfig& c, const nn::Weights& w, int64_t channels, bool batch_normed);
  Tensor forward(const Tensor& x) const;  // [B,T,C] -> [B,T,C]

  int64_t groups;
  Activation act;
  nn::WeightNorm weight;
  Tensor bias;
  std::vector<Tensor> statistics;
};

}  // namespace mynah
