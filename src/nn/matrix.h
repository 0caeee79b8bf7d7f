// The weight of a linear map as the forward pass uses it: dense, or packed for the machine's dot-product instructions.
// Loading decides which; models do not know.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "mynah/ops.h"
#include "mynah/tensor.h"
#include "nn/low_rank.h"

namespace mynah::ops {
class PackedMatrix;
}

namespace mynah::nn {

class Matrix {
 public:
  // What may become of dense parts while they are used.
  enum class Kept {
    as_is,   // they are trained, or written to by others
    packed,  // products of many rows pack them once that pays; the bits stay the same
    frozen,  // they stay as they are beside adapters that are trained: packed like that, also for the gradients of inputs, if the memory suffices
    nf4,     // products read them in 4 bits (nf4.h); there are no lookups
    int8,    // products that are not recorded read them quantised to 8 bits, and quantise their input; lookups read them as they are
  };

  Matrix() = default;
  // Dense [out_i, in] parts (views are fine), computed side by side.
  explicit Matrix(std::vector<Tensor> parts, Kept kept = Kept::as_is);
  Matrix(std::shared_ptr<const ops::PackedMatrix> packed) : packed_(std::move(packed)) {}

  int64_t rows() const;
  int64_t columns() const;
  bool defined() const { return packed_ || dense_; }
  // An adapter for each part (null: none), whose sizes are `outs`; the matrix then computes with what they add.
  void attach(std::vector<std::shared_ptr<const LowRank>> adapters, std::vector<int64_t> outs) {
    adapters_ = std::move(adapters);
    adapter_outs_ = std::move(outs);
  }
  // x [..., in] -> [..., out_1 + out_2 + ...]. Biases: none, or one per part (may be undefined).
  Tensor operator()(const Tensor& x, const std::vector<Tensor>& biases = {}) const;
  // glu((*this)(x, biases), act): the first half of the rows opens and closes the second. -> [..., rows / 2] (arXiv:2002.05202)
  Tensor gated(const Tensor& x, Activation act, const std::vector<Tensor>& biases = {}) const;
  // Rows of the matrix: an embedding lookup. -> [ids, in]. The row `padding_id` gets no gradient.
  Tensor lookup(std::span<const int32_t> ids, int32_t padding_id = -1) const;
  // Rows [first, first + count) of the whole, without adapters and gradient: f32 [count, in].
  Tensor values(int64_t first, int64_t count) const;

 private:
  struct Dense;
  std::shared_ptr<Dense> dense_;  // shared by copies, so that a tied matrix is packed once
  std::shared_ptr<const ops::PackedMatrix> packed_;
  std::vector<std::shared_ptr<const LowRank>> adapters_;  // empty, or one per part
  std::vector<int64_t> adapter_outs_;

  Tensor weight_decomposed(const Tensor& x, const std::vector<Tensor>& biases) const;
  Tensor without_adapters(const Tensor& x, const std::vector<Tensor>& biases) const;
};

}  // namespace mynah::nn
