#include "models/hifigan.h"


#include "base/require.h"
#include "mynah/json.h"
#include "nn/config.h"

namespace mynah {
namespace {

std::vector<std::vector<int64_t>> dilations(const Json& config) {
  const Json lists = config.value("resblock_dilation_sizes", Json::parse("[[1,3,5],[1,3,5],[1,3,5]]"));
  require(lists.is_array() && !lists.empty(),
          "config.json: resblock_dilation_sizes is {}, expected lists of positive integers", lists.dump());
  std::vector<std::vector<int64_t>> all;
  for (const Json& list : lists)
    all.push_back(nn::config_ints(Json{{"resblock_dilation_sizes", list}}, "resblock_dilation_sizes", {}));
  return all;
}

}  // namespace

HifiGanConfig::HifiGanConfig(const Json& c, int64_t in)
    : bins(in),
      initial_channels(nn::config_int(c, "upsample_initial_channel", 512, 1, 1 << 20)),
      rates(nn::config_ints(c, "upsample_rates", {8, 8, 2, 2})),
      kernels(nn::config_ints(c, "upsample_kernel_sizes", {16, 16, 4, 4})),
      block_kernels(nn::config_ints(c, "resblock_kernel_sizes", {3, 7, 11})),
      block_dilations(dilations(c)),
      slope(static_cast<float>(nn::config_number(c, "leaky_relu_slope", 0.1))) {
  require(rates.size() == kernels.size(), "config.json: upsample_rates has {} entries, upsample_kernel_sizes {}",
          rates.size(), kernels.size());
  require(block_kernels.size() == block_dilations.size(),
          "config.json: resblock_kernel_sizes has {} entries, resblock_dilation_sizes {}", block_kernels.size(),
          block_dilations.size());
  require(slope >= 0 && slope <= 1, "config.json: leaky_relu_slope is {}, expected 0 to 1", slope);
  require(rates.size() < 20 && initial_channels >> rates.size() > 0,
          "config.json: upsample_initial_channel {} is halved {} times, nothing is left", initial_channels,
          rates.size());
  for (size_t i = 0; i < rates.size(); ++i)
    require(kernels[i] >= rates[i], "config.json: upsample_kernel_sizes has {}, less than its rate {}", kernels[i],
            rates[i]);
}

int64_t HifiGanConfig::samples_per_frame() const {
  int64_t n = 1;
  for (const int64_t rate : rates) n *= rate;
  return n;
}

HifiGan::HifiGan(const HifiGanConfig& config, const nn::Weights& w) : c_(config) {
  conv_pre_ = nn::Conv1d(w, "conv_pre", c_.bins, c_.initial_channels, nn::Conv1dConfig::same(7), c_.init);
  int64_t channels = c_.initial_channels;
  for (size_t i = 0; i < c_.rates.size(); ++i, channels /= 2)
    upsampler_.emplace_back(w / "upsampler", std::to_string(i), channels, channels / 2,
                            nn::Conv1dConfig{.kernel = c_.kernels[i],
                                             .stride = c_.rates[i],
                                             .padding = (c_.kernels[i] - c_.rates[i]) / 2,
                                             .transposed = true},
                            c_.init);
  channels = c_.initial_channels;
  for (size_t i = 0; i < c_.rates.size(); ++i) {
    channels /= 2;
    for (size_t k = 0; k < c_.block_kernels.size(); ++k) {
      const nn::Weights at = w / "resblocks" / static_cast<int64_t>(blocks_.size());
      const int64_t kernel = c_.block_kernels[k];
      Block b;
      for (size_t d = 0; d < c_.block_dilations[k].size(); ++d) {
        b.first.emplace_back(at / (c_.single ? "convs" : "convs1"), std::to_string(d), channels, channels,
                             nn::Conv1dConfig::same(kernel, c_.block_dilations[k][d]), c_.init);
        if (!c_.single)
          b.second.emplace_back(at / "convs2", std::to_string(d), channels, channels, nn::Conv1dConfig::same(kernel),
                                c_.init);
      }
      blocks_.push_back(std::move(b));
    }
  }
  nn::Conv1dConfig post = nn::Conv1dConfig::same(7);
  post.bias = c_.post_bias;
  conv_post_ = nn::Conv1d(w, "conv_post", channels, 1, post, c_.init);
  if (c_.speaker_size > 0) condition_ = nn::Conv1d(w, "cond", c_.speaker_size, c_.initial_channels, {}, c_.init);
}

Tensor HifiGan::block(const Block& b, Tensor x) const {
  for (size_t i = 0; i < b.first.size(); ++i) {
    if (c_.single)
      x = b.first[i](x, c_.slope, x);
    else
      x = b.second[i](b.first[i](x, c_.slope), c_.slope, x);
  }
  return x;
}

Tensor HifiGan::operator()(const Tensor& spectrogram, const Tensor& speaker) const {
  Tensor x = conv_pre_(spectrogram);
  if (speaker.defined()) x = x + condition_(speaker);
  const size_t each = c_.block_kernels.size();
  for (size_t i = 0; i < upsampler_.size(); ++i) {
    x = upsampler_[i](x, c_.slope);
    Tensor all = block(blocks_[i * each], x);
    for (size_t k = 1; k < each; ++k) all = all + block(blocks_[i * each + k], x);
    x = all * (1.0f / static_cast<float>(each));
  }
  return squeeze(tanh(conv_post_(x, 0.01f)), 1);
}

}  // namespace mynah
