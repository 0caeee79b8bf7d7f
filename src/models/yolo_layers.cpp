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
  folded = std::make_shared<const ops::FoldedConv>(conv.weight, factor, summand, ConvConfig{{stride, stride}, {padding, padding}}, conv_numbers(w.matrices()));
}

Tensor YoloConv::operator()(const Tensor& x, const Tensor& into, const Tensor& added) const {
  if (answers(x)) return (*folded)(x, {.then = ops::ConvThen::silu, .added = added, .added_last = true, .into = into});
  const Tensor y = conv.forward(x, {stride, stride}, {padding, padding}), z = silu(norm.weight.defined() ? norm(y) : y);
  return added.defined() ? added + z : z;
}

YoloWide::YoloWide(const nn::Weights& w, int64_t in, int64_t out, int64_t kernel, int64_t stride, bool depthwise) {
  if (!depthwise) {
    steps.emplace_back(w, in, out, kernel, stride);
    return;
  }
  steps.emplace_back(w / "dconv", in, in, kernel, stride, -1, in);
  steps.emplace_back(w / "pconv", in, out, 1);
}

Tensor YoloWide::operator()(const Tensor& x, const Tensor& into, const Tensor& added) const {
  Tensor y = x;
  for (size_t i = 0; i + 1 < steps.size(); ++i) y = steps[i](y);
  return steps.back()(y, into, added);
}

YoloBottleneck::YoloBottleneck(const nn::Weights& w, const char* stem, int64_t size, int64_t first_kernel, bool shortcut_, bool depthwise)
    : first(w / (std::string(stem) + "1"), size, size, first_kernel), second(w / (std::string(stem) + "2"), size, size, 3, 1, depthwise), shortcut(shortcut_) {}

Tensor YoloBottleneck::operator()(const Tensor& x, const Tensor& into) const { return second(first(x), into, shortcut ? x : Tensor()); }

YoloCsp::YoloCsp(const nn::Weights& w, const char* stem, int64_t in, int64_t out, int64_t count, bool shortcut, bool depthwise)
    : first(w / (std::string(stem) + "1"), in, out / 2, 1), second(w / (std::string(stem) + "2"), in, out / 2, 1), last(w / (std::string(stem) + "3"), out / 2 * 2, out, 1) {
  for (int64_t i = 0; i < count; ++i) blocks.emplace_back(w / "m" / i, stem, out / 2, 1, shortcut, depthwise);
}

Tensor YoloCsp::operator()(const Tensor& x) const {
  const int64_t half = first.outputs();
  JoinedMaps parts(first.answers(x), x, 2 * half);
  Tensor y = first(x, blocks.empty() ? parts.slot(half) : Tensor());
  for (const YoloBottleneck& block : blocks) y = block(y, &block == &blocks.back() ? parts.slot(half) : Tensor());
  parts.put(y);
  parts.put(second(x, parts.slot(half)));
  return last(parts.map());
}

YoloLast::YoloLast(const nn::Weights& w, std::string_view name, int64_t in, int64_t out, nn::Init bias) : conv(w, name, in, out, 1, {}, 1, true, bias) {
  if (!conv.weight.requires_grad()) folded = std::make_shared<const ops::FoldedConv>(conv.weight, Tensor(), conv.bias, ConvConfig{});
}

Tensor YoloLast::operator()(const Tensor& x, const Tensor& into) const { return answers(x) ? (*folded)(x, {.into = into}) : conv.forward(x); }

Tensor yolo_pixels(const nn::Inputs& in) {
  const Tensor pixels = in.floats("pixel_values", {-1, 3, -1, -1});
  require(pixels.size(2) % 32 == 0 && pixels.size(3) % 32 == 0 && pixels.size(2) > 0 && pixels.size(3) > 0,
          "forward: pixel_values are {}x{}, expected multiples of 32", pixels.size(2), pixels.size(3));
  return pixels;
}

Tensor beside(bool answering, int64_t channels, const std::function<Tensor(const Tensor& into)>& make, const Tensor& own) {
  JoinedMaps parts(answering, own, channels + own.size(1));
  parts.put(make(parts.slot(channels)));
  parts.put(own);
  return parts.map();
}

Tensor doubled(const Tensor& x, const Tensor& into) {
  if (!into.defined() || x.requires_grad()) return interpolate(x, 2 * x.size(2), 2 * x.size(3), Interpolation::nearest);
  ops::double_pixels(ops::in_pixels(x), into);
  return into;
}

Tensor pooled(const Tensor& x, int64_t size, const Tensor& into) {
  if (!into.defined() || x.requires_grad()) return max_pool2d(x, {size, size}, {1, 1}, {size / 2, size / 2});
  ops::max_pool_pixels(ops::in_pixels(x), {size, size}, {1, 1}, {size / 2, size / 2}, into);
  return into;
}

Tensor place_rows(const Tensor& maps) {
  const int64_t images = maps.size(0), channels = maps.size(1), places = maps.size(2) * maps.size(3);
  if (ops::by_pixels(maps) && !maps.requires_grad()) return maps.as_strided({images, places, channels}, {maps.stride(0), maps.stride(3), 1});
  return transpose(reshape(maps, {images, channels, places}), 1, 2);
}

std::vector<GridPlace> grid_places(const std::vector<Tensor>& maps, const std::vector<int64_t>& strides) {
  std::vector<GridPlace> all;
  for (size_t i = 0; i < maps.size(); ++i)
    for (int64_t y = 0; y < maps[i].size(2); ++y)
      for (int64_t x = 0; x < maps[i].size(3); ++x) all.push_back({static_cast<float>(x), static_cast<float>(y), static_cast<float>(strides[i])});
  return all;
}

}  // namespace mynah
