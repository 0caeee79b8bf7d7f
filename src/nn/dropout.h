// Dropout acts only while a Training scope exists on the thread, so evaluation and serving have none. Masks come from
// counter-based random numbers: (seed, step, number of the call within the scope, element).
#pragma once
#include <cstdint>
#include <span>

#include "mynah/ops.h"

namespace mynah::nn {

class Training {
 public:
  Training(uint64_t seed, uint64_t step);
  ~Training();
  Training(const Training&) = delete;
  Training& operator=(const Training&) = delete;

 private:
  friend Tensor dropout(const Tensor& x, float p);
  friend bool drops(float p);
  uint64_t seed_, step_, calls_ = 0;
  Training* before_;
};

// Whether dropout of probability p acts now.
bool drops(float p);
// x with each element zeroed with probability p and the others divided by 1 - p; x itself outside training or for p = 0.
Tensor dropout(const Tensor& x, float p);

// As scaled_dot_product_attention, with each weight dropped with probability p. Made of plain ops, so that the backward pass comes by itself;
// the fused op serves every other case.
Tensor attention_with_dropout(const Tensor& q, const Tensor& k, const Tensor& v, std::span<const Sequence> sequences, const AttentionConfig& config, float p);

}  // namespace mynah::nn
