#include "kernels/quant.h"

#include "kernels/half_bits.h"
#include "kernels/intrinsics.h"

namespace mynah::kernels::MYNAH_ISA {
namespace {

// clang-format off: each builds on the one before
#include "kernels/quant_line.inc"
#if defined(__AMX_INT8__)
#include "kernels/tiles.inc"
#endif
#include "kernels/quant_formats.inc"
#include "kernels/quant_quantize.inc"
#include "kernels/quant_multiply.inc"
// clang-format on

// One block of all rows at a time through a buffer of bytes, then row by row.
template <class F>
void dequantize(const uint8_t* panel, int64_t blocks, int64_t begin, int64_t end, int64_t first, int64_t rows, float* out, int64_t out_stride) {
  constexpr float kOffset = F::kShift == 0 ? 0 : 1 << F::kShift;
  typename F::Scales scales(panel + blocks * F::kLayout.code_bytes);
  alignas(64) uint8_t lines[8][64], bytes[512];  // of the panel, and of one row after another: all are written before any is read, so that no read waits
  alignas(64) float scale[2][16], minimum[2][16];
  for (int64_t b = begin; b < end; ++b) {
    Line w[8];
    F::codes(panel + b * F::kLayout.code_bytes, w);
    scales.at(b);
    for (int g = 0; g < 8; ++g) store_line(lines[g], w[g]);
    for (int r = 0; r < kPanelRows; ++r)
      for (int g = 0; g < 8; ++g) __builtin_memcpy(bytes + 32 * r + 4 * g, lines[g] + 4 * r, 4);
    for (int h = 0; h < F::kHalves; ++h) {
      store_floats(scale[h], scales.scale(h));
      store_floats(minimum[h], scales.minimum(h));
    }
    for (int64_t r = first; r < first + rows; ++r) {
      float* to = out + (r - first) * out_stride + 32 * (b - begin);
      const uint8_t* row = bytes + 32 * r;
#pragma GCC unroll 2
      for (int part = 0; part < 2; ++part) {  // a half of the columns with F::kHalves, else two of the same numbers
        const int h = part * (F::kHalves - 1);
        const Floats value = multiply(set_floats(scale[h][r]), subtract(load_u8(row + 16 * part), set_floats(kOffset)));
        store_floats(to + 16 * part, F::kMinima ? add(value, set_floats(minimum[h][r])) : value);
      }
    }
  }
}

}  // namespace

extern const QuantTable quant_table = {
    quantize,
    {multiply<Q4_0>, multiply<Q4_1>, multiply<Q5_0>, multiply<Q5_1>, multiply<Q8_0>, multiply<Q2K>, multiply<Q3K>,
     multiply<Q4K>, multiply<Q5K>, multiply<Q6K>, multiply<Iq4Nl>},
    {dequantize<Q4_0>, dequantize<Q4_1>, dequantize<Q5_0>, dequantize<Q5_1>, dequantize<Q8_0>, dequantize<Q2K>,
     dequantize<Q3K>, dequantize<Q4K>, dequantize<Q5K>, dequantize<Q6K>, dequantize<Iq4Nl>},
};

}  // namespace mynah::kernels::MYNAH_ISA
