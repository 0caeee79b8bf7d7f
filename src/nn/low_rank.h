// Low-rank adapters (LoRA, arXiv:2106.09685) beside the matrices of a network, as PEFT computes them.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "mynah/tensor.h"

namespace mynah::nn {

// What an adapter adds to y = x W^T: scale * dropout(x) A^T B^T, with A [r, in] and B [out, r].
struct LowRank {
  Tensor a, b;
  float scale = 1, dropout = 0;
  // DoRA (arXiv:2402.09353): the lengths [out] that the rows of W + scale B A are brought to; undefined for LoRA.
  Tensor magnitude;
};

// y with what adapters add, each to its columns: adapters[i] (null: none) to outs[i] of them. x [..., in], y [..., sum of outs] a result that
// nothing else holds: it is changed in place.
Tensor add_low_rank(Tensor y, const Tensor& x, std::span<const std::shared_ptr<const LowRank>> adapters, std::span<const int64_t> outs);

// Makes the adapters of a network while it is loaded.
class LowRankSource {
 public:
  virtual ~LowRankSource() = default;
  // The adapter of the matrix "<module>.weight" [out, in]; null for one that has none. `weight` gives the matrix itself, in f32.
  virtual std::shared_ptr<const LowRank> adapter(const std::string& module, int64_t out, int64_t in, const std::function<Tensor()>& weight) = 0;
};

}  // namespace mynah::nn
