// Which elements dropout takes away: those whose 32 random bits are below a threshold. The bits are those of philox() in base/random.h, four
// to a position, whatever instruction set makes them.
#pragma once
#include <cstdint>

namespace mynah::kernels {

struct DropoutMask {
  uint32_t key[2] = {0, 0};  // of philox: the seed, with the purpose mixed in
  uint64_t stream = 0;
  uint32_t threshold = 0;  // p * 2^32; 0 drops nothing
  float keep = 1;          // factor of the elements that stay: 1 / (1 - p)
};

}  // namespace mynah::kernels
