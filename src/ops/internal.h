// What op implementations share.
#pragma once
#include "autograd/record.h"
#include "base/require.h"
#include "base/thread_pool.h"
#include "mynah/ops.h"

namespace mynah::ops {

// x as contiguous f32, recorded: every op that computes starts with it, so views and 16-bit inputs work everywhere.
inline Tensor input(const Tensor& x) {
  if (x.dtype() == DType::f32 && x.is_contiguous()) [[likely]]
    return x;
  return contiguous(to(x, DType::f32));
}

// Rows and columns of x seen as [N, C] with C the last dimension.
inline int64_t columns(const Tensor& x) { return x.rank() ? x.size(-1) : 1; }
inline int64_t rows(const Tensor& x) {
  int64_t n = 1;
  for (int i = 0; i + 1 < x.rank(); ++i) n *= x.size(i);
  return n;
}
// Rows per piece of work, so that a piece has about `elements` elements.
inline int64_t row_grain(int64_t columns, int64_t elements = 1 << 14) { return std::max<int64_t>(1, elements / std::max<int64_t>(1, columns)); }

// Normalises a dimension that may be negative; throws with the op's name.
inline int dimension(const char* op, const Tensor& x, int dim) {
  const int d = dim < 0 ? dim + x.rank() : dim;
  require(d >= 0 && d < x.rank(), "{}: dimension {} of a tensor of shape {}", op, dim, x.shape().str());
  return d;
}

// Sums of the columns of f32 rows `stride` apart, each over the rows in order: [columns], not recorded.
Tensor column_sums(const float* rows, int64_t stride, int64_t count, int64_t columns);

// The shape that a and b broadcast to.
Shape broadcast_shape(const char* op, const Shape& a, const Shape& b);
// The gradient of a broadcast: sums g down to `shape`. Contiguous f32 in and out, not recorded.
Tensor reduce_to(const Tensor& g, const Shape& shape);

}  // namespace mynah::ops
