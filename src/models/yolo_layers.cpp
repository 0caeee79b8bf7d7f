#include "models/yolo_layers.h"

#include <tuple>

#include "base/require.h"

namespace mynah {
namespace {

constexpr float kYoloLayersEps = 1e-3f, kMomentum = 0.03f;

nn::Init init() { return nn::Init::with_std(0.02f); }

}  // namespace

YoloConv::YoloConv(const nn::Weights& w, int64_t in, int64_t out, int64_t kernel, int64_t stride_, int64_t padding_, int64_t groups)
    : stride(stride_), padding(padding_ < 0 ? kernel / 2 : padding_) {
  const bool folded_on_disk = w.has("conv.bias") && !w.has("bn.weight");
  conv = MapConvolution(w, "conv", in, out, kernel, init(), groups, folded_on_disk);
  if (!folded_on_disk) norm = MapNorm(w, "bn", out, kYoloLayersEps, kMomentum);
  if (groups != 1 || conv.weight.requires_grad()) return;
  Tensor factor, summand = conv.bias;
  if (norm.weight.defined()) std::tie(factor, summand) = ops::FoldedConv::of_norm(norm.mean, norm.variance, norm.weight, norm.bias, kYoloLayersEps);
  folded = std::make_shared<const ops::FoldedConv>(conv.weight, factor, summand, ConvConfig{{stride, stride}, {padding, padding}},
                                                   w.matrices() == nn::MatrixType::bf16 || w.matrices() == nn::MatrixType::int8);
}

Tensor YoloConv::operator()(const Tensor& x) const {
  if (folded && !x.requires_grad()) return silu((*folded)(x, false));
  const Tensor y = conv.forward(x, {stride, stride}, {padding, padding});
  return silu(norm.weight.defined() ? norm(y) : y);
}

YoloWide::YoloWide(const nn::Weights& w, int64_t in, int64_t out, int64_t kernel, int64_t stride, bool depthwise) {
  if (!depthwise) {
    steps.emplace_back(w, in, out, kernel, stride);
    return;
  }
  steps.emplace_back(w / "dconv", in, in, kernel, stride, -1, in);
  steps.emplace_back(w / "pconv", in, out, 1);
}

Tensor YoloWide::operator()(const Tensor& x) const {
  Tensor y = x;
  for (const YoloConv& step : steps) y = step(y);
  return y;
}

YoloBottleneck::YoloBottleneck(const nn::Weights& w, const char* stem, int64_t size, int64_t first_kernel, bool shortcut_, bool depthwise)
    : first(w / (std::string(stem) + "1"), size, size, first_kernel), second(w / (std::string(stem) + "2"), size, size, 3, 1, depthwise), shortcut(shortcut_) {}

Tensor YoloBottleneck::operator()(const Tensor& x) const {
  const Tensor y = second(first(x));
  return shortcut ? x + y : y;
}

YoloCsp::YoloCsp(const nn::Weights& w, const char* stem, int64_t in, int64_t out, int64_t count, bool shortcut, bool depthwise)
    : first(w / (std::string(stem) + "1"), in, out / 2, 1), second(w / (std::string(stem) + "2"), in, out / 2, 1), last(w / (std::string(stem) + "3"), out / 2 * 2, out, 1) {
  for (int64_t i = 0; i < count; ++i) blocks.emplace_back(w / "m" / i, stem, out / 2, 1, shortcut, depthwise);
}

Tensor YoloCsp::operator()(const Tensor& x) const {
  Tensor y = first(x);
  for (const YoloBottleneck& block : blocks) y = block(y);
  return last(cat({y, second(x)}, 1));
}

Tensor yolo_pixels(const nn::Inputs& in) {
  const Tensor pixels = in.floats("pixel_values", {-1, 3, -1, -1});
  require(pixels.size(2) % 32 == 0 && pixels.size(3) % 32 == 0 && pixels.size(2) > 0 && pixels.size(3) > 0,
          "forward: pixel_values are {}x{}, expected multiples of 32", pixels.size(2), pixels.size(3));
  return pixels;
}

Tensor doubled(const Tensor& x) { return interpolate(x, 2 * x.size(2), 2 * x.size(3), Interpolation::nearest); }

std::vector<GridPlace> grid_places(const std::vector<Tensor>& maps, const std::vector<int64_t>& strides) {
  std::vector<GridPlace> all;
  for (size_t i = 0; i < maps.size(); ++i)
    for (int64_t y = 0; y < maps[i].size(2); ++y)
      for (int64_t x = 0; x < maps[i].size(3); ++x) all.push_back({static_cast<float>(x), static_cast<float>(y), static_cast<float>(strides[i])});
  return all;
}

}  // namespace mynah
