// One f16 or bf16 number to f32 and back, for kernels (in an anonymous namespace: one copy per instruction set).
#pragma once
#include <cstdint>

namespace mynah::kernels {
namespace {

inline float float_of(uint32_t bits) { return __builtin_bit_cast(float, bits); }
inline uint32_t bits_of(float f) { return __builtin_bit_cast(uint32_t, f); }

// Exact: the exponent and mantissa move into place and a multiplication by 2^112 corrects the bias, also for
// subnormals.
inline float f16_to_float(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16, rest = static_cast<uint32_t>(h & 0x7fffu) << 13;
  const uint32_t bits = rest >= 0x0f800000u ? rest | 0x7f800000u : bits_of(float_of(rest) * 0x1p112f);
  return float_of(bits | sign);
}

// Round to nearest, ties to even.
inline uint16_t float_to_f16(float f) {
  const uint32_t u = bits_of(f), sign = (u >> 16) & 0x8000u, size = u & 0x7fffffffu;
  uint32_t h;
  if (size > 0x7f800000u) {
    h = 0x7e00u | ((size >> 13) & 0x3ffu);
  } else if (size >= 0x477ff000u) {
    h = 0x7c00u;
  } else if (size < 0x38800000u) {
    h = bits_of(float_of(size) + 0.5f) - 0x3f000000u;  // the addition rounds to multiples of 2^-24
  } else {
    h = (size - 0x38000000u + 0xfffu + ((size >> 13) & 1u)) >> 13;
  }
  return static_cast<uint16_t>(sign | h);
}

inline float bf16_to_float(uint16_t h) { return float_of(static_cast<uint32_t>(h) << 16); }
inline uint16_t float_to_bf16(float f) {
  const uint32_t u = bits_of(f), rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  return static_cast<uint16_t>((u & 0x7fffffffu) > 0x7f800000u ? (u >> 16) | 0x40u : rounded);
}

}  // namespace
}  // namespace mynah::kernels
