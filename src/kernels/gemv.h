// Products of at most kGemvRows rows with a matrix read in place (a memory-mapped weight), bound by memory.
// Same chains, hence same bits, as kernels/gemm.h.
#pragma once
#include <cstdint>

#include "kernels/gemm.h"

namespace mynah::kernels {

constexpr int kGemvRows = 8;

// y[rows, n] (+)= x[rows, k] * W, W given by columns: element (n, k) as in GemmSource, one of the two strides being 1.
struct GemvBlock {
  GemmSource w;
  int64_t n, k;
  const float* x;  // prepared; row r starts at x + r * x_stride
  int64_t x_stride;
  int rows;
  float* y;
  int64_t y_stride;
  bool add_to_y;
  const float* bias;  // [n] or null
};

struct GemvTable {
  // Makes the words that `multiply` multiplies by out of k elements, `stride` elements apart: f32 values, or in bf16
  // arithmetic units of GemmTable::bf16_group rounded values.
  void (*prepare)(Arithmetic arithmetic, Element element, const void* x, int64_t stride, int64_t k, float* out);
  void (*multiply)(const GemvBlock& block);  // in bf16 arithmetic if W is bf16, else in that of f32
};

const GemvTable& gemv();

}  // namespace mynah::kernels
