#include "models/wav2vec2_layers.h"

#include <cmath>

#include "base/require.h"
#include "mynah/json.h"
#include "nn/config.h"

namespace mynah {

using nn::Init;

SoundFeatureConfig::SoundFeatureConfig(const Json& c)
    : conv_dim(nn::config_ints(c, "conv_dim", {512, 512, 512, 512, 512, 512, 512})),
      conv_kernel(nn::config_ints(c, "conv_kernel", {10, 3, 3, 3, 3, 2, 2})),
      conv_stride(nn::config_ints(c, "conv_stride", {5, 2, 2, 2, 2, 2, 2})),
      conv_bias(nn::config_bool(c, "conv_bias", false)),
      feat_extract_activation(activation(nn::config_string(c, "feat_extract_activation", "gelu"))),
      num_conv_pos_embeddings(nn::config_int(c, "num_conv_pos_embeddings", 128)),
      num_conv_pos_embedding_groups(nn::config_int(c, "num_conv_pos_embedding_groups", 16)) {
  const std::string norm = nn::config_string(c, "feat_extract_norm", "group");
  require(norm == "group" || norm == "layer",
          "config.json: feat_extract_norm is \"{}\", expected \"group\" or \"layer\"", norm);
  layer_normed_features = norm == "layer";
  require(conv_dim.size() == conv_kernel.size() && conv_dim.size() == conv_stride.size(),
          "config.json: conv_dim, conv_kernel and conv_stride have {}, {} and {} entries", conv_dim.size(),
          conv_kernel.size(), conv_stride.size());
}

int64_t SoundFeatureConfig::frames(int64_t samples) const {
  for (size_t i = 0; i < conv_kernel.size(); ++i)
    samples = samples < conv_kernel[i] ? 0 : (samples - conv_kernel[i]) / conv_stride[i] + 1;
  return samples;
}

std::vector<int64_t> SoundFeatureConfig::frames_of(const Shape& samples, const std::vector<uint8_t>& mask) const {
  const int64_t all = frames(samples[1]);
  require(all > 0, "forward: input_values has {} samples, too few for one frame", samples[1]);
  std::vector<int64_t> lengths(static_cast<size_t>(samples[0]), all);
  for (size_t b = 0; !mask.empty() && b < lengths.size(); ++b) {
    int64_t seen = 0;
    for (int64_t t = 0; t < samples[1]; ++t) seen += mask[b * static_cast<size_t>(samples[1]) + static_cast<size_t>(t)];
    lengths[b] = frames(seen);
    require(lengths[b] > 0, "forward: row {} of attention_mask leaves {} samples, too few for one frame", b, seen);
  }
  return lengths;
}

SoundFeatureLayer::SoundFeatureLayer(const SoundFeatureConfig& c, const nn::Weights& w, size_t index)
    : stride(c.conv_stride[index]), act(c.feat_extract_activation), by_channel(!c.layer_normed_features) {
  const int64_t in = index == 0 ? 1 : c.conv_dim[index - 1], out = c.conv_dim[index], kernel = c.conv_kernel[index];
  weight = (w / "conv")
               .tensor("weight", {out, in, kernel}, Init::with_std(std::sqrt(2.0f / static_cast<float>(in * kernel))));
  if (c.conv_bias) bias = (w / "conv").tensor("bias", {out}, Init::zeros());
  if (c.layer_normed_features || index == 0) norm.emplace(w, "layer_norm", out, 1e-5f);
}

Tensor SoundFeatureLayer::forward(const Tensor& x) const {
  Tensor y = conv1d(x, weight, bias, stride);
  if (norm && by_channel)
    y = group_norm(y, y.size(1), norm->weight, norm->bias, norm->eps);
  else if (norm)
    y = transpose((*norm)(transpose(y, 1, 2)), 1, 2);
  return activate(y, act);
}

PositionalConvolution::PositionalConvolution(const SoundFeatureConfig& c, const nn::Weights& w, int64_t channels,
                                             bool batch_normed)
    : groups(c.num_conv_pos_embedding_groups),
      act(c.feat_extract_activation),
      weight(w, "conv", {channels, channels / groups, c.num_conv_pos_embeddings}, 2,
             Init::with_std(2 * std::sqrt(1 / static_cast<float>(c.num_conv_pos_embeddings * channels)))),
      bias((w / "conv").tensor("bias", {channels}, Init::zeros())) {
  if (!batch_normed) return;
  const nn::Weights n = w / "batch_norm";
  statistics = {n.buffer("running_mean", {channels}, Init::zeros()), n.buffer("running_var", {channels}, Init::ones()),
                n.tensor("weight", {channels}, Init::ones()), n.tensor("bias", {channels}, Init::zeros())};
}

Tensor PositionalConvolution::forward(const Tensor& x) const {
  Tensor y = transpose(x, 1, 2);
  if (!statistics.empty()) y = batch_norm(y, statistics[0], statistics[1], statistics[2], statistics[3], 1e-5f);
  y = conv1d(y, weight(), bias, 1, weight.v.size(2) / 2, 1, groups);
  if (weight.v.size(2) % 2 == 0) y = narrow(y, 2, 0, y.size(2) - 1);  // an even kernel gives one frame too many
  return transpose(activate(y, act), 1, 2);
}

}  // namespace mynah
