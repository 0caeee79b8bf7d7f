// Attention kernels: softmax(q k^T) v over keys in blocks of 64, with online softmax (arXiv:2205.14135). One definition
// for prefill and decode: with finite keys and values a row's result is a function of its own query and the visible keys at
// their absolute positions, never of the rows that are computed with it. Scores are one chain of fused multiply-adds over
// the head dimension, p v one chain over the keys of a chunk, blocks merge in order, and chunks of 8 blocks merge in order.
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/dropout.h"

namespace mynah::kernels {

constexpr int64_t kKeyBlock = 64;       // keys in a block
constexpr int64_t kChunkBlocks = 8;     // blocks in a chunk; chunks may be computed apart and merged
constexpr int64_t kAttentionRows = 48;  // most rows of a tile
constexpr int64_t kSumLanes = 16;       // a row's softmax denominator is kept as 16 partial sums

enum class KvElement : uint8_t { f32, f16, bf16 };

// One head's part of a key block holds keys transposed, [padded_dim][64]; a value block is [64][padded_value_dim]. bf16
// blocks hold pairs that lie next to each other in the summed direction: [dim / 2][64][2] and
// [32][padded_value_dim][2].
static constexpr int64_t padded_key_dim(int64_t dim) { return (dim + 1) / 2 * 2; }
static constexpr int64_t padded_value_dim(int64_t dim) { return (dim + 15) / 16 * 16; }
static constexpr int64_t key_block_elements(int64_t dim) { return padded_key_dim(dim) * kKeyBlock; }
static constexpr int64_t value_block_elements(int64_t dim) { return padded_value_dim(dim) * kKeyBlock; }

// Rows of queries (several positions and the heads of one group) that read the same keys of one kv head.
struct AttentionTile {
  int64_t rows = 0, dim = 0;
  const float* q = nullptr;          // [rows][padded_key_dim] scaled, padding 0
  const uint16_t* q_bf16 = nullptr;  // the same rounded to bf16: asks for bf16 products where the processor has them
  const int64_t* first = nullptr;    // [rows] a row sees the keys first <= j < last
  const int64_t* last = nullptr;
  const int64_t* position = nullptr;   // [rows] absolute position of the query; read with slope only
  const float* slope = nullptr;        // [rows] or null: adds slope * (j - position) to the score (arXiv:2108.12409)
  const float* const* bias = nullptr;  // [rows] or null: adds bias[row][j]
  const uint8_t* key_mask = nullptr;   // or null: key j is visible if key_mask[j] != 0
  float softcap = 0;                   // > 0: the scaled score s becomes softcap * tanh(s / softcap) before any bias
  // Or null: weights that are dropped count in the softmax and are then 0, the others grow. The bits of key j are word j / 16 % 4 of the
  // position dropout_rows[row] * 2^32 + j / 64 * 16 + j % 16, so that sixteen positions serve a block.
  const DropoutMask* dropout = nullptr;
  const uint32_t* dropout_rows = nullptr;  // [rows]
  KvElement element = KvElement::f32;
  const void* const* k = nullptr;  // block pointers; this head starts k_offset bytes into a block
  const void* const* v = nullptr;
  int64_t k_offset = 0, v_offset = 0;
};

// Unnormalised result of a tile over some chunks.
struct AttentionState {
  float* top;    // [rows] largest score
  float* total;  // [rows][16] parts of the sum of e^(score - top)
  float* out;    // [rows][padded_value_dim] sum of e^(score - top) v
};

// One key block against one tile in the backward pass.
struct AttentionBackwardTile {
  AttentionTile tile;     // tile.q; k, v and the offsets are not read, element is f32
  int64_t block = 0;      // the block's absolute index: its first key is 64 * block
  const float* keys;      // key block [padded_key_dim][64] of k
  const float* values;    // key block [padded_key_dim][64] of v
  const float* key_rows;  // value block [64][padded_value_dim] of k
  const float* q_rows;    // [rows][padded_value_dim] scaled, padding 0
  const float* dout;      // [rows][padded_value_dim], padding 0
  const float* lse;       // [rows]
  const float* delta;     // [rows] sum of dout * out
  float* dq;              // [rows][padded_value_dim] added to: the gradient of the scaled query
  float* dk;              // [64][padded_value_dim] added to
  float* dv;              // [64][padded_value_dim] added to
  float* const* dbias;    // [rows] or null: dbias[row][j] is added to
};

struct AttentionTable {
  // Writes `count` rows of f32 as keys (values) slot, slot+1, ... of one head's part of a block; slot + count <= 64.
  void (*pack_keys)(KvElement element, const float* rows, int64_t row_stride, int64_t count, int64_t dim, int64_t slot,
                    void* block);
  void (*pack_values)(KvElement element, const float* rows, int64_t row_stride, int64_t count, int64_t dim,
                      int64_t slot, void* block);
  // Rows first, first + 1, ... of one kv head's queries times scale, as AttentionTile::q holds them: row r has the head r % group of the
  // position r / group, whose rows are row_stride apart.
  void (*pack_queries)(const float* rows, int64_t row_stride, int64_t group, int64_t first, int64_t count, int64_t dim,
                       float scale, float* to);
  // Blocks [begin, end) of one chunk; state is written.
  void (*attend)(const AttentionTile& tile, int64_t begin, int64_t end, const AttentionState& state);
  // Adds the next chunk's part to total.
  void (*merge)(const AttentionState& total, const AttentionState& part, int64_t rows, int64_t dim);
  // out[r][0..dim) = state.out / sum(state.total), 0 for a row that saw no key; lse[r] = log of the sum with the shift
  // undone (lse may be null). Magnitudes below 2^-100 become 0, so that the sign of zero and subnormals cannot differ.
  void (*finish)(const AttentionState& state, int64_t rows, int64_t dim, float* const* out, float* lse);
  void (*backward)(const AttentionBackwardTile& tile);
};

const AttentionTable& attention();

}  // namespace mynah::kernels
