// The backward pass: every (span, kv head) is one task, which walks its key blocks in order and recomputes the
// probabilities.
#include <cstring>
#include <utility>

#include "base/require.h"
#include "base/thread_pool.h"
#include "kernels/rows.h"
#include "ops/attention_rows.h"

namespace mynah::ops {
namespace {

using kernels::kAttentionRows;
using kernels::kKeyBlock;
using kernels::KvElement;

struct BackwardScratch {
  RowArrays rows;
  FloatBuffer memory;
  std::vector<float*> dbias;
};
thread_local BackwardScratch backward_scratch;

struct Backward {
  const AttentionShape& shape;
  HeadRows q, k, v, out;
  const float* lse;
  HeadRows dout;
  const AttentionOptions& options;
  const AttentionGradients& gradients;

  void run(const AttentionSpan& span, int64_t kv_head) const;
  // Rows of the group, gathered: scaled queries, dout and what the kernel needs of them.
  struct Gathered {
    float *q, *dout, *dq, *lse, *delta;
  };
  void gather(const RowGroup& group, const Gathered& to) const;
  void scatter_dq(const RowGroup& group, const float* dq) const;
  void scatter_keys(const RowGroup& group, int64_t block, const float* dk, const float* dv) const;
};

void Backward::gather(const RowGroup& group, const Gathered& to) const {
  const int64_t dim = shape.head_dim, width = kernels::padded_value_dim(dim);
  for (int64_t r = 0; r < group.rows(); ++r) {
    const float* g = dout.data + group.offset(r, dout.stride);
    copy_head(q.data + group.offset(r, q.stride), options.scale, dim, width, to.q + r * width);
    copy_head(g, 1.0f, dim, width, to.dout + r * width);
    to.lse[r] = lse[group.index(r)];
    to.delta[r] = static_cast<float>(kernels::rows().dot(g, out.data + group.offset(r, out.stride), dim));
  }
  std::memset(to.dq, 0, static_cast<size_t>(group.rows() * width) * sizeof(float));
}

void Backward::scatter_dq(const RowGroup& group, const float* dq) const {
  const int64_t width = kernels::padded_value_dim(shape.head_dim);
  for (int64_t r = 0; r < group.rows(); ++r)
    copy_head(dq + r * width, options.scale, shape.head_dim, shape.head_dim,
              gradients.dq.data + group.offset(r, gradients.dq.stride));
}

void Backward::scatter_keys(const RowGroup& group, int64_t block, const float* dk, const float* dv) const {
  const int64_t dim = shape.head_dim, width = kernels::padded_value_dim(dim);
  const int64_t keys = std::min(kKeyBlock, group.span.k_count - block * kKeyBlock);
  for (int64_t j = 0; j < keys; ++j) {
    const int64_t row = group.span.k_begin + block * kKeyBlock + j;
    copy_head(dk + j * width, 1.0f, dim, dim, gradients.dk.data + row * gradients.dk.stride + group.kv_head * dim);
    copy_head(dv + j * width, 1.0f, dim, dim, gradients.dv.data + row * gradients.dv.stride + group.kv_head * dim);
  }
}

void Backward::run(const AttentionSpan& span, int64_t kv_head) const {
  BackwardScratch& scratch = backward_scratch;
  const RowGroup group{shape, span, options, kv_head};
  const int64_t dim = shape.head_dim, width = kernels::padded_value_dim(dim), rows = group.rows();
  const int64_t key_floats = kernels::key_block_elements(dim), value_floats = kernels::value_block_elements(dim);
  float* p = scratch.memory.get(3 * rows * width + 2 * key_floats + 3 * value_floats + 2 * rows);
  const auto take = [&p](int64_t n) { return std::exchange(p, p + n); };
  const Gathered gathered{take(rows * width), take(rows * width), take(rows * width), nullptr, nullptr};
  float *keys = take(key_floats), *values = take(key_floats), *key_rows = take(value_floats);
  float *dk = take(value_floats), *dv = take(value_floats), *row_lse = take(rows), *row_delta = take(rows);
  gather(group, {gathered.q, gathered.dout, gathered.dq, row_lse, row_delta});
  scratch.rows.fill(group, 0, rows);
  scratch.dbias.clear();
  if (gradients.dbias)
    for (int64_t r = 0; r < rows; ++r) scratch.dbias.push_back(gradients.dbias + group.bias_index(r));

  const kernels::AttentionTable& kernel = kernels::attention();
  for (int64_t block = 0; block * kKeyBlock < span.k_count; ++block) {
    const int64_t row = span.k_begin + block * kKeyBlock, count = std::min(kKeyBlock, span.k_count - block * kKeyBlock);
    std::memset(keys, 0, static_cast<size_t>(2 * key_floats + 3 * value_floats) * sizeof(float));
    kernel.pack_keys(KvElement::f32, k.data + row * k.stride + kv_head * dim, k.stride, count, dim, 0, keys);
    kernel.pack_keys(KvElement::f32, v.data + row * v.stride + kv_head * dim, v.stride, count, dim, 0, values);
    kernel.pack_values(KvElement::f32, k.data + row * k.stride + kv_head * dim, k.stride, count, dim, 0, key_rows);
    for (int64_t r = 0; r < rows; r += kAttentionRows) {
      const int64_t at = r * width;
      kernel.backward({scratch.rows.tile(group, r, std::min(kAttentionRows, rows - r)), block, keys, values, key_rows,
                       gathered.q + at, gathered.dout + at, row_lse + r, row_delta + r, gathered.dq + at, dk, dv,
                       gradients.dbias ? scratch.dbias.data() + r : nullptr});
    }
    scatter_keys(group, block, dk, dv);
  }
  scatter_dq(group, gathered.dq);
}

}  // namespace

void attention_backward(const AttentionShape& shape, HeadRows q, HeadRows k, HeadRows v, HeadRows out, const float* lse,
                        HeadRows dout, std::span<const AttentionSpan> spans, const AttentionOptions& options,
                        const AttentionGradients& gradients) {
  check_attention(shape, spans, options);
  for (const AttentionSpan& span : spans) require(!span.cache, "attention_backward: a span has a cache, expected rows");
  const Backward backward{shape, q, k, v, out, lse, dout, options, gradients};
  const int64_t count = static_cast<int64_t>(spans.size());
  if (!gradients.dbias) {
    thread_pool().run(count * shape.kv_heads, [&](int64_t i) {
      backward.run(spans[static_cast<size_t>(i / shape.kv_heads)], i % shape.kv_heads);
    });
    return;
  }
  // Spans and heads may share elements of dbias: spans take turns, and heads too if one bias serves all.
  for (const AttentionSpan& span : spans)
    parallel_for(shape.kv_heads, options.bias_head_stride == 0 ? shape.kv_heads : 1, [&](int64_t begin, int64_t end) {
      for (int64_t head = begin; head < end; ++head) backward.run(span, head);
    });
}

}  // namespace mynah::ops
