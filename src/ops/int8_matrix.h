// Matrices of plain numbers, quantised to 8 bits when they are made (kernels/int8.h).
#pragma once
#include <cstdint>
#include <memory>
#include <span>

#include "mynah/tensor.h"

namespace mynah::ops {

class Int8Matrix {
 public:
  // parts: floating-point tensors [N_i, K] of any strides, below each other. Runs on the thread pool.
  static std::shared_ptr<const Int8Matrix> pack(std::span<const Tensor> parts);

  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  // y [m, N] = x [m, K] times the transposed matrix (+ bias [N] unless null). A row of y has the same bits whatever m and the number of
  // threads.
  void multiply(const float* x, int64_t m, int64_t ldx, float* y, int64_t ldy, const float* bias = nullptr) const;

 private:
  Int8Matrix() = default;
  int64_t rows_ = 0, columns_ = 0;
  std::shared_ptr<uint8_t> codes_, scales_;
};

}  // namespace mynah::ops
