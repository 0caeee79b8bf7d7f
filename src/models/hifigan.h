// HiFi-GAN's generator: a spectrogram becomes a waveform through transposed convolutions, each followed by residual
// blocks of several window sizes whose outputs are averaged. Paper: arXiv:2010.05646.
#pragma once
#include <vector>

#include "base/json.h"
#include "nn/conv1d.h"

namespace mynah {

struct HifiGanConfig {
  int64_t bins = 0, initial_channels = 0;
  std::vector<int64_t> rates, kernels, block_kernels;
  std::vector<std::vector<int64_t>> block_dilations;
  float slope = 0.1f;
  // Blocks of single convolutions ("resblock 2" of the paper: convs.N) instead of pairs (convs1.N and convs2.N).
  bool single = false;
  bool post_bias = true;
  int64_t speaker_size = 0;  // of the vector that is added to the first layer; 0: none
  nn::Init init;

  // upsample_*, resblock_* and leaky_relu_slope of a config.json. Throws failure for lists that do not fit together.
  HifiGanConfig(const Json& config, int64_t bins);
  int64_t samples_per_frame() const;
};

class HifiGan {
 public:
  HifiGan(const HifiGanConfig& config, const nn::Weights& w);
  // [B, bins, T] -> [B, samples]; `speaker` [1 or B, speaker_size, 1] or undefined.
  Tensor operator()(const Tensor& spectrogram, const Tensor& speaker = {}) const;

 private:
  struct Block {
    std::vector<nn::Conv1d> first, second;  // second: empty for single ones
  };
  Tensor block(const Block& b, Tensor x) const;

  HifiGanConfig c_;
  nn::Conv1d conv_pre_, conv_post_, condition_;
  std::vector<nn::Conv1d> upsampler_;
  std::vector<Block> blocks_;
};

}  // namespace mynah
