#include "kernels/conv.h"

#include "kernels/intrinsics.h"

namespace mynah::kernels::MYNAH_ISA {
namespace {

// clang-format off: the order is that of use
#include "kernels/lanes.inc"
#include "kernels/lanes_math.inc"
#include "kernels/conv_words.inc"
#include "kernels/conv_after.inc"
#include "kernels/conv_tiles.inc"
#include "kernels/conv_winograd.inc"
#include "kernels/conv_channels.inc"
// clang-format on

void range(const float* x, int64_t n, float* range) {
  Vf low = set(range[0]), high = set(range[1]), wrong = set(0.0f);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vf v = load(x + i);
    low = min(low, v);
    high = max(high, v);
    wrong = wrong + (v - v);  // NaN from then on if v is not finite
  }
  float lows[kLanes], highs[kLanes];
  store(lows, low);
  store(highs, high);
  float lost = sum(wrong);
  for (; i < n; ++i) {
    lows[0] = x[i] < lows[0] ? x[i] : lows[0];
    highs[0] = x[i] > highs[0] ? x[i] : highs[0];
    lost += x[i] - x[i];
  }
  for (int l = 0; l < kLanes; ++l) {
    range[0] = lows[l] < range[0] ? lows[l] : range[0];
    range[1] = highs[l] > range[1] ? highs[l] : range[1];
  }
  if (lost != 0) range[0] = range[1] = lost;
}

uint8_t to_byte(float x, float factor, int32_t zero) {
  const float scaled = x * factor;
  if (!(scaled > -256.0f)) return 0;  // NaN too
  if (scaled > 256.0f) return 255;
  const int32_t code = static_cast<int32_t>(__builtin_rintf(scaled)) + zero;
  return static_cast<uint8_t>(code < 0 ? 0 : code > 255 ? 255 : code);
}

void to_bytes(const float* x, int64_t n, float factor, int32_t zero, uint8_t* y) {
  int64_t i = 0;
#if defined(__AVX512F__)
  const __m512 times = _mm512_set1_ps(factor);
  const __m512i plus = _mm512_set1_epi32(zero);
  for (; i + kLanes <= n; i += kLanes) {
    const __m512i code = _mm512_max_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + i), times)), plus), _mm512_setzero_si512());
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y + i), _mm512_cvtusepi32_epi8(code));
  }
#endif
  for (; i < n; ++i) y[i] = to_byte(x[i], factor, zero);
}

}  // namespace

extern const ConvTable conv_table = {Bf16Word::kHere, ByteWord::kHere, multiply, multiply_channels, range, to_bytes, small_tile, large_tile};

}  // namespace mynah::kernels::MYNAH_ISA
