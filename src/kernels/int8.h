// Products of f32 rows with matrices of plain numbers that were quantised to 8 bits when they were loaded: y = x W^T.
//
// Matrix and rows of x alike have codes -127 .. 127 and one scale, amax / 127, for kInt8Block consecutive columns. The arithmetic of
// an output element is fixed, so that it has the same bits for every number of rows and instruction set: for each block in order,
// n = sum of the products of codes, exact; y = fma(n, scale of w * scale of x, y); the bias is added at the end.
#pragma once
#include <cstdint>

namespace mynah::kernels {

constexpr int64_t kInt8Block = 128;  // columns that share a scale
constexpr int64_t kInt8Panel = 16;   // rows of a panel

// Columns rounded up to whole operands of a four-way dot product, and the number of scales.
constexpr int64_t int8_padded(int64_t k) { return (k + 3) / 4 * 4; }
constexpr int64_t int8_blocks(int64_t k) { return (k + kInt8Block - 1) / kInt8Block; }

// Quantised rows of x, codes int8_padded(k) and scales and offsets int8_blocks(k) apart.
struct Int8Rows {
  const int8_t* codes;
  const float* scales;
  const int32_t* offsets;  // -128 times the sum of the block's codes
};

// A panel's codes plus 128: [int8_padded(k) / 4][16 rows][4], and its scales [int8_blocks(k)][16]. Panels lie one after the other.
struct Int8Product {
  const uint8_t* codes;
  const float* scales;
  int64_t rows;  // of the matrix: columns of y
  int64_t k;
  Int8Rows x;
  int64_t m;
  float* y;
  int64_t y_stride;
  const float* bias;  // [rows] or null
};

struct Int8Table {
  // NaN and infinities make the block's scale NaN or infinite.
  void (*quantize)(const float* x, int64_t k, int8_t* codes, float* scales, int32_t* offsets);
  // `rows` (1..16) rows of the matrix, row_stride apart, as one panel.
  void (*pack)(const float* w, int64_t row_stride, int64_t rows, int64_t k, uint8_t* codes, float* scales);
  void (*multiply)(const Int8Product& product);
};
const Int8Table& int8();

}  // namespace mynah::kernels
