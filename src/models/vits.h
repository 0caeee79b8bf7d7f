// The parts of VITS that vits.cpp puts together: its config and how long each token sounds.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "mynah/ops.h"
#include "nn/conv1d.h"
#include "nn/layers.h"

namespace mynah::vits {

// config.json by its own key names.
struct Config {
  int64_t vocab_size, hidden_size, num_hidden_layers, num_attention_heads, window_size, ffn_dim, ffn_kernel_size,
      flow_size, num_speakers, speaker_embedding_size, depth_separable_channels, depth_separable_num_layers,
      duration_predictor_flow_bins, duration_predictor_kernel_size, duration_predictor_num_flows,
      duration_predictor_filter_channels, prior_encoder_num_flows, prior_encoder_num_wavenet_layers,
      wavenet_kernel_size, wavenet_dilation_rate, sampling_rate;
  bool use_bias, use_stochastic_duration_prediction;
  Activation hidden_act;
  float layer_norm_eps, initializer_range, duration_predictor_tail_bound, speaking_rate, noise_scale,
      noise_scale_duration;

  explicit Config(const Json& c);
  nn::Init init() const { return nn::Init::with_std(initializer_range); }
};

// Standard normal numbers [rows, channels, length] times `scale`. Those of a row depend on the seed, the row's number
// and their place alone.
Tensor noise(int64_t rows, int64_t channels, int64_t length, float scale, uint64_t seed, std::string_view what);

// The logarithm of how many frames each token takes.
class DurationPredictor {
 public:
  virtual ~DurationPredictor() = default;
  // x [B,C,T], mask [B,1,T], speaker [1 or B, size, 1] or undefined -> [B,1,T]. Not differentiable.
  virtual Tensor log_durations(const Tensor& x, const Tensor& mask, const Tensor& speaker, float noise_scale,
                               uint64_t seed) const = 0;
};
std::unique_ptr<DurationPredictor> duration_predictor(const Config& c, const nn::Weights& w);

}  // namespace mynah::vits
