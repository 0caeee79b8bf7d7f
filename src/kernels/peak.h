// Loops that do nothing but reach the machine's limits: the yardsticks of the benchmarks.
#pragma once
#include <cstddef>
#include <cstdint>

namespace mynah::kernels {

struct PeakTable {
  // Each runs `rounds` rounds on registers and returns the operations done (2 per multiply-add). `sink` keeps the result alive.
  double (*f32)(int64_t rounds, float* sink);
  double (*bf16)(int64_t rounds, float* sink);  // 0 where the instruction set has no bf16 dot product
  double (*int8)(int64_t rounds, float* sink);  // u8 x s8 dot products
  // Reads n bytes once (n a multiple of 4096) and returns a checksum.
  uint64_t (*read)(const void* data, size_t n);
};

const PeakTable& peak();

}  // namespace mynah::kernels
