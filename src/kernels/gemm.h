// Dense matrix products, tile by tile on packed operands. Threads, blocking and buffers are the caller's
// (ops/gemm.cpp).
#pragma once
#include <cstdint>

namespace mynah::kernels {

enum class Element : uint8_t { f32, bf16, f16 };
// f32: operands widened to f32. bf16: operands rounded to bf16, products summed in f32.
enum class Arithmetic : uint8_t { f32, bf16 };

// Rows of A or columns of B ("lanes") by k: element (lane, k) at data[lane * lane_stride + k * k_stride], in elements.
struct GemmSource {
  const void* data;
  Element element;
  int64_t lanes;  // how many there are from `data` on; vector loads may read beyond those asked for, never beyond these
  int64_t lane_stride, k_stride;
};

// C[rows, columns] (+)= packed A * packed B, over `units` units of k. A unit is a 32-bit word of a packed operand: one
// f32, or two neighbouring bf16 where the instruction set multiplies pairs.
struct GemmBlock {
  int64_t units;
  const float* a;  // panels of tile_rows rows; panel p starts at a + p * a_panel
  int64_t a_panel;
  int64_t rows, tile_rows;  // tile_rows <= GemmTable::tile_rows
  const float* b;           // panels of GemmTable::lanes columns; panel p starts at b + p * b_panel
  int64_t b_panel;
  int64_t columns;
  float* c;
  int64_t ldc;
  bool add_to_c;      // continue the chains that C holds; otherwise they start at 0
  const float* bias;  // [columns] added after the last unit, or null
};

struct GemmTable {
  int lanes;       // lanes of a packed panel: one vector register of f32
  int tile_rows;   // rows of the tallest tile; not above lanes
  int bf16_group;  // k's per unit in bf16 arithmetic: 2 with a pairwise dot product, else 1 (f32 arithmetic: always 1)
  int bf16_tile;   // bf16 arithmetic by tiles of so many rows and units, 16; 0: by vectors, as f32

  // Writes `count` lanes x k elements as panels of panel_lanes <= lanes: word (lane l, unit u) of panel p at
  // out[p * panel_stride + u * lanes + l]. Lanes beyond panel_lanes hold anything; the missing half of a last pair is
  // 0.
  void (*pack)(Arithmetic arithmetic, const GemmSource& source, int64_t count, int64_t panel_lanes, int64_t k,
               float* out, int64_t panel_stride);
  void (*multiply)(Arithmetic arithmetic, const GemmBlock& block);
  // With bf16_tile, panels of B end with zeros up to whole tiles of units, GemmBlock::units and tile_rows are multiples of bf16_tile, and this
  // packs A: `count` lanes in panels of bf16_tile, word (lane l, unit u) of a panel at (u / 16 * 16 + l) * 16 + u % 16.
  void (*pack_tiles)(const GemmSource& source, int64_t count, int64_t k, float* out, int64_t panel_stride);
};

const GemmTable& gemm();

}  // namespace mynah::kernels
