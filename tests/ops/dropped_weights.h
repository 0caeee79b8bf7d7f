// The masks of attention's dropout as they are defined (kernels/attention.h), one weight at a time.
#pragma once
#include "base/random.h"

namespace mynah {

// Whether the weight is dropped of a query's row, counted through all rows of q and their heads, and a key, counted within its sequence.
inline bool drops_weight(float p, uint64_t seed, uint64_t stream, int64_t row, int64_t key) {
  const auto position = static_cast<uint64_t>(row) << 32 | static_cast<uint64_t>(key / 64 * 16 + key % 16);
  const uint32_t bits = philox(seed, stream, position, RandomPurpose::dropout)[static_cast<size_t>(key / 16 % 4)];
  return bits < static_cast<uint32_t>(static_cast<double>(p) * 4294967296.0);
}

}  // namespace mynah
