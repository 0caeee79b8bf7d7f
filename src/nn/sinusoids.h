// Fixed position embeddings made of sines and cosines. Paper: arXiv:1706.03762.
#pragma once
#include <cstdint>
#include <span>

#include "mynah/tensor.h"

namespace mynah::nn {

// [n, size]: sines of position / 10000^(2i / size) first, then the cosines (Marian, Pegasus).
Tensor sinusoids(std::span<const int32_t> positions, int64_t size);
// The same with frequencies 10000^(-i / (size / 2 - 1)), computed in f32; the position `padding` is all zeros (M2M-100).
Tensor sinusoids_with_padding(std::span<const int32_t> positions, int64_t size, int32_t padding);

}  // namespace mynah::nn
