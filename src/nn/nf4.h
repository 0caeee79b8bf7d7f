// Frozen matrices in 4-bit NormalFloat, as QLoRA keeps the base of an adapter (arXiv:2305.14314): every 64 numbers of a matrix, row after
// row, share the largest magnitude among them, and each is the nearest of 16 levels times that. Computing takes the f32 values.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "mynah/tensor.h"

namespace mynah::nn {

class Nf4Matrix {
 public:
  // Parts [out_i, in] below each other, each of blocks of its own; dense or turned.
  explicit Nf4Matrix(std::span<const Tensor> parts);

  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  size_t bytes() const { return codes_.size() + scales_.size() * sizeof(float); }
  // Rows from `row` on, columns from `column` on, as f32: out [rows, columns].
  void decode(int64_t row, int64_t rows, int64_t column, int64_t columns, float* out) const;
  // Whole rows [first, first + count), by all threads.
  Tensor values(int64_t first, int64_t count) const;

 private:
  struct Part {
    int64_t first_row, rows;
    size_t first_code, first_scale;
  };
  std::vector<Part> parts_;
  std::vector<uint8_t> codes_;  // two numbers a byte, the first in the high half
  std::vector<float> scales_;
  int64_t rows_ = 0, columns_ = 0;
};

// x [..., in] times the transposed matrix -> [..., out]; through it goes the gradient of x.
Tensor nf4_product(const std::shared_ptr<const Nf4Matrix>& matrix, const Tensor& x, const Tensor& bias);

}  // namespace mynah::nn
