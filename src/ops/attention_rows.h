// What the attention drivers share: scratch memory and the description of the rows of a tile.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "kernels/attention.h"
#include "kernels/rows.h"
#include "ops/attention_core.h"

namespace mynah::ops {

// Floats on cache lines of their own; grows and is kept by its thread.
class FloatBuffer {
 public:
  float* get(int64_t n) {
    if (n > size_) {
      data_.reset(static_cast<float*>(::operator new(static_cast<size_t>(n) * sizeof(float), std::align_val_t{64})));
      size_ = n;
    }
    return data_.get();
  }

 private:
  struct Free {
    void operator()(float* p) const { ::operator delete(p, std::align_val_t{64}); }
  };
  std::unique_ptr<float, Free> data_;
  int64_t size_ = 0;
};

// Rows of one kv head of a span: row = query * group + head of the group, so that a tile covers neighbouring positions.
struct RowGroup {
  const AttentionShape& shape;
  const AttentionSpan& span;
  const AttentionOptions& options;
  int64_t kv_head;

  int64_t group() const { return shape.heads / shape.kv_heads; }
  int64_t rows() const { return span.q_count * group(); }
  int64_t query(int64_t row) const { return row / group(); }
  int64_t head(int64_t row) const { return kv_head * group() + row % group(); }
  // Element offset of the row in q-like rows of the given stride.
  int64_t offset(int64_t row, int64_t stride) const {
    return (span.q_begin + query(row)) * stride + head(row) * shape.head_dim;
  }
  // The row among all rows of all heads.
  int64_t index(int64_t row) const { return (span.q_begin + query(row)) * shape.heads + head(row); }
  int64_t bias_index(int64_t row) const {
    return span.bias_offset + head(row) * options.bias_head_stride + query(row) * options.bias_query_stride;
  }
};

// The per-row arrays that an AttentionTile points to, for any number of rows.
struct RowArrays {
  std::vector<int64_t> first, last, position;
  std::vector<float> slope;
  std::vector<const float*> bias;
  std::vector<uint32_t> dropout_rows;

  void fill(const RowGroup& group, int64_t begin, int64_t count);
  // A tile for rows [begin, begin + count) of those filled; q, blocks and element are left to the caller.
  kernels::AttentionTile tile(const RowGroup& group, int64_t begin, int64_t count) const;
};

void check_attention(const AttentionShape& shape, std::span<const AttentionSpan> spans,
                     const AttentionOptions& options);

// Copies head vectors of `dim` elements times scale into to[i * width], padding with 0.
inline void copy_head(const float* from, float scale, int64_t dim, int64_t width, float* to) {
  if (scale == 1) std::memcpy(to, from, static_cast<size_t>(dim) * sizeof(float));
  else kernels::rows().scale(scale, from, to, dim);
  if (width > dim) std::memset(to + dim, 0, static_cast<size_t>(width - dim) * sizeof(float));
}

}  // namespace mynah::ops
