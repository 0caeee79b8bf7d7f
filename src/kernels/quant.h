// Products of f32 rows with packed block-quantised matrices (kernels/quant_layout.h): y = x W^T with 8-bit activations.
//
// The arithmetic of one output element is fixed, so that it has the same bits for every number of rows and instruction
// set. Activations: per 32 columns a scale s = amax / 127 and codes a = round(x * (127 / amax)). For each 32 columns in
// order (16 for q2_k, q3_k and q6_k), with the weight codes w, their offset o, scale d and minimum m:
//   n = sum((w - o) * a), exact;  y = fma(n, d * s, y);  formats with a minimum: y = fma(m, s * sum(a), y)
// A large number leaves its neighbours in the block few digits. Therefore the blocks of a row with the largest scales, one or a few,
// have a second block for what rounding left of them; its step follows that of the block. (Measured with SmolLM2, Q4_1: half of the
// distance to exact activations, for 2 to 6 % more work.)
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/quant_layout.h"

namespace mynah::kernels {

// 32 columns of one row of activations: one cache line.
struct alignas(64) ActivationBlock {
  int8_t codes[32];  // -127 .. 127
  float scale;
  float scaled_sum;      // scale * sum(codes)
  float scaled_sums[2];  // the same of each half
  int32_t negative_sum;  // -sum(codes)
  int32_t negative_sums[2];
  int32_t residual;  // the second block's place, in blocks from here; 0: none
};
static_assert(sizeof(ActivationBlock) == 64);

// Blocks of a row of k = 32 * blocks columns, the second ones at the end.
static constexpr int64_t activation_blocks(int64_t blocks) { return blocks + 1 + blocks / 64; }

struct QuantTable {
  // k columns (a multiple of 32) of one row to activation_blocks(k / 32) blocks. NaN and infinities in x make the block's scale NaN or
  // infinite.
  void (*quantize)(const float* x, int64_t k, ActivationBlock* out);
  // y[i * y_stride + r] for i < m and r < rows: `rows` matrix rows from the start of `panels`, blocks = k / 32; rows of x lie
  // activation_blocks(blocks) apart.
  void (*multiply[kBlockFormats])(const uint8_t* panels, int64_t rows, int64_t blocks, const ActivationBlock* x,
                                  int64_t m, float* y, int64_t y_stride);
  // Rows first .. first + rows - 1 of one panel of `blocks` blocks a row to f32, out_stride apart, columns from 32 * begin (a multiple of 256) to
  // 32 * end: the bits that BlocksTable::decode gives.
  void (*dequantize[kBlockFormats])(const uint8_t* panel, int64_t blocks, int64_t begin, int64_t end, int64_t first, int64_t rows, float* out,
                                    int64_t out_stride);
};
const QuantTable& quant();

}  // namespace mynah::kernels
