// Connectionist temporal classification: the loss of unaligned label sequences. Graves et al., ICML 2006.
#pragma once
#include <cstdint>
#include <vector>

#include "mynah/tensor.h"

namespace mynah::nn {

struct CtcOptions {
  int32_t blank = 0;
  bool mean = false;           // mean of loss / labels over sequences (PyTorch's "mean"); otherwise the sum
  bool zero_infinity = false;  // sequences too short for their labels count 0 instead of infinity
};

// log_probs [sequences * T, V]: T rows per sequence, of which the first lengths[i] count; labels of each sequence -> [].
Tensor ctc_loss(const Tensor& log_probs, int64_t sequences, const std::vector<int64_t>& lengths, const std::vector<std::vector<int32_t>>& labels,
                const CtcOptions& options);

}  // namespace mynah::nn
