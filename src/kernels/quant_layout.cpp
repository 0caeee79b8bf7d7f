#include "kernels/quant_layout.h"

#include <cstring>

namespace mynah::kernels {
namespace {

// All bit work is done on words of 4 columns: a word is one row's share of a line.
constexpr uint32_t kLow4 = 0x0f0f0f0fu, kLow2 = 0x03030303u, kLow1 = 0x01010101u;

uint32_t word(const void* p, int64_t index) {
  uint32_t w;
  std::memcpy(&w, static_cast<const uint8_t*>(p) + 4 * index, 4);
  return w;
}
void set_word(uint8_t* line, int64_t row, uint32_t w) { std::memcpy(line + 4 * row, &w, 4); }
void set_half(uint8_t* p, int64_t row, uint16_t h) { std::memcpy(p + 2 * row, &h, 2); }

// Four-bit codes of the 32-column formats lie in the file as they do in the panel.
void pack_low(const uint8_t* low, int64_t row, uint8_t* lines) {
  for (int l = 0; l < 4; ++l) set_word(lines + 64 * l, row, word(low, l));
}

// 4-bit codes of 32 columns, in bits `shift` .. shift + 3 of the bytes at `low`.
void pack_4bit(const uint8_t* low, int shift, int64_t row, uint8_t* lines) {
  for (int l = 0; l < 4; ++l)
    set_word(lines + 64 * l, row, ((word(low, l) >> shift) & kLow4) | (((word(low, l + 4) >> shift) & kLow4) << 4));
}

// 2-bit codes of 32 columns, in bits shift, shift + 1.
void pack_2bit(const uint8_t* codes, int shift, int64_t row, uint8_t* lines) {
  for (int h = 0; h < 2; ++h) {
    uint32_t w = 0;
    for (int i = 0; i < 4; ++i) w |= ((word(codes, 4 * h + i) >> shift) & kLow2) << (2 * i);
    set_word(lines + 64 * h, row, w);
  }
}

// 1-bit codes of 32 columns, in bit `shift`.
void pack_1bit(const uint8_t* codes, int shift, int64_t row, uint8_t* line) {
  uint32_t w = 0;
  for (int g = 0; g < 8; ++g) w |= ((word(codes, g) >> shift) & kLow1) << g;
  set_word(line, row, w);
}

// The fifth bits of q5_0 and q5_1: bit i of the word belongs to column i.
void pack_fifth(const uint8_t* high, int64_t row, uint8_t* line) {
  const uint32_t bits = word(high, 0);
  uint32_t w = 0;
  // The product puts bit i of the 4-bit factor into the lowest bit of byte i.
  for (int g = 0; g < 8; ++g) w |= ((((bits >> (4 * g)) & 15u) * 0x00204081u) & kLow1) << g;
  set_word(line, row, w);
}

void pack_6bit_fields(const uint8_t fields[16], int64_t row, uint8_t* lines) {
  for (int i = 0; i < 4; ++i) {
    const int at = static_cast<int>(16 * i + row);
    const unsigned a = fields[i], b = fields[i + 4], c = fields[i + 8], d = fields[i + 12];
    lines[at] = static_cast<uint8_t>((a & 15) | ((b & 15) << 4));
    lines[64 + at] = static_cast<uint8_t>((c & 15) | ((d & 15) << 4));
    lines[128 + at] = static_cast<uint8_t>((a >> 4) | ((b >> 4) << 2) | ((c >> 4) << 4) | ((d >> 4) << 6));
  }
}

// One row's block to its place in the panel: `codes` and `scales` of that block. Overloaded by file layout.
void pack_block(const BlockQ4_0& in, int64_t row, uint8_t* codes, uint8_t* scales) {
  pack_low(in.low, row, codes);
  set_half(scales, row, in.scale);
}
void pack_block(const BlockQ4_1& in, int64_t row, uint8_t* codes, uint8_t* scales) {
  pack_low(in.low, row, codes);
  set_half(scales, row, in.scale);
  set_half(scales + 32, row, in.minimum);
}
void pack_block(const BlockQ5_0& in, int64_t row, uint8_t* codes, uint8_t* scales) {
  pack_low(in.low, row, codes);
  pack_fifth(in.high, row, codes + 256);
  set_half(scales, row, in.scale);
}
void pack_block(const BlockQ5_1& in, int64_t row, uint8_t* codes, uint8_t* scales) {
  pack_low(in.low, row, codes);
  pack_fifth(in.high, row, codes + 256);
  set_half(scales, row, in.scale);
  set_half(scales + 32, row, in.minimum);
}
void pack_block(const BlockQ8_0& in, int64_t row, uint8_t* codes, uint8_t* scales) {
  for (int g = 0; g < 8; ++g) set_word(codes + 64 * g, row, word(in.codes, g) ^ 0x80808080u);
  set_half(scales, row, in.scale);
}
void pack_block(const BlockIq4Nl& in, int64_t row, uint8_t* codes, uint8_t* scales) {
  pack_low(in.low, row, codes);
  set_half(scales, row, in.scale);
}

void pack_block(const BlockQ2K& in, int64_t row, uint8_t* codes, uint8_t* scales) {
  for (int b = 0; b < 8; ++b) pack_2bit(in.low + 32 * (b / 4), 2 * (b % 4), row, codes + 128 * b);
  for (int i = 0; i < 16; ++i) scales[16 * i + row] = in.scales[i];
  set_half(scales + 256, row, in.scale);
  set_half(scales + 288, row, in.minimum);
}
void pack_block(const BlockQ3K& in, int64_t row, uint8_t* codes, uint8_t* scales) {
  for (int b = 0; b < 8; ++b) {
    pack_2bit(in.low + 32 * (b / 4), 2 * (b % 4), row, codes + 192 * b);
    pack_1bit(in.high, b, row, codes + 192 * b + 128);
  }
  // The file has the low 4 bits of scales 0..7 and 8..15 in the halves of 8 bytes, then four upper 2-bit parts a byte.
  uint8_t fields[16];
  for (int i = 0; i < 16; ++i) {
    const unsigned low = (in.scales[i % 8] >> (4 * (i / 8))) & 15u, high = (in.scales[8 + i % 4] >> (2 * (i / 4))) & 3u;
    fields[i] = static_cast<uint8_t>(low | (high << 4));
  }
  pack_6bit_fields(fields, row, scales);
  set_half(scales + 192, row, in.scale);
}

// Scales and minima of q4_k and q5_k: the first four of each are 6 bits of a byte, the others lie in the last 4 bytes
// with their upper bits in the spare ones of the first 8.
void pack_k_scales(const uint8_t* in, uint16_t scale, uint16_t minimum, int64_t row, uint8_t* scales) {
  uint8_t fields[16];
  for (int i = 0; i < 4; ++i) {
    fields[i] = in[i] & 63;
    fields[i + 8] = in[i + 4] & 63;
    fields[i + 4] = static_cast<uint8_t>((in[i + 8] & 15) | ((in[i] >> 6) << 4));
    fields[i + 12] = static_cast<uint8_t>((in[i + 8] >> 4) | ((in[i + 4] >> 6) << 4));
  }
  pack_6bit_fields(fields, row, scales);
  set_half(scales + 192, row, scale);
  set_half(scales + 224, row, minimum);
}
void pack_block(const BlockQ4K& in, int64_t row, uint8_t* codes, uint8_t* scales) {
  for (int b = 0; b < 8; ++b) pack_4bit(in.low + 32 * (b / 2), 4 * (b % 2), row, codes + 256 * b);
  pack_k_scales(in.scales, in.scale, in.minimum, row, scales);
}
void pack_block(const BlockQ5K& in, int64_t row, uint8_t* codes, uint8_t* scales) {
  for (int b = 0; b < 8; ++b) {
    pack_4bit(in.low + 32 * (b / 2), 4 * (b % 2), row, codes + 320 * b);
    pack_1bit(in.high, b, row, codes + 320 * b + 256);
  }
  pack_k_scales(in.scales, in.scale, in.minimum, row, scales);
}
void pack_block(const BlockQ6K& in, int64_t row, uint8_t* codes, uint8_t* scales) {
  for (int b = 0; b < 8; ++b) {
    const int half = b / 4, quarter = b % 4;
    pack_4bit(in.low + 64 * half + 32 * (quarter % 2), 4 * (quarter / 2), row, codes + 384 * b);
    pack_2bit(in.high + 32 * half, 2 * quarter, row, codes + 384 * b + 256);
  }
  for (int i = 0; i < 16; ++i) std::memcpy(scales + 16 * i + row, in.scales + i, 1);
  set_half(scales + 256, row, in.scale);
}

template <class Block>
void pack_rows(const PanelFormat& format, const void* blocks, int64_t rows, int64_t k, uint8_t* panel) {
  const auto* in = static_cast<const Block*>(blocks);
  const int64_t count = k / format.scale_columns, codes = format.code_bytes * (format.scale_columns / 32);
  uint8_t* scales = panel + codes * count;
  for (int64_t b = 0; b < count; ++b)
    for (int64_t row = 0; row < rows; ++row)
      pack_block(in[row * count + b], row, panel + codes * b, scales + format.scale_bytes * b);
}

using PackRows = void (*)(const PanelFormat&, const void*, int64_t, int64_t, uint8_t*);
constexpr PackRows kPackRows[kBlockFormats] = {
    pack_rows<BlockQ4_0>, pack_rows<BlockQ4_1>, pack_rows<BlockQ5_0>,  pack_rows<BlockQ5_1>,
    pack_rows<BlockQ8_0>, pack_rows<BlockQ2K>,  pack_rows<BlockQ3K>,   pack_rows<BlockQ4K>,
    pack_rows<BlockQ5K>,  pack_rows<BlockQ6K>,  pack_rows<BlockIq4Nl>,
};

}  // namespace

size_t panel_bytes(BlockFormat format, int64_t k) {
  const PanelFormat& f = kPanelFormats[static_cast<int>(format)];
  const int64_t bytes = k / 32 * f.code_bytes + k / f.scale_columns * f.scale_bytes;
  return static_cast<size_t>((bytes + 63) / 64 * 64);
}

size_t packed_bytes(BlockFormat format, int64_t rows, int64_t k) {
  return panel_bytes(format, k) * static_cast<size_t>((rows + kPanelRows - 1) / kPanelRows);
}

void pack_panel(BlockFormat format, const void* blocks, int64_t rows, int64_t k, uint8_t* panel) {
  const int f = static_cast<int>(format);
  if (rows < kPanelRows) std::memset(panel, 0, panel_bytes(format, k));
  kPackRows[f](kPanelFormats[f], blocks, rows, k, panel);
}

}  // namespace mynah::kernels
