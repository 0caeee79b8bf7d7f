// f32 rows to the block layouts of kernels/blocks.h: the searches over scales that GGUF files in circulation are made
// with (no importance weights), so that the bytes equal those of llama.cpp's reference quantisers (ggml-quants.c).
#pragma once
#include <cstdint>

#include "kernels/blocks.h"

namespace mynah::kernels {

struct EncodeTable {
  // encode[format](in, blocks, n): n finite numbers, a multiple of the block.
  void (*encode[kBlockFormats])(const float* in, void* blocks, int64_t n);
};
const EncodeTable& encode();

}  // namespace mynah::kernels
