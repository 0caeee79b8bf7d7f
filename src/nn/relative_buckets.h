// Relative positions in logarithmic buckets, as T5 and its relatives (MPNet, XLM-R's kin) use them. Paper: arXiv:1910.10683.
#pragma once
#include <cstdint>

#include "mynah/tensor.h"

namespace mynah::nn {

// The bucket of key position minus query position: exact for small distances, then logarithmic up to max_distance. Bidirectional:
// half the buckets for keys to the right; otherwise keys to the right count as distance 0.
int64_t relative_bucket(int64_t distance, int64_t buckets, int64_t max_distance, bool bidirectional);

// AttentionConfig::distance_bias [H, 2 reach - 1] from a table [buckets, H], for up to `reach` keys. Differentiable.
Tensor distance_bias(const Tensor& table, int64_t reach, int64_t max_distance, bool bidirectional);

}  // namespace mynah::nn
