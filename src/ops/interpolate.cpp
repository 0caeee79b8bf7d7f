// Resizing planes as PyTorch's interpolate does without antialiasing: corners not aligned, coordinate (i + 0.5) * in / out - 0.5.
#include <cmath>

#include "ops/internal.h"
#include "ops/op_entry.h"

namespace mynah {
namespace {

// The source pixels of one output coordinate and their weights.
struct Taps {
  std::array<int64_t, 4> at{};
  std::array<float, 4> weight{};
  int count = 0;
};

float cubic_near(float x) { return ((-0.75f + 2) * x - (-0.75f + 3)) * x * x + 1; }                           // |x| <= 1, a = -0.75
float cubic_far(float x) { return ((-0.75f * x - 5 * -0.75f) * x + 8 * -0.75f) * x - 4 * -0.75f; }            // 1 < |x| < 2

std::vector<Taps> taps_of(int64_t in, int64_t out, Interpolation mode) {
  std::vector<Taps> all(static_cast<size_t>(out));
  const float ratio = static_cast<float>(in) / static_cast<float>(out);
  const auto inside = [in](int64_t i) { return std::clamp<int64_t>(i, 0, in - 1); };
  for (int64_t i = 0; i < out; ++i) {
    Taps& t = all[static_cast<size_t>(i)];
    if (mode == Interpolation::nearest) {
      t = {{inside(static_cast<int64_t>(std::floor(static_cast<float>(i) * ratio)))}, {1}, 1};
      continue;
    }
    const float place = (static_cast<float>(i) + 0.5f) * ratio - 0.5f;
    if (mode == Interpolation::bilinear) {
      const float from = std::max(place, 0.0f);
      const auto first = inside(static_cast<int64_t>(from));
      const float part = from - static_cast<float>(first);
      t = {{first, inside(first + 1)}, {1 - part, part}, 2};
      continue;
    }
    const auto first = static_cast<int64_t>(std::floor(place));
    const float part = place - static_cast<float>(first);
    t = {{inside(first - 1), inside(first), inside(first + 1), inside(first + 2)}, {cubic_far(part + 1), cubic_near(part), cubic_near(1 - part), cubic_far(2 - part)}, 4};
  }
  return all;
}

}  // namespace

Tensor interpolate(const Tensor& in, int64_t height, int64_t width, Interpolation mode) {
  require(in.rank() == 4 && in.numel() > 0 && height > 0 && width > 0, "interpolate: x {} to {}x{}, expected [N,C,H,W]", in.shape().str(), height, width);
  const Tensor x = ops::input(in);
  const int64_t planes = x.size(0) * x.size(1), h = x.size(2), w = x.size(3);
  const auto ys = taps_of(h, height, mode), xs = taps_of(w, width, mode);
  Tensor y = Tensor::empty({x.size(0), x.size(1), height, width});
  const auto each = [=](auto&& f) {  // f(source index, output index, weight) for every pair, a plane at a time
    parallel_for(planes, 1, [&](int64_t p, int64_t end) {
      for (; p < end; ++p)
        for (int64_t i = 0; i < height; ++i)
          for (int64_t j = 0; j < width; ++j) {
            const Taps &ty = ys[static_cast<size_t>(i)], &tx = xs[static_cast<size_t>(j)];
            for (int a = 0; a < ty.count; ++a)
              for (int b = 0; b < tx.count; ++b)
                f((p * h + ty.at[static_cast<size_t>(a)]) * w + tx.at[static_cast<size_t>(b)], (p * height + i) * width + j,
                  ty.weight[static_cast<size_t>(a)] * tx.weight[static_cast<size_t>(b)]);
          }
    });
  };
  std::fill_n(y.data<float>(), y.numel(), 0.0f);
  each([in = x.data<float>(), out = y.data<float>()](int64_t from, int64_t to, float weight) { out[to] += weight * in[from]; });
  return record(y, {x}, [each, shape = x.shape()](const Tensor& g) {
    Tensor dx = Tensor::zeros(shape);
    each([in = g.data<float>(), out = dx.data<float>()](int64_t from, int64_t to, float weight) { out[from] += weight * in[to]; });
    return Grads{dx};
  });
}

namespace {

std::vector<OpSample> samples() {
  const auto call = [](int64_t h, int64_t w, Interpolation mode) { return [=](const std::vector<Tensor>& in) { return interpolate(in[0], h, w, mode); }; };
  return {{"bilinear, larger", {sample_tensor({1, 2, 3, 4})}, call(5, 7, Interpolation::bilinear)},
          {"bilinear, smaller", {sample_tensor({2, 1, 7, 6})}, call(3, 4, Interpolation::bilinear)},
          {"bicubic", {sample_tensor({1, 2, 4, 5})}, call(7, 3, Interpolation::bicubic)},
          {"nearest", {sample_tensor({1, 2, 3, 4})}, call(6, 3, Interpolation::nearest)}};
}

}  // namespace

extern const OpEntry op_interpolate{"interpolate", "x [N, C, H, W] -> [N, C, height, width]", "PyTorch's interpolate, corners not aligned", samples};

}  // namespace mynah
