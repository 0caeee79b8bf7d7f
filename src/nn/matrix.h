// The weight of a linear map as the forward pass uses it: dense, or packed for the machine's dot-product instructions.
// Loading decides which; models do not know.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "mynah/ops.h"
#include "mynah/tensor.h"

namespace mynah::ops {
class PackedMatrix;
}

namespace mynah::nn {

class Matrix {
 public:
  Matrix() = default;
  // Dense [out_i, in] parts (views are fine), computed side by side.
  explicit Matrix(std::vector<Tensor> parts) : dense_(std::move(parts)) {}
  Matrix(std::shared_ptr<const ops::PackedMatrix> packed) : packed_(std::move(packed)) {}

  int64_t rows() const;
  int64_t columns() const;
  bool defined() const { return packed_ || !dense_.empty(); }
  // x [..., in] -> [..., out_1 + out_2 + ...]. Biases: none, or one per part (may be undefined).
  Tensor operator()(const Tensor& x, const std::vector<Tensor>& biases = {}) const;
  // Rows of the matrix: an embedding lookup. -> [ids, in]. The row `padding_id` gets no gradient.
  Tensor lookup(std::span<const int32_t> ids, int32_t padding_id = -1) const;

 private:
  std::vector<Tensor> dense_;
  std::shared_ptr<const ops::PackedMatrix> packed_;
};

}  // namespace mynah::nn
