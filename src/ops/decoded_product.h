// Products with a frozen matrix [N, K] of few bits a number, which is decoded a slab of rows at a time: what lies decoded at once stays in the cache.
#pragma once
#include <cstdint>
#include <functional>

namespace mynah::ops {

struct DecodedMatrix {
  int64_t rows, columns;  // N, K
  // Rows [first, first + count) as f32: out [count, K]. May run on the thread pool.
  std::function<void(int64_t first, int64_t count, float* out)> decode;
};

// y [m, N] = x [m, K] times the transposed matrix, rows dense; with the bits of gemm() on the whole matrix, also inside a ProductScope.
void multiply_decoded(const DecodedMatrix& w, int64_t m, const float* x, float* y);
// dx [m, K] = dy [m, N] times the matrix: the gradient of the above.
void multiply_decoded_transposed(const DecodedMatrix& w, int64_t m, const float* dy, float* dx);

}  // namespace mynah::ops
