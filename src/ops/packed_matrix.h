// Block-quantised matrices packed for the machine's byte dot products (kernels/quant.h).
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "kernels/quant.h"
#include "mynah/tensor.h"

namespace mynah::ops {

// Rows of f32 quantised to 8 bits, so that several matrices can share the work. Memory is kept for the next use.
class QuantizedRows {
 public:
  // x [m, k], rows ldx elements apart, k a multiple of 32. Runs on the thread pool when it is worth it.
  void assign(const float* x, int64_t m, int64_t k, int64_t ldx);
  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  const kernels::ActivationBlock* data() const { return blocks_.data(); }

 private:
  std::vector<kernels::ActivationBlock> blocks_;
  int64_t rows_ = 0, columns_ = 0;
};

// A matrix [N, K] of one or more row segments below each other, each of its own block-quantised type. Immutable.
class PackedMatrix {
 public:
  // rows: tensors [N_i, K] of block-quantised types. `packed` is called with each of them when its bytes are no longer
  // needed. Runs on the thread pool. Throws Error{failure} for plain types, other ranks and different K.
  static std::shared_ptr<const PackedMatrix> pack(std::span<const Tensor> rows,
                                                  const std::function<void(const Tensor&)>& packed = {});

  int64_t rows() const { return rows_; }        // N, without padding
  int64_t columns() const { return columns_; }  // K
  size_t bytes() const { return bytes_; }       // of memory

  // y [m, N] = x [m, K] times the transposed matrix, in the arithmetic of kernels/quant.h: a row of y has the same bits
  // whatever m, the number of threads and the instruction set. ldx, ldy: elements between rows.
  void multiply(const float* x, int64_t m, int64_t ldx, float* y, int64_t ldy) const;
  void multiply(const QuantizedRows& x, float* y, int64_t ldy) const;
  // y [m, N/2] = silu(g) * u, where g and u are the first and the second half of the columns of multiply(x). The matrix
  // has_halves(). (arXiv:2002.05202)
  void multiply_swiglu(const float* x, int64_t m, int64_t ldx, float* y, int64_t ldy) const;
  void multiply_swiglu(const QuantizedRows& x, float* y, int64_t ldy) const;
  // Two segments with the same number of rows.
  bool has_halves() const { return segments_.size() == 2 && segments_[0].rows == segments_[1].rows; }
  // dx [m, K] = dy [m, N] times the matrix, in f32 or, inside a ProductScope, bf16 (the gradient of multiply, with the quantisation of x left out).
  void multiply_transposed(const float* dy, int64_t m, float* dx) const;
  // Rows [first, first + count) of the matrix as f32: the values of the stored blocks. out [count, K]. Runs on the thread pool when it is worth it.
  void dequantize_rows(int64_t first, int64_t count, float* out) const;

 private:
  struct Segment {
    kernels::BlockFormat format;
    int64_t rows;
    int64_t first_row;  // in the matrix
    const uint8_t* panels;
    int64_t panel_bytes;
  };
  // A piece of work: consecutive rows of one segment, from a panel's first.
  struct Piece {
    const Segment* segment;
    int64_t first_row, rows;  // in the segment
  };

  PackedMatrix() = default;
  // Rows from `row` on, columns from `column`, a multiple of 256, on, as f32: out [rows, columns].
  void dequantize(int64_t row, int64_t rows, int64_t column, int64_t columns, float* out) const;
  // Rows first_row .. first_row + rows - 1 of a segment times x; y points to the first of them.
  void multiply_part(const Segment& segment, int64_t first_row, int64_t rows, const kernels::ActivationBlock* x,
                     int64_t m, float* y, int64_t ldy) const;
  // Calls body(piece, first row of x, rows of x) for the first `pieces` pieces and every group of rows of x, on the
  // pool if it pays.
  template <class Body>
  void for_each_piece(int64_t pieces, int64_t m, Body&& body) const;

  int64_t rows_ = 0, columns_ = 0;
  size_t bytes_ = 0;
  std::vector<Segment> segments_;
  std::vector<Piece> pieces_;  // in the order of rows
  std::shared_ptr<uint8_t> memory_;
};

}  // namespace mynah::ops
