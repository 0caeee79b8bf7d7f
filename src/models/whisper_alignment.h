// When each token is said: the path of least cost through the decoder's attention to the sound (dynamic time warping).
#pragma once
#include <cstdint>
#include <vector>

#include "mynah/tensor.h"

namespace mynah {

// Median over `width` (odd) neighbours in each row [..., F] of `rows` rows, the ends mirrored; shorter rows stay as they are.
void median_filter(float* values, int64_t rows, int64_t frames, int64_t width);

// For each of T rows the column where it begins on the cheapest way from the first corner to the last of `cost` [T,F], that goes one
// row down, one column right, or both.
std::vector<int64_t> warped_starts(const std::vector<double>& cost, int64_t rows, int64_t columns);

// Seconds at which each of T tokens begins, from attention weights [H,T,F] of H heads over F encoder rows of 20 ms.
std::vector<float> token_times(const Tensor& weights, int64_t median_width);

}  // namespace mynah
