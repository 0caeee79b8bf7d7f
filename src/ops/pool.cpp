// Pooling over windows of planes.
#include <limits>

#include "kernels/rows.h"
#include "ops/internal.h"
#include "ops/op_entry.h"
#include "ops/pixel_maps.h"

namespace mynah {
namespace {

struct Pool {
  int64_t planes, h, w, oh, ow;
  std::array<int64_t, 2> kernel, stride, padding;

  Pool(const char* op, const Tensor& x, std::array<int64_t, 2> k, std::array<int64_t, 2> s, std::array<int64_t, 2> p) : kernel(k), stride(s), padding(p) {
    require(x.rank() == 4, "{}: x {}, expected [N,C,H,W]", op, x.shape().str());
    planes = x.size(0) * x.size(1), h = x.size(2), w = x.size(3);
    for (int i = 0; i < 2; ++i)
      require(k[i] > 0 && s[i] > 0 && p[i] >= 0 && 2 * p[i] <= k[i] && (i ? w : h) + 2 * p[i] >= k[i], "{}: window {}, stride {}, padding {} on x {}", op, k[i], s[i],
              p[i], x.shape().str());
    oh = (h + 2 * p[0] - k[0]) / s[0] + 1;
    ow = (w + 2 * p[1] - k[1]) / s[1] + 1;
  }
  Shape out(const Tensor& x) const { return {x.size(0), x.size(1), oh, ow}; }
  // The largest of every window, without saying where it stands: first down the columns of a window's rows, then across.
  void largest(const float* in, float* out) const {
    parallel_for(planes, ops::row_grain(oh * (kernel[0] * w + ow * kernel[1])), [&](int64_t plane, int64_t end) {
      std::vector<float> column(static_cast<size_t>(w));
      for (; plane < end; ++plane)
        for (int64_t y = 0; y < oh; ++y) {
          const int64_t top = y * stride[0] - padding[0], y1 = std::min(top + kernel[0], h), y0 = std::max<int64_t>(top, 0);
          const float* from = in + (plane * h + y0) * w;
          std::copy_n(from, w, column.begin());
          for (int64_t i = y0 + 1; i < y1; ++i) kernels::rows().binary(kernels::Binary::max, column.data(), from += w, column.data(), w);
          float* to = out + (plane * oh + y) * ow;
          for (int64_t x = 0; x < ow; ++x) {
            const int64_t left = x * stride[1] - padding[1], x1 = std::min(left + kernel[1], w);
            float best = column[static_cast<size_t>(std::max<int64_t>(left, 0))];
            for (int64_t j = std::max<int64_t>(left, 0) + 1; j < x1; ++j) {
              const float v = column[static_cast<size_t>(j)];
              if (v > best || v != v) best = v;
            }
            to[x] = best;
          }
        }
    });
  }
  // Calls row(plane, out, y0, y1, x0, x1): the pixels [y0,y1) x [x0,x1) of the plane under output number `out`.
  template <class F>
  void each(const F& f) const {
    parallel_for(planes, ops::row_grain(oh * ow * kernel[0] * kernel[1]), [&](int64_t plane, int64_t end) {
      for (; plane < end; ++plane)
        for (int64_t y = 0; y < oh; ++y)
          for (int64_t x = 0; x < ow; ++x) {
            const int64_t top = y * stride[0] - padding[0], left = x * stride[1] - padding[1];
            f(plane, (plane * oh + y) * ow + x, std::max<int64_t>(top, 0), std::min(top + kernel[0], h), std::max<int64_t>(left, 0), std::min(left + kernel[1], w));
          }
    });
  }
};

}  // namespace

Tensor max_pool2d(const Tensor& in, std::array<int64_t, 2> kernel, std::array<int64_t, 2> stride, std::array<int64_t, 2> padding) {
  const Pool p("max_pool2d", in, kernel, stride, padding);
  if (!tracked({&in}) && ops::by_pixels(in) && !in.is_contiguous()) {
    Tensor y = ops::empty_pixels(in.size(0), in.size(1), p.oh, p.ow);
    ops::max_pool_pixels(in, kernel, stride, padding, y);
    return y;
  }
  const Tensor x = ops::input(in);
  Tensor y = Tensor::empty(p.out(x));
  if (!tracked({&x})) {
    p.largest(x.data<float>(), y.data<float>());
    return y;
  }
  auto at = std::make_shared<std::vector<int64_t>>(static_cast<size_t>(y.numel()));
  p.each([&, in = x.data<float>(), result = y.data<float>()](int64_t plane, int64_t out, int64_t y0, int64_t y1, int64_t x0, int64_t x1) {
    const float* from = in + plane * p.h * p.w;
    int64_t best = y0 * p.w + x0;
    for (int64_t i = y0; i < y1; ++i)
      for (int64_t j = x0; j < x1; ++j)
        if (from[i * p.w + j] > from[best] || from[i * p.w + j] != from[i * p.w + j]) best = i * p.w + j;
    result[out] = from[best];
    (*at)[static_cast<size_t>(out)] = plane * p.h * p.w + best;
  });
  return record(y, {x}, [at, shape = x.shape()](const Tensor& g) {
    Tensor dx = Tensor::zeros(shape);
    float* to = dx.data<float>();
    const float* from = g.data<float>();
    for (size_t i = 0; i < at->size(); ++i) to[(*at)[i]] += from[i];
    return Grads{dx};
  });
}

Tensor avg_pool2d(const Tensor& in, std::array<int64_t, 2> kernel, std::array<int64_t, 2> stride) {
  const Pool p("avg_pool2d", in, kernel, stride, {0, 0});
  const float share = 1 / static_cast<float>(kernel[0] * kernel[1]);
  if (!tracked({&in}) && ops::by_pixels(in) && !in.is_contiguous() && p.oh == 1 && p.ow == 1) {  // whole planes, pixel by pixel
    Tensor y = Tensor::zeros(p.out(in));
    for (int64_t n = 0; n < in.size(0); ++n) {
      float* out = y.data<float>() + n * in.size(1);
      for (int64_t i = 0; i < kernel[0]; ++i) kernels::rows().column_sum(in.data<float>() + n * in.stride(0) + i * in.stride(2), in.stride(3), out, kernel[1], in.size(1));
      kernels::rows().scale(share, out, out, in.size(1));
    }
    return y;
  }
  const Tensor x = ops::input(in);
  Tensor y = Tensor::empty(p.out(x));
  p.each([&, in = x.data<float>(), result = y.data<float>()](int64_t plane, int64_t out, int64_t y0, int64_t y1, int64_t x0, int64_t x1) {
    float total = 0;
    for (int64_t i = y0; i < y1; ++i)
      for (int64_t j = x0; j < x1; ++j) total += in[(plane * p.h + i) * p.w + j];
    result[out] = total * share;
  });
  return record(y, {x}, [p, share, shape = x.shape()](const Tensor& g) {
    Tensor dx = Tensor::zeros(shape);
    p.each([&, to = dx.data<float>(), from = g.data<float>()](int64_t plane, int64_t out, int64_t y0, int64_t y1, int64_t x0, int64_t x1) {
      for (int64_t i = y0; i < y1; ++i)
        for (int64_t j = x0; j < x1; ++j) to[(plane * p.h + i) * p.w + j] += from[out] * share;
    });
    return Grads{dx};
  });
}

namespace {

std::vector<OpSample> max_samples() {
  return {{"overlapping, padded", {sample_tensor({2, 3, 6, 7})}, [](const auto& in) { return max_pool2d(in[0], {3, 3}, {2, 2}, {1, 1}); }},
          {"uneven", {sample_tensor({1, 2, 5, 6})}, [](const auto& in) { return max_pool2d(in[0], {2, 3}, {1, 2}); }}};
}
std::vector<OpSample> avg_samples() {
  return {{"overlapping", {sample_tensor({2, 3, 6, 7})}, [](const auto& in) { return avg_pool2d(in[0], {3, 2}, {2, 1}); }},
          {"whole planes", {sample_tensor({2, 2, 3, 4})}, [](const auto& in) { return avg_pool2d(in[0], {3, 4}, {1, 1}); }}};
}

}  // namespace

extern const OpEntry op_max_pool2d{"max_pool2d", "x [N, C, H, W] -> [N, C, OH, OW]", "largest value of each window", max_samples};
extern const OpEntry op_avg_pool2d{"avg_pool2d", "x [N, C, H, W] -> [N, C, OH, OW]", "mean of each window", avg_samples};

}  // namespace mynah
