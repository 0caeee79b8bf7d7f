#include "kernels/gemv.h"

#include <cstddef>

#include "kernels/half_bits.h"
#include "kernels/intrinsics.h"

namespace mynah::kernels::MYNAH_ISA {
namespace {

#include "kernels/gemm_lanes.inc"
#include "kernels/gemm_sources.inc"

// The sums of kLanes * Vectors columns from n on, for Rows rows of x.
template <int Rows, int Vectors>
struct Sums {
  Vector sum[Rows][Vectors];

  MYNAH_INLINE Sums(const GemvBlock& block, int64_t n, bool start_from_y) {
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v)
        sum[r][v] = start_from_y ? load(block.y + r * block.y_stride + n + v * kLanes) : zero();
  }
  MYNAH_INLINE void finish(const GemvBlock& block, int64_t n, bool add_bias) {
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) {
        const int64_t at = n + v * kLanes;
        store(block.y + r * block.y_stride + at, add_bias ? sum[r][v] + load(block.bias + at) : sum[r][v]);
      }
  }
};

// The last columns of a block, fewer than Width: f gets a block of its own whose y and bias have room for Width.
template <int Rows, int Width, class F>
void with_room(const GemvBlock& block, int64_t n, F f) {
  const int64_t columns = block.n - n;
  float y[Rows * Width] = {}, bias[Width] = {};
  GemvBlock last = block;
  last.n = columns;
  last.w.data =
      static_cast<const char*>(block.w.data) + n * block.w.lane_stride * (block.w.element == Element::f32 ? 4 : 2);
  last.y = y;
  last.y_stride = Width;
  if (block.add_to_y)
    for (int r = 0; r < Rows; ++r)
      for (int64_t j = 0; j < columns; ++j) y[r * Width + j] = block.y[r * block.y_stride + n + j];
  if (block.bias) {
    for (int64_t j = 0; j < columns; ++j) bias[j] = block.bias[n + j];
    last.bias = bias;
  }
  f(last);
  for (int r = 0; r < Rows; ++r)
    for (int64_t j = 0; j < columns; ++j) block.y[r * block.y_stride + n + j] = y[r * Width + j];
}

// W stored [n, k], and stored [k, n].
#include "kernels/gemv_across.inc"
#include "kernels/gemv_along.inc"

template <class Words, int Rows = kGemvRows>
void multiply_rows(const GemvBlock& block) {
  if (block.rows == Rows) {
    if (block.w.k_stride == 1)
      along_rows<Words, Rows>(block);
    else
      across_rows<Words, Rows>(block);
  } else if constexpr (Rows > 1) {
    multiply_rows<Words, Rows - 1>(block);
  }
}

void multiply(const GemvBlock& block) {
  if (block.w.element == Element::f32) return multiply_rows<F32Words>(block);
  if (block.w.element == Element::bf16) return multiply_rows<Bf16Pairs>(block);
  multiply_rows<F16Words>(block);
}

void prepare(Arithmetic arithmetic, Element element, const void* x, int64_t stride, int64_t k, float* out) {
  with_words(arithmetic, element, [&](auto words) {
    using Words = decltype(words);
    constexpr int64_t kStep = kLanes * Words::kGroup;
    const char* p = static_cast<const char*>(x);
    for (int64_t i = 0; i < k; i += kStep, p += kStep * stride * Words::kBytes, out += kLanes) {
      const int64_t count = k - i < kStep ? k - i : kStep, units = (count + Words::kGroup - 1) / Words::kGroup;
      float line[kLanes];
      store(line, along_k<Words>(p, count, stride * Words::kBytes));
      __builtin_memcpy(out, line, static_cast<size_t>(units) * sizeof(float));
    }
  });
}

}  // namespace

extern const GemvTable gemv_table = {prepare, multiply};

}  // namespace mynah::kernels::MYNAH_ISA
