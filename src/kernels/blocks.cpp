#include "kernels/blocks.h"

#include "kernels/half_bits.h"
#include "kernels/intrinsics.h"

namespace mynah::kernels {
namespace {

// 16 bytes of 4-bit codes -> 32 codes.
inline void unpack_nibbles(const uint8_t* low, int8_t* codes) {
  for (int i = 0; i < 16; ++i) codes[i] = static_cast<int8_t>(low[i] & 15);
  for (int i = 0; i < 16; ++i) codes[i + 16] = static_cast<int8_t>(low[i] >> 4);
}

inline void add_fifth_bits(const uint8_t* high, int8_t* codes) {
  const uint32_t bits = static_cast<uint32_t>(high[0]) | static_cast<uint32_t>(high[1]) << 8 |
                        static_cast<uint32_t>(high[2]) << 16 | static_cast<uint32_t>(high[3]) << 24;
  for (int i = 0; i < 32; ++i) codes[i] = static_cast<int8_t>(codes[i] + static_cast<int>(((bits >> i) & 1u) << 4));
}

template <int N>
inline void scaled(const int8_t* codes, float scale, float* out) {
  for (int i = 0; i < N; ++i) out[i] = scale * static_cast<float>(codes[i]);
}
template <int N>
inline void scaled_plus(const int8_t* codes, float scale, float offset, float* out) {
  for (int i = 0; i < N; ++i) out[i] = scale * static_cast<float>(codes[i]) + offset;
}

inline void decode(const BlockQ4_0& b, float* out) {
  int8_t codes[32];
  unpack_nibbles(b.low, codes);
  for (int i = 0; i < 32; ++i) codes[i] = static_cast<int8_t>(codes[i] - 8);
  scaled<32>(codes, f16_to_float(b.scale), out);
}

inline void decode(const BlockQ4_1& b, float* out) {
  int8_t codes[32];
  unpack_nibbles(b.low, codes);
  scaled_plus<32>(codes, f16_to_float(b.scale), f16_to_float(b.minimum), out);
}

inline void decode(const BlockQ5_0& b, float* out) {
  int8_t codes[32];
  unpack_nibbles(b.low, codes);
  add_fifth_bits(b.high, codes);
  for (int i = 0; i < 32; ++i) codes[i] = static_cast<int8_t>(codes[i] - 16);
  scaled<32>(codes, f16_to_float(b.scale), out);
}

inline void decode(const BlockQ5_1& b, float* out) {
  int8_t codes[32];
  unpack_nibbles(b.low, codes);
  add_fifth_bits(b.high, codes);
  scaled_plus<32>(codes, f16_to_float(b.scale), f16_to_float(b.minimum), out);
}

inline void decode(const BlockQ8_0& b, float* out) { scaled<32>(b.codes, f16_to_float(b.scale), out); }

inline void decode(const BlockIq4Nl& b, float* out) {
  int8_t codes[32];
  unpack_nibbles(b.low, codes);
  for (int i = 0; i < 32; ++i) codes[i] = kIq4Values[codes[i]];
  scaled<32>(codes, f16_to_float(b.scale), out);
}

// 64 bytes of 2-bit codes -> 256 codes.
inline void unpack_pairs(const uint8_t* low, int8_t* codes) {
  for (int half = 0; half < 2; ++half)
    for (int part = 0; part < 4; ++part)
      for (int i = 0; i < 32; ++i)
        codes[128 * half + 32 * part + i] = static_cast<int8_t>((low[32 * half + i] >> (2 * part)) & 3);
}

inline void decode(const BlockQ2K& b, float* out) {
  int8_t codes[256];
  unpack_pairs(b.low, codes);
  const float scale = f16_to_float(b.scale), minimum = f16_to_float(b.minimum);
  for (int s = 0; s < 16; ++s)
    scaled_plus<16>(codes + 16 * s, scale * static_cast<float>(b.scales[s] & 15),
                    -(minimum * static_cast<float>(b.scales[s] >> 4)), out + 16 * s);
}

// The scale of sub-block s: its low 4 bits in bytes 0 to 7, its upper 2 bits in bytes 8 to 11.
inline int q3_scale(const uint8_t* scales, int s) {
  const int low = s < 8 ? scales[s] & 15 : scales[s - 8] >> 4;
  return (low | ((scales[8 + s % 4] >> (2 * (s / 4))) & 3) << 4) - 32;
}

inline void decode(const BlockQ3K& b, float* out) {
  int8_t codes[256];
  unpack_pairs(b.low, codes);
  for (int part = 0; part < 8; ++part)  // a third bit that is not set takes 4 away
    for (int i = 0; i < 32; ++i)
      codes[32 * part + i] = static_cast<int8_t>(codes[32 * part + i] + 4 * ((b.high[i] >> part) & 1) - 4);
  const float scale = f16_to_float(b.scale);
  for (int s = 0; s < 16; ++s)
    scaled<16>(codes + 16 * s, scale * static_cast<float>(q3_scale(b.scales, s)), out + 16 * s);
}

// Scale and minimum of sub-block s of q4_k and q5_k: 6 bits each, the first four in bytes of their own.
struct Pair {
  float scale, minimum;
};
inline Pair scale_and_minimum(const uint8_t* scales, int s) {
  if (s < 4) return {static_cast<float>(scales[s] & 63), static_cast<float>(scales[s + 4] & 63)};
  return {static_cast<float>((scales[s + 4] & 15) | (scales[s - 4] >> 6) << 4),
          static_cast<float>((scales[s + 4] >> 4) | (scales[s] >> 6) << 4)};
}

inline void unpack_halves(const uint8_t* low, int8_t* codes) {
  for (int part = 0; part < 4; ++part) {
    for (int i = 0; i < 32; ++i) codes[64 * part + i] = static_cast<int8_t>(low[32 * part + i] & 15);
    for (int i = 0; i < 32; ++i) codes[64 * part + 32 + i] = static_cast<int8_t>(low[32 * part + i] >> 4);
  }
}

template <class Block>
inline void scale_k(const Block& b, const int8_t* codes, float* out) {
  const float scale = f16_to_float(b.scale), minimum = f16_to_float(b.minimum);
  for (int s = 0; s < 8; ++s) {
    const Pair p = scale_and_minimum(b.scales, s);
    scaled_plus<32>(codes + 32 * s, scale * p.scale, -(minimum * p.minimum), out + 32 * s);
  }
}

inline void decode(const BlockQ4K& b, float* out) {
  int8_t codes[256];
  unpack_halves(b.low, codes);
  scale_k(b, codes, out);
}

inline void decode(const BlockQ5K& b, float* out) {
  int8_t codes[256];
  unpack_halves(b.low, codes);
  for (int s = 0; s < 8; ++s)
    for (int i = 0; i < 32; ++i)
      codes[32 * s + i] = static_cast<int8_t>(codes[32 * s + i] + 16 * ((b.high[i] >> s) & 1));
  scale_k(b, codes, out);
}

inline void decode(const BlockQ6K& b, float* out) {
  int8_t codes[256];
  for (int half = 0; half < 2; ++half) {
    const uint8_t* low = b.low + 64 * half;
    const uint8_t* high = b.high + 32 * half;
    for (int part = 0; part < 4; ++part)
      for (int i = 0; i < 32; ++i) {
        const int nibble = (low[32 * (part & 1) + i] >> (part < 2 ? 0 : 4)) & 15;
        codes[128 * half + 32 * part + i] = static_cast<int8_t>((nibble | ((high[i] >> (2 * part)) & 3) << 4) - 32);
      }
  }
  const float scale = f16_to_float(b.scale);
  for (int s = 0; s < 16; ++s) scaled<16>(codes + 16 * s, scale * static_cast<float>(b.scales[s]), out + 16 * s);
}

template <class Block, int kElements>
void decode_row(const void* blocks, float* out, int64_t n) {
  const Block* b = static_cast<const Block*>(blocks);
  for (int64_t i = 0; i < n / kElements; ++i) decode(b[i], out + i * kElements);
}

void f16_row(const uint16_t* in, float* out, int64_t n) {
  int64_t i = 0;
#ifdef __F16C__
  for (; i + 8 <= n; i += 8)
    _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(in + i))));
#endif
  for (; i < n; ++i) out[i] = f16_to_float(in[i]);
}

void to_f16_row(const float* in, uint16_t* out, int64_t n) {
  int64_t i = 0;
#ifdef __F16C__
  for (; i + 8 <= n; i += 8)
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i),
                     _mm256_cvtps_ph(_mm256_loadu_ps(in + i), _MM_FROUND_TO_NEAREST_INT));
#endif
  for (; i < n; ++i) out[i] = float_to_f16(in[i]);
}

void bf16_row(const uint16_t* in, float* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) out[i] = bf16_to_float(in[i]);
}

void to_bf16_row(const float* in, uint16_t* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) out[i] = float_to_bf16(in[i]);
}

}  // namespace

namespace MYNAH_ISA {
extern const BlocksTable blocks_table = {
    {decode_row<BlockQ4_0, 32>, decode_row<BlockQ4_1, 32>, decode_row<BlockQ5_0, 32>, decode_row<BlockQ5_1, 32>,
     decode_row<BlockQ8_0, 32>, decode_row<BlockQ2K, 256>, decode_row<BlockQ3K, 256>, decode_row<BlockQ4K, 256>,
     decode_row<BlockQ5K, 256>, decode_row<BlockQ6K, 256>, decode_row<BlockIq4Nl, 32>},
    f16_row,
    bf16_row,
    to_f16_row,
    to_bf16_row};
}  // namespace MYNAH_ISA
}  // namespace mynah::kernels
