// Block-quantised rows in the GGUF file layouts, and 16-bit floats, to f32 and (16-bit) back. Every instruction set
// gives the same bits: one multiplication, and for layouts with a minimum one addition, per element, never fused.
#pragma once
#include <cstdint>

namespace mynah::kernels {

// In the order of the block-quantised members of DType.
enum class BlockFormat : uint8_t { q4_0, q4_1, q5_0, q5_1, q8_0, q2_k, q3_k, q4_k, q5_k, q6_k, iq4_nl };
constexpr int kBlockFormats = 11;

// Layouts of 32 elements. Codes of 4 bits: byte i holds element i in its low half and element i + 16 in its high half.
// The fifth bits of q5 are bit i of a little-endian word. Scales and minima are f16.
struct BlockQ4_0 {  // scale * (code - 8)
  uint16_t scale;
  uint8_t low[16];
};
struct BlockQ4_1 {  // scale * code + minimum
  uint16_t scale, minimum;
  uint8_t low[16];
};
struct BlockQ5_0 {  // scale * (code - 16)
  uint16_t scale;
  uint8_t high[4], low[16];
};
struct BlockQ5_1 {  // scale * code + minimum
  uint16_t scale, minimum;
  uint8_t high[4], low[16];
};
struct BlockQ8_0 {  // scale * code
  uint16_t scale;
  int8_t codes[32];
};
struct BlockIq4Nl {  // scale * kIq4Values[code]
  uint16_t scale;
  uint8_t low[16];
};

// Layouts of 256 elements in sub-blocks of 16 (q2_k, q3_k, q6_k) or 32 (q4_k, q5_k) with integer scales of their own.
// 2-bit codes: byte 32 h + i holds elements 128 h + i, + 32, + 64, + 96, lowest bits first; q6_k's upper bits likewise.
struct BlockQ2K {  // scales: 4 bits scale, 4 bits minimum
  uint8_t scales[16], low[64];
  uint16_t scale, minimum;
};
struct BlockQ3K {  // 6-bit scales minus 32; code - 4
  uint8_t high[32], low[64], scales[12];
  uint16_t scale;
};
struct BlockQ4K {  // 6-bit scales and minima
  uint16_t scale, minimum;
  uint8_t scales[12], low[128];
};
struct BlockQ5K {
  uint16_t scale, minimum;
  uint8_t scales[12], high[32], low[128];
};
struct BlockQ6K {  // code - 32
  uint8_t low[128], high[64];
  int8_t scales[16];
  uint16_t scale;
};
static_assert(sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_1) == 20 && sizeof(BlockQ5_0) == 22 && sizeof(BlockQ5_1) == 24);
static_assert(sizeof(BlockQ8_0) == 34 && sizeof(BlockIq4Nl) == 18 && sizeof(BlockQ2K) == 84 && sizeof(BlockQ3K) == 110);
static_assert(sizeof(BlockQ4K) == 144 && sizeof(BlockQ5K) == 176 && sizeof(BlockQ6K) == 210);

// The levels of iq4_nl.
constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

struct BlocksTable {
  // decode[format](blocks, out, n): n elements, a multiple of the block.
  void (*decode[kBlockFormats])(const void* blocks, float* out, int64_t n);
  void (*f16_to_f32)(const uint16_t* in, float* out, int64_t n);
  void (*bf16_to_f32)(const uint16_t* in, float* out, int64_t n);
  // Round to nearest, ties to even; too large for f16 gives infinity; NaN stays NaN.
  void (*f32_to_f16)(const float* in, uint16_t* out, int64_t n);
  void (*f32_to_bf16)(const float* in, uint16_t* out, int64_t n);
};
const BlocksTable& blocks();

}  // namespace mynah::kernels
