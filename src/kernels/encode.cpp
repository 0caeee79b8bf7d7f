#include "kernels/encode.h"

#include "kernels/encode_search.h"

namespace mynah::kernels {
namespace {

// All sub-blocks of one block of 256, searched: scales and minima.
template <int N>
struct AffineBlock {
  float scale[256 / N], minimum[256 / N], largest_scale = 0, largest_minimum = 0;
  uint8_t codes[256];

  AffineBlock(const float* x, const AffineSearch& s, void (*weigh)(const Floats* x, Floats* w)) {
    for (int first = 0; first < 256 / N; first += kLanes) {
      const Tile<N> tile(x + N * first);
      Floats w[N];
      weigh(tile.x, w);
      Affine<N> best;
      search_affine<N>(tile.x, w, s, best);
      store_codes<N>(best.codes, codes + N * first);
      for (int g = 0; g < kLanes; ++g) {
        scale[first + g] = best.scale[g];
        minimum[first + g] = best.minimum[g];
        if (best.scale[g] > largest_scale) largest_scale = best.scale[g];
        if (best.minimum[g] > largest_minimum) largest_minimum = best.minimum[g];
      }
    }
  }
};

// The codes for scales as they are stored; where the scale became 0 the search's codes stay.
template <int N>
inline void code_again(const float* x, float scale, float minimum, int low, int high, uint8_t* codes) {
  if (scale == 0.0f) return;
  for (int e = 0; e < N; ++e) {
    const int code = nearest((x[e] + minimum) / scale);
    codes[e] = static_cast<uint8_t>((code < low ? low : code > high ? high : code) - low);
  }
}

// 256 codes of 2 bits; higher bits are dropped.
inline void pack_pairs(const uint8_t* codes, uint8_t* low) {
  for (int half = 0; half < 2; ++half)
    for (int i = 0; i < 32; ++i) {
      const uint8_t* c = codes + 128 * half + i;
      low[32 * half + i] = static_cast<uint8_t>((c[0] & 3) | (c[32] & 3) << 2 | (c[64] & 3) << 4 | (c[96] & 3) << 6);
    }
}

void weigh_by_size(const Floats* x, Floats* w) {
  for (int e = 0; e < 16; ++e) w[e] = magnitude(x[e]);
}

void encode(const float* x, BlockQ2K& b) {
  AffineBlock<16> a(x, {3, -0.5f, 0.1f, 16, true}, weigh_by_size);
  const float per_scale = a.largest_scale > 0 ? 15.0f / a.largest_scale : 0.0f;
  const float per_minimum = a.largest_minimum > 0 ? 15.0f / a.largest_minimum : 0.0f;
  b.scale = float_to_f16(a.largest_scale / 15.0f);
  b.minimum = float_to_f16(a.largest_minimum / 15.0f);
  for (int s = 0; s < 16; ++s) {
    const int scale = nearest(per_scale * a.scale[s]), minimum = nearest(per_minimum * a.minimum[s]);
    b.scales[s] = static_cast<uint8_t>((scale & 255) | minimum << 4);
    code_again<16>(x + 16 * s, f16_to_float(b.scale) * static_cast<float>(b.scales[s] & 15),
                   f16_to_float(b.minimum) * static_cast<float>(b.scales[s] >> 4), 0, 3, a.codes + 16 * s);
  }
  pack_pairs(a.codes, b.low);
}

// The root mean square added to each magnitude, so that small elements count too.
void weigh_by_size_and_mean(const Floats* x, Floats* w) {
  Floats sum = {};
  for (int e = 0; e < 32; ++e) sum += x[e] * x[e];
  Floats mean = sum / 32.0f;
  for (int g = 0; g < kLanes; ++g) mean[g] = __builtin_sqrtf(mean[g]);
  for (int e = 0; e < 32; ++e) w[e] = mean + magnitude(x[e]);
}

inline int six_bits(float v) {
  const int code = nearest(v) & 255;
  return code > 63 ? 63 : code;
}

// Scales and codes of q4_k (top 15) and q5_k (top 31).
template <class Block>
void encode_affine_32(const float* x, Block& b, AffineBlock<32>& a, int top) {
  const float per_scale = a.largest_scale > 0 ? 63.0f / a.largest_scale : 0.0f;
  const float per_minimum = a.largest_minimum > 0 ? 63.0f / a.largest_minimum : 0.0f;
  b.scale = float_to_f16(a.largest_scale / 63.0f);
  b.minimum = float_to_f16(a.largest_minimum / 63.0f);
  const float unit = f16_to_float(b.scale), minimum_unit = f16_to_float(b.minimum);
  int scale[8], minimum[8];
  for (int s = 0; s < 8; ++s) {
    scale[s] = six_bits(per_scale * a.scale[s]);
    minimum[s] = six_bits(per_minimum * a.minimum[s]);
    code_again<32>(x + 32 * s, unit * static_cast<float>(scale[s]), minimum_unit * static_cast<float>(minimum[s]), 0,
                   top, a.codes + 32 * s);
  }
  for (int s = 0; s < 4; ++s) {
    b.scales[s] = static_cast<uint8_t>(scale[s] | (scale[s + 4] >> 4) << 6);
    b.scales[s + 4] = static_cast<uint8_t>(minimum[s] | (minimum[s + 4] >> 4) << 6);
    b.scales[s + 8] = static_cast<uint8_t>((scale[s + 4] & 15) | (minimum[s + 4] & 15) << 4);
  }
  for (int part = 0; part < 4; ++part)
    for (int i = 0; i < 32; ++i)
      b.low[32 * part + i] =
          static_cast<uint8_t>((a.codes[64 * part + i] & 15) | (a.codes[64 * part + 32 + i] & 15) << 4);
}

void encode(const float* x, BlockQ4K& b) {
  AffineBlock<32> a(x, {15, -1.0f, 0.1f, 21, false}, weigh_by_size_and_mean);
  encode_affine_32(x, b, a, 15);
}

void encode(const float* x, BlockQ5K& b) {
  AffineBlock<32> a(x, {31, -0.5f, 0.1f, 16, false}, weigh_by_size_and_mean);
  encode_affine_32(x, b, a, 31);
  for (int i = 0; i < 32; ++i) {
    int bits = 0;
    for (int s = 0; s < 8; ++s) bits |= (a.codes[32 * s + i] >> 4) << s;
    b.high[i] = static_cast<uint8_t>(bits);
  }
}

struct SymmetricBlock {
  float scale[16], extreme_scale = 0;  // the scale of largest magnitude, the first of equals
  uint8_t codes[256];

  SymmetricBlock(const float* x, void (*search)(const Floats*, Symmetric&)) {
    float largest = 0;
    for (int first = 0; first < 16; first += kLanes) {
      const Tile<16> tile(x + 16 * first);
      Symmetric best;
      search(tile.x, best);
      store_codes<16>(best.codes, codes + 16 * first);
      for (int g = 0; g < kLanes; ++g) {
        scale[first + g] = best.scale[g];
        const float size = __builtin_fabsf(best.scale[g]);
        if (size > largest) {
          largest = size;
          extreme_scale = best.scale[g];
        }
      }
    }
  }
};

void encode(const float* x, BlockQ3K& b) {
  SymmetricBlock a(x, search_by_element);
  b = BlockQ3K{};
  const float inverse = a.extreme_scale != 0.0f ? -32.0f / a.extreme_scale : 0.0f;
  if (inverse != 0.0f) b.scale = float_to_f16(1.0f / inverse);
  for (int s = 0; s < 16; ++s) {
    int scale = -32;
    if (inverse != 0.0f) {
      scale = static_cast<int8_t>(nearest(inverse * a.scale[s]));
      scale = scale < -32 ? -32 : scale > 31 ? 31 : scale;
      const int bits = scale + 32;
      b.scales[s % 8] = static_cast<uint8_t>(b.scales[s % 8] | (bits & 15) << (s < 8 ? 0 : 4));
      b.scales[8 + s % 4] = static_cast<uint8_t>(b.scales[8 + s % 4] | (bits >> 4) << (2 * (s / 4)));
    }
    code_again<16>(x + 16 * s, f16_to_float(b.scale) * static_cast<float>(scale), 0.0f, -4, 3, a.codes + 16 * s);
  }
  for (int i = 0; i < 256; ++i) b.high[i % 32] = static_cast<uint8_t>(b.high[i % 32] | (a.codes[i] >> 2) << (i / 32));
  pack_pairs(a.codes, b.low);
}

void encode(const float* x, BlockQ6K& b) {
  SymmetricBlock a(x, search_grids);
  b = BlockQ6K{};
  if (__builtin_fabsf(a.extreme_scale) < kTiny) return;
  const float inverse = -128.0f / a.extreme_scale;
  b.scale = float_to_f16(1.0f / inverse);
  for (int s = 0; s < 16; ++s) {
    const int scale = nearest(inverse * a.scale[s]);
    b.scales[s] = static_cast<int8_t>(scale > 127 ? 127 : scale);
    code_again<16>(x + 16 * s, f16_to_float(b.scale) * static_cast<float>(b.scales[s]), 0.0f, -32, 31,
                   a.codes + 16 * s);
  }
  for (int half = 0; half < 2; ++half)
    for (int i = 0; i < 32; ++i) {
      const uint8_t* c = a.codes + 128 * half + i;
      b.low[64 * half + i] = static_cast<uint8_t>((c[0] & 15) | (c[64] & 15) << 4);
      b.low[64 * half + 32 + i] = static_cast<uint8_t>((c[32] & 15) | (c[96] & 15) << 4);
      b.high[32 * half + i] =
          static_cast<uint8_t>(c[0] >> 4 | (c[32] >> 4) << 2 | (c[64] >> 4) << 4 | (c[96] >> 4) << 6);
    }
}

// ---- Blocks of 32.

// Towards zero; what no byte can hold gives 0.
inline int truncated(float v) { return v > -129.0f && v < 256.0f ? static_cast<int>(v) : 0; }

// The scale that puts the extreme element on the lowest code, -half; codes are stored plus half.
struct Centered {
  float scale;
  uint8_t codes[32];
  Centered(const float* x, int half) {
    float largest = 0, peak = 0;
    for (int i = 0; i < 32; ++i)
      if (__builtin_fabsf(x[i]) > largest) {
        largest = __builtin_fabsf(x[i]);
        peak = x[i];
      }
    scale = peak / static_cast<float>(-half);
    const float inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
    for (int i = 0; i < 32; ++i) {
      const int code = truncated(x[i] * inverse + (static_cast<float>(half) + 0.5f));
      codes[i] = static_cast<uint8_t>(code < 2 * half ? code : 2 * half - 1);
    }
  }
};

// Codes 0 to top from the smallest to the largest element.
struct Ranged {
  float scale, minimum;
  uint8_t codes[32];
  Ranged(const float* x, int top) {
    float low = x[0], high = x[0];
    for (int i = 1; i < 32; ++i) {
      low = x[i] < low ? x[i] : low;
      high = x[i] > high ? x[i] : high;
    }
    minimum = low;
    scale = (high - low) / static_cast<float>(top);
    const float inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
    for (int i = 0; i < 32; ++i) {
      const int code = truncated((x[i] - low) * inverse + 0.5f);
      codes[i] = static_cast<uint8_t>(code < top ? code : top);
    }
  }
};

inline void pack_low(const uint8_t* codes, uint8_t* low) {
  for (int i = 0; i < 16; ++i) low[i] = static_cast<uint8_t>((codes[i] & 15) | (codes[i + 16] & 15) << 4);
}
inline void pack_fifth(const uint8_t* codes, uint8_t* high) {
  uint32_t bits = 0;
  for (int i = 0; i < 32; ++i) bits |= static_cast<uint32_t>(codes[i] >> 4) << i;
  for (int i = 0; i < 4; ++i) high[i] = static_cast<uint8_t>(bits >> (8 * i));
}

void encode(const float* x, BlockQ4_0& b) {
  const Centered c(x, 8);
  b.scale = float_to_f16(c.scale);
  pack_low(c.codes, b.low);
}

void encode(const float* x, BlockQ5_0& b) {
  const Centered c(x, 16);
  b.scale = float_to_f16(c.scale);
  pack_low(c.codes, b.low);
  pack_fifth(c.codes, b.high);
}

void encode(const float* x, BlockQ4_1& b) {
  const Ranged r(x, 15);
  b.scale = float_to_f16(r.scale);
  b.minimum = float_to_f16(r.minimum);
  pack_low(r.codes, b.low);
}

void encode(const float* x, BlockQ5_1& b) {
  const Ranged r(x, 31);
  b.scale = float_to_f16(r.scale);
  b.minimum = float_to_f16(r.minimum);
  pack_low(r.codes, b.low);
  pack_fifth(r.codes, b.high);
}

void encode(const float* x, BlockQ8_0& b) {
  float largest = 0;
  for (int i = 0; i < 32; ++i) largest = __builtin_fabsf(x[i]) > largest ? __builtin_fabsf(x[i]) : largest;
  const float scale = largest / 127.0f, inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
  b.scale = float_to_f16(scale);
  for (int i = 0; i < 32; ++i) {  // ties away from zero: 0.49999997 is the largest number below 1/2
    const float v = x[i] * inverse;
    b.codes[i] = static_cast<int8_t>(truncated(v + __builtin_copysignf(0x1.fffffep-2f, v)));
  }
}

void encode_iq4_nl(const float* in, void* blocks, int64_t n) {
  BlockIq4Nl* b = static_cast<BlockIq4Nl*>(blocks);
  const int64_t count = n / 32;
  for (int64_t first = 0; first < count; first += kLanes) {
    const int used = count - first < kLanes ? static_cast<int>(count - first) : kLanes;
    float x[32 * kLanes] = {};
    for (int i = 0; i < 32 * used; ++i) x[i] = in[32 * first + i];
    const Tile<32> tile(x);
    Ints found[32];
    const Floats scale = search_levels(tile.x, found);
    uint8_t codes[32 * kLanes];
    store_codes<32>(found, codes);
    for (int g = 0; g < used; ++g) {
      b[first + g].scale = float_to_f16(scale[g]);
      pack_low(codes + 32 * g, b[first + g].low);
    }
  }
}

template <class Block, int kElements>
void encode_row(const float* in, void* blocks, int64_t n) {
  Block* b = static_cast<Block*>(blocks);
  for (int64_t i = 0; i < n / kElements; ++i) encode(in + i * kElements, b[i]);
}

}  // namespace

namespace MYNAH_ISA {
extern const EncodeTable encode_table = {
    {encode_row<BlockQ4_0, 32>, encode_row<BlockQ4_1, 32>, encode_row<BlockQ5_0, 32>, encode_row<BlockQ5_1, 32>,
     encode_row<BlockQ8_0, 32>, encode_row<BlockQ2K, 256>, encode_row<BlockQ3K, 256>, encode_row<BlockQ4K, 256>,
     encode_row<BlockQ5K, 256>, encode_row<BlockQ6K, 256>, encode_iq4_nl}};
}  // namespace MYNAH_ISA
}  // namespace mynah::kernels
