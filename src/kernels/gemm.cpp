#include "kernels/gemm.h"

#include <cstddef>

#include "kernels/half_bits.h"
#include "kernels/intrinsics.h"

namespace mynah::kernels::MYNAH_ISA {
namespace {

#include "kernels/gemm_lanes.inc"
#include "kernels/gemm_sources.inc"

// ---- packing

// One panel of k elements for each of `lanes` lanes, of which `existing` >= lanes may be read; strides in bytes.
template <class Words>
void pack_panel(const char* p, int64_t lanes, int64_t existing, int64_t k, int64_t lane_stride, int64_t k_stride,
                float* out) {
  if (lane_stride == Words::kBytes || k_stride != Words::kBytes) {
    const int64_t read = existing < kLanes ? lanes : kLanes;
    for (int64_t i = 0; i < k; i += Words::kGroup, p += Words::kGroup * k_stride, out += kLanes)
      store(out, across<Words>(p, i + 1 < k ? p + k_stride : nullptr, read, lane_stride));
    return;
  }
  const char* rows[kLanes];  // the last lane stands in for those that do not exist
  for (int l = 0; l < kLanes; ++l) rows[l] = p + (l < lanes ? l : lanes - 1) * lane_stride;
  constexpr int64_t kStep = kLanes * Words::kGroup;
  for (int64_t i = 0; i < k; i += kStep, out += kLanes * kLanes) {
    Vector r[kLanes];
    if (k - i >= kStep) {
#pragma GCC unroll 16
      for (int l = 0; l < kLanes; ++l) r[l] = Words::along_k(rows[l] + i * Words::kBytes);
      transpose(r);
#pragma GCC unroll 16
      for (int l = 0; l < kLanes; ++l) store(out + l * kLanes, r[l]);
    } else {
      const int64_t units = (k - i + Words::kGroup - 1) / Words::kGroup;
      for (int l = 0; l < kLanes; ++l) r[l] = along_k<Words>(rows[l] + i * Words::kBytes, k - i, Words::kBytes);
      transpose(r);
      for (int l = 0; l < units; ++l) store(out + l * kLanes, r[l]);
    }
  }
}

#if defined(__AMX_BF16__)
#include "kernels/tiles.inc"

#include "kernels/gemm_tiles.inc"
#else
constexpr int64_t kTile = 0;
constexpr void (*pack_tiles)(const GemmSource&, int64_t, int64_t, float*, int64_t) = nullptr;
#endif

void pack(Arithmetic arithmetic, const GemmSource& source, int64_t count, int64_t panel_lanes, int64_t k, float* out,
          int64_t panel_stride) {
#if defined(__AMX_BF16__)
  if (arithmetic == Arithmetic::bf16) pad_panels(count, panel_lanes, k, out, panel_stride);
#endif
  with_words(arithmetic, source.element, [&](auto words) {
    using Words = decltype(words);
    const int64_t lane_stride = source.lane_stride * Words::kBytes, k_stride = source.k_stride * Words::kBytes;
    const char* p = static_cast<const char*>(source.data);
    int64_t first = 0;
    // Neighbouring lanes lie side by side: several panels are read at once, for a row of k is a page of its own.
    if (lane_stride == Words::kBytes && panel_lanes == kLanes)
      for (constexpr int64_t kSide = 4; first + kSide * kLanes <= count; first += kSide * kLanes, out += kSide * panel_stride) {
        const char* from = p + first * Words::kBytes;
        float* to = out;
        for (int64_t i = 0; i < k; i += Words::kGroup, from += Words::kGroup * k_stride, to += kLanes)
#pragma GCC unroll 4
          for (int64_t side = 0; side < kSide; ++side) {
            const char* const at = from + side * kLanes * Words::kBytes;
            store(to + side * panel_stride, across<Words>(at, i + 1 < k ? at + k_stride : nullptr, kLanes, lane_stride));
          }
      }
    for (; first < count; first += panel_lanes, out += panel_stride) {
      const int64_t lanes = count - first < panel_lanes ? count - first : panel_lanes;
      pack_panel<Words>(p + first * lane_stride, lanes, source.lanes - first, k, lane_stride, k_stride, out);
    }
  });
}

// ---- multiplying

// Rows x Columns vectors of C must stay in registers beside the operands: 28 of 32, or 12 (8) of 16.
#if defined(__AVX512F__)
constexpr int kTileRows = 14;
#elif defined(__AVX2__)
constexpr int kTileRows = 6;
#else
constexpr int kTileRows = 4;
#endif
constexpr int kTileVectors = 2;

struct Tile {
  int64_t units;
  const float* a;
  const float* b;
  int64_t b_panel;
  float* c;
  int64_t ldc;
  bool add_to_c;
  const float* bias;
};

template <class Words, int Rows, int Vectors>
void multiply_tile(const Tile& t) {
  Vector sum[Rows][Vectors];
  float* const c = t.c;
  const float *a = t.a, *b = t.b, *const bias = t.bias;
  const int64_t ldc = t.ldc, b_panel = t.b_panel;
#pragma GCC unroll 14
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) __builtin_prefetch(c + r * ldc + v * kLanes, 1);
  if (t.add_to_c) {
#pragma GCC unroll 14
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) sum[r][v] = load(c + r * ldc + v * kLanes);
  } else {
#pragma GCC unroll 14
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) sum[r][v] = zero();
  }
  for (int64_t u = t.units; u > 0; --u, a += kLanes, b += kLanes) {
    Vector column[Vectors];
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) column[v] = load(b + v * b_panel);
#pragma GCC unroll 14
    for (int r = 0; r < Rows; ++r) {
      const Vector row = broadcast(a + r);
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) sum[r][v] = Words::step(row, column[v], sum[r][v]);
    }
  }
  if (bias) {
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) {
      const Vector added = load(bias + v * kLanes);
#pragma GCC unroll 14
      for (int r = 0; r < Rows; ++r) sum[r][v] = sum[r][v] + added;
    }
  }
#pragma GCC unroll 14
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) store(c + r * ldc + v * kLanes, sum[r][v]);
}

template <class Words, int Vectors, int Rows = kTileRows>
MYNAH_INLINE void multiply_rows(int64_t rows, const Tile& t) {
  if (rows == Rows) return multiply_tile<Words, Rows, Vectors>(t);
  if constexpr (Rows > 1) multiply_rows<Words, Vectors, Rows - 1>(rows, t);
}

// A tile at the right edge works on a copy of its part of C and of the bias.
template <class Words, int Vectors>
void multiply_edge(int64_t rows, int64_t columns, Tile t) {
  constexpr int kWidth = kLanes * kTileVectors;
  alignas(64) float copy[kTileRows * kWidth], bias[kWidth] = {};
  float* const c = t.c;
  const int64_t ldc = t.ldc;
  if (t.add_to_c)
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t j = 0; j < columns; ++j) copy[r * kWidth + j] = c[r * ldc + j];
  if (t.bias) {
    for (int64_t j = 0; j < columns; ++j) bias[j] = t.bias[j];
    t.bias = bias;
  }
  t.c = copy;
  t.ldc = kWidth;
  multiply_rows<Words, Vectors>(rows, t);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j = 0; j < columns; ++j) c[r * ldc + j] = copy[r * kWidth + j];
}

template <class Words>
void multiply_block(const GemmBlock& block) {
  constexpr int64_t kWidth = kLanes * kTileVectors;
  for (int64_t j = 0; j < block.columns; j += kWidth) {
    const int64_t columns = block.columns - j < kWidth ? block.columns - j : kWidth;
    const float* a = block.a;
    for (int64_t i = 0; i < block.rows; i += block.tile_rows, a += block.a_panel) {
      const int64_t rows = block.rows - i < block.tile_rows ? block.rows - i : block.tile_rows;
      const Tile t{block.units,
                   a,
                   block.b + j / kLanes * block.b_panel,
                   block.b_panel,
                   block.c + i * block.ldc + j,
                   block.ldc,
                   block.add_to_c,
                   block.bias ? block.bias + j : nullptr};
      if (columns == kWidth)
        multiply_rows<Words, kTileVectors>(rows, t);
      else if (columns > kLanes)
        multiply_edge<Words, kTileVectors>(rows, columns, t);
      else if (columns == kLanes)
        multiply_rows<Words, 1>(rows, t);
      else
        multiply_edge<Words, 1>(rows, columns, t);
    }
  }
}

void multiply(Arithmetic arithmetic, const GemmBlock& block) {
  if (arithmetic == Arithmetic::f32 || Bf16Pairs::kGroup == 1) return multiply_block<F32Words>(block);
#if defined(__AMX_BF16__)
  multiply_by_tiles(block);
#else
  multiply_block<Bf16Pairs>(block);
#endif
}

}  // namespace

extern const GemmTable gemm_table = {kLanes, kTileRows, Bf16Pairs::kGroup, kTile, pack, multiply, pack_tiles};

}  // namespace mynah::kernels::MYNAH_ISA
