// Convolutions of maps that lie pixel by pixel (the channels of a pixel beside each other): products of pixels as they
// stand in memory with packed weights, the additions behind a convolution, and Winograd's transformations for windows
// of 3x3. Threads, padding and buffers are the caller's (ops/folded_conv.cpp).
#pragma once
#include <cstdint>

namespace mynah::kernels {

// What a 32-bit word of pixels holds along the channels: one f32, two bf16, or four unsigned bytes (signed ones in
// weights). Sums are f32, f32 and exact 32-bit integers.
enum class ConvWord : uint8_t { f32, bf16, bytes };

constexpr int64_t kConvPanel = 16;  // outputs of a panel of weights

enum class ConvActivation : uint8_t { none, relu, silu };

// What follows the sums of an output: y = act(sum * scale + shift + added), or act(sum * scale + shift) + added.
struct ConvAfter {
  const float* scales;  // [outputs] of bytes, else unused
  const float* shifts;  // [outputs], or null: nothing follows
  ConvActivation activation;
  const float* added;  // null: nothing is added. Steps are those of y
  int64_t added_pixel, added_line;
  bool added_last;
};

// Lines of pixels of a result. Its pixel p of line l sees, in each run r of a window, the words
// x + l * line + p * pixel + runs[r] + [0, units).
struct ConvJob {
  ConvWord word;
  const uint32_t* x;
  int64_t pixel, line;
  const int64_t* runs;
  int64_t run_count, units;
  const uint32_t* weights;  // panels of [run_count * units][16] words, `panel` words apart
  int64_t panel;
  const int32_t* starts;  // [outputs] of bytes: what sums start at
  int64_t pixels, lines, outputs;
  float* y;
  int64_t y_pixel, y_line;  // outputs of a pixel lie beside each other
  ConvAfter after;
};

// A line of pixels of a result of which every channel sees its own plane through a window of its own. Pixel p sees, at place (i, j) of the
// window, the numbers x + p * pixel + i * window_line + j * window_pixel + [0, channels).
struct ConvChannels {
  const float* x;
  int64_t pixel, window_line, window_pixel;
  int64_t window_height, window_width;
  const float* weights;  // [height][width][channels]
  const float* shifts;   // [channels]
  int64_t channels, pixels;
  float* y;
  int64_t y_pixel;
};

// Winograd's tiles of arXiv:1509.09308 for windows of 3x3: `places` of the result in both directions, which see places + 2 pixels.
struct WinogradTile {
  int64_t places;
  // `channels` numbers of each of the pixels that a tile sees become as many positions, `position` apart.
  void (*in)(const float* const* pixels, int64_t channels, float* out, int64_t position);
  // Positions of `outputs` sums become the places of the result; null ones are left out. `added` likewise.
  void (*out)(const float* sums, int64_t position, int64_t outputs, const ConvAfter& after, const float* const* added, float* const* y);
};

struct ConvTable {
  bool has_bf16, has_bytes;  // whether words of these can be multiplied
  void (*multiply)(const ConvJob& job);
  void (*multiply_channels)(const ConvChannels& job);
  // The smallest and the largest of n numbers and of range[0] and range[1], or NaN.
  void (*range)(const float* x, int64_t n, float* range);
  // Bytes round(x * factor) + zero, at least 0 and at most 255.
  void (*to_bytes)(const float* x, int64_t n, float factor, int32_t zero, uint8_t* y);

  WinogradTile small_tile, large_tile;  // F(2x2, 3x3) and F(4x4, 3x3)
};
const ConvTable& conv();

}  // namespace mynah::kernels
