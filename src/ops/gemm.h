// The dense matrix product that every linear map, batched product and their gradients end in.
#pragma once
#include <cstdint>

#include "mynah/tensor.h"

namespace mynah::ops {

// A matrix in someone else's memory: element (i, j) stands at data[i * row_stride + j * column_stride] (strides in
// elements). dtype is f32, bf16 or f16; no alignment beyond that of a byte is assumed.
struct MatrixView {
  const void* data;
  DType dtype;
  int64_t row_stride, column_stride;
};

// C[M,N] = A[M,K] * B[K,N] (+ C if accumulate) (+ bias[N] unless null). C is f32 with row stride ldc and overlaps
// neither A nor B. B decides the arithmetic. f32 or f16: operands are widened to f32 and every element of C is one
// chain of fused multiply-adds in the order of k, from 0 (or from C). bf16: A is rounded to bf16 (nearest, ties to
// even) and the chain goes over pairs of k with the processor's bf16 dot product, or over single k in f32 where there
// is none. Bias is added at the end. The bits of a row therefore depend neither on the other rows nor on the number of
// threads. Fast when one stride of each matrix is 1; other strides work. Up to kFewRows rows, B is read in place at the
// speed of memory. Throws ErrorCode::failure on a dtype that is not floating or a negative size.
void gemm(int64_t m, int64_t n, int64_t k, const MatrixView& a, const MatrixView& b, float* c, int64_t ldc,
          bool accumulate = false, const float* bias = nullptr);

constexpr int64_t kFewRows = 8;

}  // namespace mynah::ops
