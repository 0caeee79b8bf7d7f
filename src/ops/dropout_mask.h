// The mask of dropout with probability p, for the kernels.
#pragma once
#include "base/random.h"
#include "base/require.h"
#include "kernels/dropout.h"

namespace mynah::ops {

inline kernels::DropoutMask dropout_mask(const char* op, float p, uint64_t seed, uint64_t stream) {
  require(p >= 0 && p < 1, "{}: dropout of probability {}, expected 0 or more and below 1", op, p);
  const auto key = philox_key(seed, RandomPurpose::dropout);
  return {{key[0], key[1]}, stream, static_cast<uint32_t>(static_cast<double>(p) * 4294967296.0), 1 / (1 - p)};
}

}  // namespace mynah::ops
