#include "ops/pixel_maps.h"

#include <cstring>
#include <vector>

#include "kernels/rows.h"
#include "ops/internal.h"
#include "ops/word_memory.h"

namespace mynah::ops {
namespace {

constexpr int64_t kGrain = 1 << 14;  // numbers of a piece of work

// One line of pixels after another: body(image, line).
template <class Body>
void each_line(const Tensor& y, const Body& body) {
  parallel_for(y.size(0) * y.size(2), row_grain(y.size(1) * y.size(3), kGrain), [&](int64_t line, int64_t end) {
    for (; line < end; ++line) body(line / y.size(2), line % y.size(2));
  });
}

const float* pixel(const Tensor& x, int64_t image, int64_t line, int64_t place) {
  return x.data<float>() + image * x.stride(0) + line * x.stride(2) + place * x.stride(3);
}
float* pixel(Tensor& y, int64_t image, int64_t line, int64_t place) { return const_cast<float*>(pixel(std::as_const(y), image, line, place)); }

void copy_numbers(const float* from, int64_t count, float* to) { std::memcpy(to, from, static_cast<size_t>(count) * sizeof(float)); }

void copy_line(const Tensor& x, int64_t image, int64_t line, float* to, int64_t step) {
  const int64_t channels = x.size(1), width = x.size(3);
  const float* from = pixel(x, image, line, 0);
  if (x.stride(3) == channels && step == channels) return copy_numbers(from, width * channels, to);
  for (int64_t p = 0; p < width; ++p) copy_numbers(from + p * x.stride(3), channels, to + p * step);
}

Tensor pixels_apart(int64_t images, int64_t channels, int64_t height, int64_t width, int64_t step) {
  return Tensor::empty({images, height, width, step}).as_strided({images, channels, height, width}, {height * width * step, 1, width * step, step});
}

}  // namespace

Tensor empty_pixels(int64_t images, int64_t channels, int64_t height, int64_t width) { return pixels_apart(images, channels, height, width, apart(channels)); }
Tensor dense_pixels(int64_t images, int64_t channels, int64_t height, int64_t width) { return pixels_apart(images, channels, height, width, channels); }

Tensor padded_pixels(const Tensor& x, std::array<int64_t, 2> padding) {
  if (padding[0] == 0 && padding[1] == 0) return x;
  Tensor y = empty_pixels(x.size(0), x.size(1), x.size(2) + 2 * padding[0], x.size(3) + 2 * padding[1]);
  each_line(y, [&](int64_t image, int64_t line) {
    float* const to = pixel(y, image, line, 0);
    const int64_t from = line - padding[0], step = y.stride(3), side = padding[1] * step;
    if (from < 0 || from >= x.size(2)) {
      std::fill_n(to, y.stride(2), 0.0f);
      return;
    }
    std::fill_n(to, side, 0.0f);
    copy_line(x, image, from, to + side, step);
    std::fill_n(to + side + x.size(3) * step, side, 0.0f);
  });
  return y;
}

bool by_pixels(const Tensor& x) {
  return x.rank() == 4 && x.dtype() == DType::f32 && (x.stride(1) == 1 || x.size(1) == 1) && x.stride(3) >= x.size(1) && x.stride(2) == x.size(3) * x.stride(3) &&
         x.stride(0) == x.size(2) * x.stride(2);
}

Tensor in_pixels(const Tensor& x_in) {
  if (by_pixels(x_in)) return x_in;
  const Tensor x = input(x_in);
  Tensor y = empty_pixels(x.size(0), x.size(1), x.size(2), x.size(3));
  const int64_t channels = x.size(1), width = x.size(3), plane = x.size(2) * width;
  constexpr int64_t kBlock = 16;  // pixels whose planes are read together
  each_line(y, [&](int64_t image, int64_t line) {
    const float* from = x.data<float>() + image * channels * plane + line * width;
    float* to = pixel(y, image, line, 0);
    for (int64_t first = 0; first < width; first += kBlock)
      for (int64_t c = 0; c < channels; ++c)
        for (int64_t p = first; p < std::min(first + kBlock, width); ++p) to[p * y.stride(3) + c] = from[c * plane + p];
  });
  return y;
}

void copy_pixels(const Tensor& x, Tensor into) {
  MYNAH_CHECK(by_pixels(x) && by_pixels(into) && x.shape() == into.shape());
  each_line(into, [&](int64_t image, int64_t line) { copy_line(x, image, line, pixel(into, image, line, 0), into.stride(3)); });
}

void double_pixels(const Tensor& x, Tensor into) {
  MYNAH_CHECK(by_pixels(x) && by_pixels(into) && into.shape() == Shape({x.size(0), x.size(1), 2 * x.size(2), 2 * x.size(3)}));
  each_line(into, [&](int64_t image, int64_t line) {
    float* to = pixel(into, image, line, 0);
    for (int64_t p = 0; p < into.size(3); ++p) copy_numbers(pixel(x, image, line / 2, p / 2), x.size(1), to + p * into.stride(3));
  });
}

void max_pool_pixels(const Tensor& x, std::array<int64_t, 2> kernel, std::array<int64_t, 2> stride, std::array<int64_t, 2> padding, Tensor into) {
  MYNAH_CHECK(by_pixels(x) && by_pixels(into) && x.size(0) == into.size(0) && x.size(1) == into.size(1));
  const int64_t channels = x.size(1), height = x.size(2), width = x.size(3);
  const auto larger = [](float* best, const float* other, int64_t n) { kernels::rows().binary(kernels::Binary::max, best, other, best, n); };
  each_line(into, [&](int64_t image, int64_t line) {
    // Down the columns of a window's lines, then across.
    static thread_local std::vector<float> column;
    column.resize(static_cast<size_t>(width * channels));
    const int64_t top = line * stride[0] - padding[0], first = std::max<int64_t>(top, 0), last = std::min(top + kernel[0], height);
    copy_line(x, image, first, column.data(), channels);
    for (int64_t y = first + 1; y < last; ++y) {
      if (x.stride(3) == channels) larger(column.data(), pixel(x, image, y, 0), width * channels);
      else
        for (int64_t p = 0; p < width; ++p) larger(column.data() + p * channels, pixel(x, image, y, p), channels);
    }
    for (int64_t p = 0; p < into.size(3); ++p) {
      const int64_t left = p * stride[1] - padding[1], from = std::max<int64_t>(left, 0), to = std::min(left + kernel[1], width);
      float* best = pixel(into, image, line, p);
      copy_numbers(column.data() + from * channels, channels, best);
      for (int64_t i = from + 1; i < to; ++i) larger(best, column.data() + i * channels, channels);
    }
  });
}

}  // namespace mynah::ops
