// How long each token of VITS sounds: a plain stack of convolutions, or a chain of invertible maps (splines,
// arXiv:1906.04032) that turns noise into durations.
#include <algorithm>
#include <cmath>
#include <optional>

#include "base/random.h"
#include "base/require.h"
#include "models/vits.h"

namespace mynah::vits {

Tensor noise(int64_t rows, int64_t channels, int64_t length, float scale, uint64_t seed, std::string_view what) {
  Tensor x = Tensor::zeros({rows, channels, length});
  if (scale == 0) return x;
  const uint64_t stream = stream_of(what);
  for (int64_t b = 0; b < rows; ++b)
    for (int64_t t = 0; t < length; ++t)
      for (int64_t c = 0; c < channels; c += 2) {
        const auto pair = normal2(seed, stream + static_cast<uint64_t>(b),
                                  static_cast<uint64_t>(t * ((channels + 1) / 2) + c / 2), RandomPurpose::sampling);
        for (int64_t i = 0; i < 2 && c + i < channels; ++i)
          x.data<float>()[(b * channels + c + i) * length + t] = scale * pair[static_cast<size_t>(i)];
      }
  return x;
}

namespace {

// A layer norm over the channels of [B,C,T].
Tensor channel_norm(const nn::LayerNorm& norm, const Tensor& x) { return transpose(norm(transpose(x, 1, 2)), 1, 2); }

struct PlainPredictor : DurationPredictor {
  PlainPredictor(const Config& c, const nn::Weights& w) {
    const int64_t kernel = c.duration_predictor_kernel_size, width = c.duration_predictor_filter_channels;
    conv_1 = nn::Conv1d(w, "conv_1", c.hidden_size, width, nn::Conv1dConfig::same(kernel), c.init());
    norm_1 = nn::LayerNorm(w, "norm_1", width, c.layer_norm_eps);
    conv_2 = nn::Conv1d(w, "conv_2", width, width, nn::Conv1dConfig::same(kernel), c.init());
    norm_2 = nn::LayerNorm(w, "norm_2", width, c.layer_norm_eps);
    proj = nn::Conv1d(w, "proj", width, 1, {}, c.init());
    if (c.speaker_embedding_size > 0)
      cond = nn::Conv1d(w, "cond", c.speaker_embedding_size, c.hidden_size, {}, c.init());
  }
  Tensor log_durations(const Tensor& in, const Tensor& mask, const Tensor& speaker, float, uint64_t) const override {
    Tensor x = speaker.defined() ? in + cond(speaker) : in;
    x = channel_norm(norm_1, relu(conv_1(x * mask)));
    x = channel_norm(norm_2, relu(conv_2(x * mask)));
    return proj(x * mask) * mask;
  }

  nn::Conv1d conv_1, conv_2, proj, cond;
  nn::LayerNorm norm_1, norm_2;
};

// Convolutions of each channel alone whose windows grow, each followed by one across channels.
struct SeparableStack {
  SeparableStack(const Config& c, const nn::Weights& w) {
    const int64_t channels = c.hidden_size, kernel = c.duration_predictor_kernel_size;
    int64_t dilation = 1;
    for (int64_t i = 0; i < c.depth_separable_num_layers; ++i, dilation *= kernel) {
      nn::Conv1dConfig each = nn::Conv1dConfig::same(kernel, dilation);
      each.groups = channels;
      dilated.emplace_back(w / "convs_dilated", std::to_string(i), channels, channels, each, c.init());
      pointwise.emplace_back(w / "convs_pointwise", std::to_string(i), channels, channels, nn::Conv1dConfig{},
                             c.init());
      norms_1.emplace_back(w / "norms_1", std::to_string(i), channels, 1e-5f);
      norms_2.emplace_back(w / "norms_2", std::to_string(i), channels, 1e-5f);
    }
  }
  Tensor operator()(Tensor x, const Tensor& mask) const {
    for (size_t i = 0; i < dilated.size(); ++i) {
      const Tensor y = gelu(channel_norm(norms_1[i], dilated[i](x * mask)));
      x = x + gelu(channel_norm(norms_2[i], pointwise[i](y)));
    }
    return x * mask;
  }

  std::vector<nn::Conv1d> dilated, pointwise;
  std::vector<nn::LayerNorm> norms_1, norms_2;
};

// A monotonic function of [-bound, bound] onto itself made of rational quadratic pieces, and its inverse at a point.
class Spline {
 public:
  // `p`: the numbers that the network gives, widths, heights and slopes, `stride` apart: 3 bins - 1 of them.
  Spline(const float* p, int64_t stride, int64_t bins, float bound, float width_scale) : bound_(bound) {
    const auto at = [&](int64_t i) { return p[i * stride]; };
    edges(bins, [&](int64_t i) { return at(i) * width_scale; }, &x_);
    edges(bins, [&](int64_t i) { return at(bins + i) * width_scale; }, &y_);
    slopes_.assign(static_cast<size_t>(bins + 1), 1.0f);  // of the straight line outside
    for (int64_t i = 1; i < bins; ++i) {
      const float v = at(2 * bins + i - 1);
      slopes_[static_cast<size_t>(i)] = kLeast + (v > 20 ? v : std::log1p(std::exp(v)));
    }
  }
  float inverse(float y) const {
    if (!(y >= -bound_ && y <= bound_)) return y;
    size_t i = 0;
    while (i + 2 < y_.size() && y >= y_[i + 1]) ++i;
    const float width = x_[i + 1] - x_[i], height = y_[i + 1] - y_[i], delta = height / width, rest = y - y_[i];
    const float curve = slopes_[i] + slopes_[i + 1] - 2 * delta;
    const float a = height * (delta - slopes_[i]) + rest * curve, b = height * slopes_[i] - rest * curve,
                c = -delta * rest;
    const float root = 2 * c / (-b - std::sqrt(std::max(b * b - 4 * a * c, 0.0f)));
    return root * width + x_[i];
  }

 private:
  static constexpr float kLeast = 1e-3f;  // width and height of a piece as a share, and slope
  // Edges of pieces whose sizes are a softmax of `size`.
  template <class Size>
  void edges(int64_t bins, const Size& size, std::vector<float>* out) const {
    float most = size(0), total = 0;
    for (int64_t i = 1; i < bins; ++i) most = std::max(most, size(i));
    for (int64_t i = 0; i < bins; ++i) total += std::exp(size(i) - most);
    float sum = 0;
    out->push_back(-bound_);
    for (int64_t i = 0; i < bins; ++i) {
      sum += kLeast + (1 - kLeast * static_cast<float>(bins)) * std::exp(size(i) - most) / total;
      out->push_back(2 * bound_ * sum - bound_);
    }
    out->back() = bound_;
  }

  float bound_;
  std::vector<float> x_, y_, slopes_;
};

// Half of the channels bend the other half through splines.
struct ConvFlow {
  ConvFlow(const Config& c, const nn::Weights& w)
      : half(c.depth_separable_channels / 2),
        bins(c.duration_predictor_flow_bins),
        bound(c.duration_predictor_tail_bound),
        conv_pre(w, "conv_pre", half, c.hidden_size, {}, c.init()),
        stack(c, w / "conv_dds"),
        conv_proj(w, "conv_proj", c.hidden_size, half * (bins * 3 - 1), {}, c.init()) {}
  // The inverse: x [B, 2 half, T].
  Tensor inverse(const Tensor& x, const Tensor& mask, const Tensor& condition) const {
    const Tensor first = narrow(x, 1, 0, half),
                 p = contiguous(conv_proj(stack(conv_pre(first) + condition, mask)) * mask);
    Tensor y = Tensor::empty(x.shape());
    const Tensor in = contiguous(x);
    const int64_t length = x.size(2), numbers = bins * 3 - 1;
    const float scale = 1 / std::sqrt(static_cast<float>(conv_pre.bias.size(0)));
    for (int64_t b = 0; b < x.size(0); ++b)
      for (int64_t ch = 0; ch < 2 * half; ++ch)
        for (int64_t t = 0; t < length; ++t) {
          const int64_t at = (b * 2 * half + ch) * length + t;
          float v = in.data<float>()[at];
          if (ch >= half)
            v = Spline(p.data<float>() + (b * half + ch - half) * numbers * length + t, length, bins, bound, scale)
                    .inverse(v);
          y.data<float>()[at] = v;
        }
    return y * mask;
  }

  int64_t half, bins;
  float bound;
  nn::Conv1d conv_pre;
  SeparableStack stack;
  nn::Conv1d conv_proj;
};

struct StochasticPredictor : DurationPredictor {
  StochasticPredictor(const Config& c, const nn::Weights& w)
      : channels(c.depth_separable_channels),
        conv_pre(w, "conv_pre", c.hidden_size, c.hidden_size, {}, c.init()),
        stack(c, w / "conv_dds"),
        conv_proj(w, "conv_proj", c.hidden_size, c.hidden_size, {}, c.init()),
        translate((w / "flows" / 0).tensor("translate", {channels, 1}, nn::Init::zeros())),
        log_scale((w / "flows" / 0).tensor("log_scale", {channels, 1}, nn::Init::zeros())) {
    if (c.speaker_embedding_size > 0)
      cond = nn::Conv1d(w, "cond", c.speaker_embedding_size, c.hidden_size, {}, c.init());
    for (int64_t i = 2; i <= c.duration_predictor_num_flows; ++i)
      flows.emplace_back(c, w / "flows" / i);  // the first one is left out when speaking
  }
  Tensor log_durations(const Tensor& in, const Tensor& mask, const Tensor& speaker, float noise_scale,
                       uint64_t seed) const override {
    Tensor x = conv_pre(in);
    if (speaker.defined()) x = x + cond(speaker);
    x = conv_proj(stack(x, mask)) * mask;
    Tensor z = noise(in.size(0), channels, in.size(2), noise_scale, seed, "vits durations");
    for (size_t i = flows.size(); i-- > 0;) z = flows[i].inverse(turned(z), mask, x);
    z = (turned(z) - translate) * exp(neg(log_scale)) * mask;
    return narrow(z, 1, 0, 1);
  }
  // The channels in the opposite order.
  Tensor turned(const Tensor& x) const {
    std::vector<Tensor> parts;
    for (int64_t c = channels; c-- > 0;) parts.push_back(narrow(x, 1, c, 1));
    return cat(parts, 1);
  }

  int64_t channels;
  nn::Conv1d conv_pre;
  SeparableStack stack;
  nn::Conv1d conv_proj;
  Tensor translate, log_scale;
  nn::Conv1d cond;
  std::vector<ConvFlow> flows;
};

}  // namespace

std::unique_ptr<DurationPredictor> duration_predictor(const Config& c, const nn::Weights& w) {
  if (c.use_stochastic_duration_prediction) return std::make_unique<StochasticPredictor>(c, w);
  return std::make_unique<PlainPredictor>(c, w);
}

}  // namespace mynah::vits
