// The machine: which instruction set is used, and its measured limits.
#pragma once
#include <string>

namespace mynah::ops {

// "generic", "avx2", "avx512", "bf16" or "amx".
std::string instruction_set();
// Forces one (MYNAH_ISA). Throws usage for an unknown name or one that the processor lacks.
void choose_instruction_set(const std::string& name);

struct Peaks {
  double int8_gops = 0, bf16_gflops = 0, f32_gflops = 0, read_gb_s = 0;
};
// Measures with `threads` threads (0: the pool's), about `seconds` for each number; the best of several tries.
Peaks measure_peaks(int threads = 0, double seconds = 0.1);

}  // namespace mynah::ops
