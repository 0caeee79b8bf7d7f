// What mynah-media writes: pieces of [kind u32][bytes u32], little-endian, then the bytes.
#pragma once
#include <cstdint>

namespace mynah::media_pipe {

enum Kind : uint32_t {
  sound = 1,    // u32 rate, u32 channels: before the first samples
  samples = 2,  // f32, channels interleaved
  frame = 3,    // f64 seconds, u32 width, u32 height, then RGB bytes
  end = 4,      // nothing is missing
  error = 5,    // a text
};

}  // namespace mynah::media_pipe
