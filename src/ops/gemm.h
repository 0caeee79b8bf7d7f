// The dense matrix product that every linear map, batched product and their gradients end in.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "mynah/tensor.h"

namespace mynah::ops {

// A matrix in someone else's memory: element (i, j) stands at data[i * row_stride + j * column_stride] (strides in
// elements). dtype is f32, bf16 or f16; no alignment beyond that of a byte is assumed.
struct MatrixView {
  const void* data;
  DType dtype;
  int64_t row_stride, column_stride;
};

// A matrix [rows, columns] as it is, and turned.
inline MatrixView view_of(const Tensor& w) { return {w.raw(), w.dtype(), w.stride(0), w.stride(1)}; }
inline MatrixView turned_view_of(const Tensor& w) { return {w.raw(), w.dtype(), w.stride(1), w.stride(0)}; }
// f32 rows `stride` apart as they are, and turned.
inline MatrixView rows_of(const float* p, int64_t stride) { return {p, DType::f32, stride, 1}; }
inline MatrixView turned_rows_of(const float* p, int64_t stride) { return {p, DType::f32, 1, stride}; }

// C[M,N] = A[M,K] * B[K,N] (+ C if accumulate) (+ bias[N] unless null). C is f32 with row stride ldc and overlaps
// neither A nor B. B decides the arithmetic. f32 or f16: operands are widened to f32 and every element of C is one
// chain of fused multiply-adds in the order of k, from 0 (or from C). bf16: A is rounded to bf16 (nearest, ties to
// even) and the chain goes over pairs of k with the processor's bf16 dot product, or over single k in f32 where there
// is none. Bias is added at the end. The bits of a row therefore depend neither on the other rows nor on the number of
// threads. Fast when one stride of each matrix is 1; other strides work. Up to kFewRows rows, B is read in place at the
// speed of memory. Throws ErrorCode::failure on a dtype that is not floating or a negative size.
void gemm(int64_t m, int64_t n, int64_t k, const MatrixView& a, const MatrixView& b, float* c, int64_t ldc,
          bool accumulate = false, const float* bias = nullptr);

// A frozen matrix of few bits a number, which products decode piece by piece while they pack it.
struct DecodedMatrix {
  static constexpr int64_t kPieceRows = 32, kPieceColumns = 256;  // of a piece, which begins at multiples of both
  int64_t rows, columns;
  // Rows [row, row + rows) and columns [column, column + columns) as f32: out [rows, columns]. Called by several threads.
  std::function<void(int64_t row, int64_t rows, int64_t column, int64_t columns, float* out)> decode;
};
// y [M, rows] = x [M, columns] W^T, and dx [M, columns] = dy [M, rows] W, its gradient: f32 with dense rows, in the arithmetic and with the bits of
// gemm() on the decoded matrix.
void multiply_decoded(const DecodedMatrix& w, int64_t m, const float* x, float* y);
void multiply_decoded_transposed(const DecodedMatrix& w, int64_t m, const float* dy, float* dx);

// While one exists on this thread, gemm() multiplies with an f32 matrix B as if both matrices had been rounded to bf16: sums stay f32. What
// training with --bf16 computes in; weights and gradients remain f32. Scopes nest, the innermost counts.
class ProductScope {
 public:
  explicit ProductScope(bool bf16);
  ~ProductScope();
  ProductScope(const ProductScope&) = delete;
  ProductScope& operator=(const ProductScope&) = delete;
  // What gemm() does with f32 now.
  static bool is_bf16();

 private:
  bool before_;
};

constexpr int64_t kFewRows = 8;

// B packed once for many products with it, with the bits of gemm(): what gemm() does at every call for more than kFewRows rows.
// Immutable, of f32 words (f32 or 16-bit numbers widened) or of bf16 pairs. Made for the instruction set that is active then.
class PackedB {
 public:
  // Parts [K, N_i] side by side, of one type. Null if they cannot be packed without loss of memory or speed: parts other than the last
  // that end inside a panel, and bf16 where the processor has no bf16 dot product. With `rounded`, f32 becomes bf16 as in a ProductScope. Runs
  // on the thread pool.
  static std::shared_ptr<const PackedB> pack(int64_t k, std::span<const MatrixView> parts, std::span<const int64_t> columns, bool rounded = false);

  int64_t columns() const { return n_; }
  int64_t depth() const { return k_; }
  size_t bytes() const;
  // C[M,N] = A[M,K] * B (+ C if accumulate) (+ bias[N] unless null). A is f32 with dense rows.
  void multiply(int64_t m, const float* a, int64_t lda, float* c, int64_t ldc, const float* bias = nullptr, bool accumulate = false) const;
  // Column j of B as f32: out [K].
  void column(int64_t j, float* out) const;

 private:
  PackedB() = default;
  const float* words(int64_t unit, int64_t column) const;

  int64_t n_ = 0, k_ = 0;
  int64_t group_ = 1;  // k's per word
  int64_t tile_ = 1;   // units that go together
  int64_t units_ = 0;  // words of k in a round
  int64_t padded_columns_ = 0;
  DType dtype_ = DType::f32;
  const void* table_ = nullptr;      // the kernels it is packed for
  std::shared_ptr<uint8_t> memory_;  // round by round of k, within it panel by panel
};

}  // namespace mynah::ops
