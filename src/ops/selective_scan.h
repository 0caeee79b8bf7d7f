// The selective state space of Mamba (arXiv:2312.00752): a state per channel that every token lets decay and adds to, as much as the
// token itself decides.
#pragma once
#include <span>

#include "mynah/ops.h"

namespace mynah::ops {

// One sequence inside rows one after another.
struct ScanSequence {
  int64_t count = 0;
  float* state = nullptr;  // [S, C] before the first row, becomes that behind the last; null: begins with zeros and is not kept. Not recorded
};

// x and step [N, C], a [C, S], b and c [N, S] -> [N, C]. Per channel, with d = softplus(step):
//   h_t = exp(d_t a) h_{t-1} + d_t x_t b_t,   y_t = sum over the S elements of h_t c_t
Tensor selective_scan(const Tensor& x, const Tensor& step, const Tensor& a, const Tensor& b, const Tensor& c, std::span<const ScanSequence> sequences);

}  // namespace mynah::ops
