#include "ops/decoded_product.h"

#include <algorithm>
#include <vector>

#include "ops/gemm.h"

namespace mynah::ops {
namespace {

constexpr int64_t kSlabNumbers = 1 << 19;  // 2 MiB

// Calls body(first row, rows, the rows as f32) from slab to slab. They begin at multiples of 16, where panels of packed matrices and pairs of bf16 do.
template <class Body>
void each_slab(const DecodedMatrix& w, Body&& body) {
  static thread_local std::vector<float> slab;  // kept for the next product
  const int64_t step = std::max<int64_t>(16, kSlabNumbers / w.columns / 16 * 16);
  slab.resize(static_cast<size_t>(std::max<int64_t>(static_cast<int64_t>(slab.size()), std::min(step, w.rows) * w.columns)));
  for (int64_t first = 0; first < w.rows; first += step) {
    const int64_t count = std::min(step, w.rows - first);
    w.decode(first, count, slab.data());
    body(first, count, slab.data());
  }
}

}  // namespace

void multiply_decoded(const DecodedMatrix& w, int64_t m, const float* x, float* y) {
  const int64_t k = w.columns;
  each_slab(w, [&](int64_t first, int64_t count, const float* rows) {
    gemm(m, count, k, {x, DType::f32, k, 1}, {rows, DType::f32, 1, k}, y + first, w.rows);
  });
}

void multiply_decoded_transposed(const DecodedMatrix& w, int64_t m, const float* dy, float* dx) {
  const int64_t k = w.columns;
  each_slab(w, [&](int64_t first, int64_t count, const float* rows) {
    gemm(m, k, count, {dy + first, DType::f32, w.rows, 1}, {rows, DType::f32, k, 1}, dx, k, first > 0);
  });
}

}  // namespace mynah::ops
