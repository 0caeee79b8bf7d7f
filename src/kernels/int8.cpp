#include "kernels/int8.h"

#include "kernels/half_bits.h"
#include "kernels/intrinsics.h"

namespace mynah::kernels::MYNAH_ISA {
namespace {

#include "kernels/quant_line.inc"

int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// ---- quantising

// Codes of up to kInt8Block numbers; returns their scale and the sum of the codes.
float quantize_block(const float* x, int64_t n, int8_t* codes, int32_t* sum) {
  uint32_t amax_bits = 0;  // of magnitudes: NaN is larger than all
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t size = bits_of(x[i]) & 0x7fffffffu;
    amax_bits = size > amax_bits ? size : amax_bits;
  }
  const float amax = float_of(amax_bits), factor = amax > 1e-35f ? 127.0f / amax : 0.0f;
  int32_t total = 0;
  for (int64_t i = 0; i < n; ++i) {
    // Adding 1.5 * 2^23 rounds to the nearest integer, ties to even; NaN (from infinities) becomes -127.
    const float scaled = x[i] * factor;
    int32_t code = scaled != scaled ? -127 : static_cast<int32_t>(bits_of(scaled + 12582912.0f)) - 0x4b400000;
    code = code < -127 ? -127 : code;
    codes[i] = static_cast<int8_t>(code);
    total += code;
  }
  *sum = total;
  return amax / 127.0f;
}

#if defined(__AVX512VNNI__)
// The same for a whole block.
float quantize_whole_block(const float* x, int8_t* codes, int32_t* sum) {
  constexpr int kVectors = kInt8Block / 16;
  __m512 v[kVectors];
  __m512i size = _mm512_setzero_si512();
#pragma GCC unroll 8
  for (int i = 0; i < kVectors; ++i) {
    v[i] = _mm512_loadu_ps(x + 16 * i);
    size = _mm512_max_epu32(size, _mm512_and_si512(_mm512_castps_si512(v[i]), _mm512_set1_epi32(INT32_MAX)));
  }
  const float amax = float_of(_mm512_reduce_max_epu32(size)), factor = amax > 1e-35f ? 127.0f / amax : 0.0f;
  __m512i total = _mm512_setzero_si512();
#pragma GCC unroll 8
  for (int i = 0; i < kVectors; ++i) {
    const __m512i code = _mm512_max_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(v[i], _mm512_set1_ps(factor))), _mm512_set1_epi32(-127));
    total = _mm512_add_epi32(total, code);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(codes + 16 * i), _mm512_cvtsepi32_epi8(code));
  }
  *sum = _mm512_reduce_add_epi32(total);
  return amax / 127.0f;
}
#endif

void quantize(const float* x, int64_t k, int8_t* codes, float* scales, int32_t* offsets) {
  for (int64_t i = 0; i < k; i += kInt8Block) {
    int32_t sum;
#if defined(__AVX512VNNI__)
    if (k - i >= kInt8Block)
      *scales++ = quantize_whole_block(x + i, codes + i, &sum);
    else
#endif
      *scales++ = quantize_block(x + i, least(k - i, kInt8Block), codes + i, &sum);
    *offsets++ = -128 * sum;
  }
  for (int64_t i = k; i < int8_padded(k); ++i) codes[i] = 0;
}

void pack(const float* w, int64_t row_stride, int64_t rows, int64_t k, uint8_t* codes, float* scales) {
  const int64_t padded = int8_padded(k);
  for (int64_t i = 0; i < padded * kInt8Panel; ++i) codes[i] = 128;
  for (int64_t i = 0; i < int8_blocks(k) * kInt8Panel; ++i) scales[i] = 0;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t b = 0; b < int8_blocks(k); ++b) {
      int8_t row[kInt8Block];
      int32_t sum;
      const int64_t first = b * kInt8Block, n = least(k - first, kInt8Block);
      scales[b * kInt8Panel + r] = quantize_block(w + r * row_stride + first, n, row, &sum);
      for (int64_t i = 0; i < n; ++i) {
        const int64_t column = first + i;
        codes[column / 4 * 64 + 4 * r + column % 4] = static_cast<uint8_t>(row[i] + 128);
      }
    }
}

// ---- multiplying: tiles of rows of x by panels, sums of a block in registers, those of all blocks in a buffer

#if defined(__AVX512VNNI__)

constexpr int kTileRows = 8, kTilePanels = 2;  // more rows need more address registers than there are

MYNAH_INLINE Ints start(int32_t offset) { return _mm512_set1_epi32(offset); }
template <int Rows, int Panels>
MYNAH_INLINE void add_groups(const uint8_t* const panel[], const int8_t* a, int64_t a_stride, int64_t groups, Ints sum[Rows][Panels]) {
#pragma GCC unroll 4
  for (int64_t g = 0; g < groups; ++g, a += 4) {
    Line w[Panels];
#pragma GCC unroll 2
    for (int p = 0; p < Panels; ++p) w[p] = load_line(panel[p] + 64 * g);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      int32_t four;
      __builtin_memcpy(&four, a + r * a_stride, 4);
      const __m512i act = _mm512_set1_epi32(four);
#pragma GCC unroll 2
      for (int p = 0; p < Panels; ++p) add_dot(sum[r][p], w[p], act);
    }
  }
}

#elif defined(__AVX2__)

constexpr int kTileRows = 2, kTilePanels = 1;

// Signed codes are taken, so there is nothing to make up for.
MYNAH_INLINE Ints start(int32_t) { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
MYNAH_INLINE __m256i add_four(__m256i sum, __m256i codes, __m256i act) {
  const __m256i w = _mm256_xor_si256(codes, _mm256_set1_epi8(-128));
  // Two products of at most 127 * 127 fit into 16 bits.
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(act, w));
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
template <int Rows, int Panels>
MYNAH_INLINE void add_groups(const uint8_t* const panel[], const int8_t* a, int64_t a_stride, int64_t groups, Ints sum[Rows][Panels]) {
  for (int64_t g = 0; g < groups; ++g, a += 4) {
    const Line w = load_line(panel[0] + 64 * g);
    for (int r = 0; r < Rows; ++r) {
      int32_t four;
      __builtin_memcpy(&four, a + r * a_stride, 4);
      const __m256i act = _mm256_set1_epi32(four);
      sum[r][0].low = add_four(sum[r][0].low, w.low, act);
      sum[r][0].high = add_four(sum[r][0].high, w.high, act);
    }
  }
}

#else

constexpr int kTileRows = 1, kTilePanels = 1;

MYNAH_INLINE Ints start(int32_t offset) {
  Ints sum;
  for (int32_t& s : sum.rows) s = offset;
  return sum;
}
template <int Rows, int Panels>
MYNAH_INLINE void add_groups(const uint8_t* const panel[], const int8_t* a, int64_t, int64_t groups, Ints sum[Rows][Panels]) {
  for (int64_t g = 0; g < groups; ++g, a += 4)
    for (int r = 0; r < 16; ++r)
      for (int i = 0; i < 4; ++i) sum[0][0].rows[r] += panel[0][64 * g + 4 * r + i] * a[i];
}

#endif

// The columns of y that belong to a panel, and their biases.
struct Columns {
  int64_t first, count;
  Floats bias;
  Columns(const Int8Product& job, int64_t panel)
      : first(panel * kInt8Panel), count(least(job.rows - first, kInt8Panel)), bias(job.bias ? load_columns(job.bias + first, count) : set_floats(0)) {}
  MYNAH_INLINE void write(const Int8Product& job, int64_t row, Floats total) const {
    store_columns(job.y + row * job.y_stride + first, job.bias ? add(total, bias) : total, count);
  }
};

// Rows of x that a pair of panels meets together, block of columns by block: the codes of a block, of the panels and of the rows, stay in the
// first-level cache until all rows have met them.
constexpr int64_t kGroupRows = 64;
// The sums of a row so far: those of the panels lie side by side.
using RowSums = float[kTilePanels * kInt8Panel];

// Adds a block of columns to the sums of a tile; with the last block they go to y.
template <int Rows, int Panels>
MYNAH_INLINE void multiply_tile(const Int8Product& job, int64_t first_panel, int64_t row, int64_t block, RowSums* total) {
  const int64_t padded = int8_padded(job.k), blocks = int8_blocks(job.k);
  const uint8_t* panel[Panels];
  Ints sum[Rows][Panels];
#pragma GCC unroll 2
  for (int p = 0; p < Panels; ++p) panel[p] = job.codes + (first_panel + p) * padded * kInt8Panel + block * kInt8Block * kInt8Panel;
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 2
    for (int p = 0; p < Panels; ++p) sum[r][p] = start(job.x.offsets[(row + r) * blocks + block]);
  const int8_t* const a = job.x.codes + row * padded + block * kInt8Block;
  const int64_t columns = padded - block * kInt8Block;
  if (columns >= kInt8Block) add_groups<Rows, Panels>(panel, a, padded, kInt8Block / 4, sum);  // a number that the compiler knows
  else add_groups<Rows, Panels>(panel, a, padded, columns / 4, sum);
#pragma GCC unroll 2
  for (int p = 0; p < Panels; ++p) {
    const Floats scale = load_floats(job.scales + ((first_panel + p) * blocks + block) * kInt8Panel);
    const auto sum_of = [&](int r) __attribute__((always_inline)) {
      const Floats before = load_floats(total[r] + p * kInt8Panel);
      return fused(to_floats(sum[r][p]), multiply(scale, set_floats(job.x.scales[(row + r) * blocks + block])), before);
    };
    if (block + 1 < blocks) {
#pragma GCC unroll 8
      for (int r = 0; r < Rows; ++r) store_floats(total[r] + p * kInt8Panel, sum_of(r));
    } else {
      const Columns of_panel(job, first_panel + p);
#pragma GCC unroll 8
      for (int r = 0; r < Rows; ++r) of_panel.write(job, row + r, sum_of(r));
    }
  }
}

template <int Panels, int Rows = kTileRows>
MYNAH_INLINE void multiply_rows(const Int8Product& job, int64_t panel, int64_t row, int64_t rows, int64_t block, RowSums* total) {
  if (rows == Rows) return multiply_tile<Rows, Panels>(job, panel, row, block, total);
  if constexpr (Rows > 1) multiply_rows<Panels, Rows - 1>(job, panel, row, rows, block, total);
}

// Fetches `lines` lines of codes of each panel, and the places of y of a tile.
template <int Panels>
MYNAH_INLINE void prefetch_codes(const uint8_t* codes, int64_t panel_bytes, int64_t lines) {
#pragma GCC unroll 2
  for (int p = 0; p < Panels; ++p)
    for (int64_t line = 0; line < lines; ++line) __builtin_prefetch(codes + p * panel_bytes + 64 * line);
}
template <int Panels>
MYNAH_INLINE void prefetch_sums(const Int8Product& job, int64_t panel, int64_t row, int64_t rows) {
  for (int64_t r = row; r < row + rows; ++r)
    for (int p = 0; p < Panels; ++p) __builtin_prefetch(job.y + r * job.y_stride + (panel + p) * kInt8Panel, 1);
}

// A pair of panels, or one, by rows begin .. end of x.
template <int Panels>
void multiply_group(const Int8Product& job, int64_t panel, int64_t begin, int64_t end) {
  alignas(64) RowSums total[kGroupRows];
  for (int64_t i = 0; i < end - begin; ++i)
    for (int p = 0; p < Panels; ++p) store_floats(total[i] + p * kInt8Panel, set_floats(0));
  const int64_t bytes = int8_padded(job.k) * kInt8Panel, blocks = int8_blocks(job.k);
  // Tiles of even height.
  const int64_t tiles = (end - begin + kTileRows - 1) / kTileRows, height = (end - begin + tiles - 1) / tiles;
  // Lines of a panel that a tile fetches for the tiles of the next block; few tiles are no slower than the memory, which then needs no hints.
  constexpr int64_t kLines = kInt8Block / 4, kLeastTiles = 4;
  const int64_t share = tiles < kLeastTiles ? 0 : (kLines + tiles - 1) / tiles;
  for (int64_t block = 0; block < blocks; ++block) {
    const bool last = block + 1 == blocks;
    const uint8_t* const next = last ? job.codes + (panel + Panels) * bytes : job.codes + panel * bytes + (block + 1) * kInt8Block * kInt8Panel;
    for (int64_t tile = 0, row = begin; row < end; ++tile, row += height) {
      const int64_t rows = least(height, end - row);
      prefetch_codes<Panels>(next + 64 * tile * share, bytes, share);
      if (block + 2 == blocks) prefetch_sums<Panels>(job, panel, row, rows);
      multiply_rows<Panels>(job, panel, row, rows, block, total + (row - begin));
    }
  }
}

void multiply_by_vectors(const Int8Product& job) {
  const int64_t panels = (job.rows + kInt8Panel - 1) / kInt8Panel;
  for (int64_t p = 0; p < panels;) {
    const bool both = p + kTilePanels <= panels;
    for (int64_t row = 0; row < job.m; row += kGroupRows) {
      const int64_t end = least(row + kGroupRows, job.m);
      if (both) multiply_group<kTilePanels>(job, p, row, end);
      else multiply_group<1>(job, p, row, end);
    }
    p += both ? kTilePanels : 1;
  }
}

#if defined(__AMX_INT8__)

#include "kernels/tiles.inc"
#include "kernels/int8_tiles.inc"

void multiply(const Int8Product& job) {
  if (job.m < kLeastForTiles) return multiply_by_vectors(job);
  const int64_t whole = job.m / kTileTokens * kTileTokens;
  if (whole > 0) multiply_by_tiles<true>(job, 0, whole);
  if (whole < job.m) multiply_by_tiles<false>(job, whole, job.m);
}

#else

void multiply(const Int8Product& job) { multiply_by_vectors(job); }

#endif

}  // namespace

extern const Int8Table int8_table = {quantize, pack, multiply};

}  // namespace mynah::kernels::MYNAH_ISA
