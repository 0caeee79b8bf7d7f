// Where the bytes of packed block-quantised matrices lie, and the packing from the GGUF layouts (kernels/blocks.h).
//
// A panel holds 16 rows. Its unit is the line of 64 bytes: 16 rows times 4 consecutive columns of one byte each, the
// operand of a four-way byte dot product. The 8 lines ("groups") of 32 columns are stored as
//   4-bit part   4 lines; line l holds group l in its low and group l + 4 in its high halves of bytes
//   2-bit part   2 lines; line h holds groups 4h .. 4h + 3, the first in the lowest bits
//   1-bit part   1 line; bit g of a byte belongs to group g
//   8-bit part   8 lines
// one block of 32 columns after the other, and behind all of them the scales, again 16 rows together. Rows past the end
// of the matrix are zero. No format takes more bytes than the file's own.
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/blocks.h"

namespace mynah::kernels {

constexpr int64_t kPanelRows = 16;

struct PanelFormat {
  int64_t code_bytes;     // of 32 columns
  int64_t scale_bytes;    // of scale_columns columns
  int64_t scale_columns;  // 32 or 256
  int64_t file_bytes;     // of one row's block of scale_columns columns in the GGUF layout
};

// By BlockFormat. The scale part of 32 columns is 16 f16 scales, then 16 f16 minima. That of 256 columns is:
//   q4_k, q5_k  6-bit fields (see below) 0..7 scales and 8..15 minima; 16 f16 scales; 16 f16 minima
//   q3_k        6-bit fields, scales of 16 columns plus 32; 16 f16 scales
//   q6_k        16 x 16 bytes, signed scales of 16 columns; 16 f16 scales
//   q2_k        16 x 16 bytes, low half scale and high half minimum of 16 columns; 16 f16 scales; 16 f16 minima
// 6-bit fields: 16 per row in three lines. Byte 16 i + row (i < 4) of line 0 holds the low 4 bits of fields i and i +
// 4, of line 1 those of fields i + 8 and i + 12; of line 2 the upper 2 bits of fields i, i + 4, i + 8, i + 12, lowest
// bits first.
constexpr PanelFormat kPanelFormats[kBlockFormats] = {
    {256, 32, 32, 18},     // q4_0
    {256, 64, 32, 20},     // q4_1
    {320, 32, 32, 22},     // q5_0
    {320, 64, 32, 24},     // q5_1
    {512, 32, 32, 34},     // q8_0
    {128, 320, 256, 84},   // q2_k
    {192, 224, 256, 110},  // q3_k
    {256, 256, 256, 144},  // q4_k
    {320, 256, 256, 176},  // q5_k
    {384, 288, 256, 210},  // q6_k
    {256, 32, 32, 18},     // iq4_nl
};

// Bytes of a panel of k columns, a multiple of 64. k is a multiple of the format's block.
size_t panel_bytes(BlockFormat format, int64_t k);
// Bytes of a matrix [rows, k].
size_t packed_bytes(BlockFormat format, int64_t rows, int64_t k);
// Packs `rows` (1..16) rows of k columns in the GGUF layout, contiguous at `blocks`, into a panel.
void pack_panel(BlockFormat format, const void* blocks, int64_t rows, int64_t k, uint8_t* panel);

}  // namespace mynah::kernels
