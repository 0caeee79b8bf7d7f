#include "ops/attention_rows.h"

#include "base/require.h"

namespace mynah::ops {
namespace {
bool drops(const AttentionOptions& options) { return options.dropout.threshold > 0; }
}  // namespace

void RowArrays::fill(const RowGroup& group, int64_t begin, int64_t count) {
  const AttentionSpan& span = group.span;
  const AttentionOptions& options = group.options;
  const size_t size = static_cast<size_t>(count);
  first.resize(size), last.resize(size), position.resize(size);
  if (options.alibi_slopes) slope.resize(size);
  if (options.bias) bias.resize(size);
  if (drops(options)) dropout_rows.resize(size);
  for (size_t i = 0; i < size; ++i) {
    const int64_t row = begin + static_cast<int64_t>(i), at = span.k_count - span.q_count + group.query(row);
    int64_t from = 0, to = span.k_count;
    if (options.causal) to = at + 1;
    if (options.window > 0) {
      from = at - options.window + 1;
      to = std::min(to, at + options.window);
    }
    position[i] = at;
    first[i] = std::clamp<int64_t>(from, 0, span.k_count);
    last[i] = std::clamp<int64_t>(to, first[i], span.k_count);
    if (options.alibi_slopes) slope[i] = options.alibi_slopes[group.head(row)];
    if (options.bias) bias[i] = options.bias + group.bias_index(row);
    if (drops(options)) dropout_rows[i] = static_cast<uint32_t>(group.index(row));
  }
}

kernels::AttentionTile RowArrays::tile(const RowGroup& group, int64_t begin, int64_t count) const {
  kernels::AttentionTile tile;
  tile.rows = count;
  tile.dim = group.shape.head_dim;
  tile.first = first.data() + begin;
  tile.last = last.data() + begin;
  tile.position = position.data() + begin;
  if (group.options.alibi_slopes) tile.slope = slope.data() + begin;
  if (group.options.bias) tile.bias = bias.data() + begin;
  if (drops(group.options)) {
    tile.dropout = &group.options.dropout;
    tile.dropout_rows = dropout_rows.data() + begin;
  }
  tile.key_mask = group.span.key_mask;
  tile.softcap = group.options.softcap;
  return tile;
}

void check_attention(const AttentionShape& shape, std::span<const AttentionSpan> spans,
                     const AttentionOptions& options) {
  require(shape.heads > 0 && shape.kv_heads > 0 && shape.heads % shape.kv_heads == 0 && shape.head_dim > 0,
          "attention: got {} heads, {} kv heads of size {}, expected heads to be a multiple of kv heads", shape.heads,
          shape.kv_heads, shape.head_dim);
  require(options.precision == DType::f32 || options.precision == DType::bf16,
          "attention: precision is {}, expected f32 or bf16", name(options.precision));
  for (const AttentionSpan& span : spans) {
    require(span.q_begin >= 0 && span.q_count >= 0 && span.k_begin >= 0 && span.k_count >= 0,
            "attention: a span has queries {}+{} and keys {}+{}, expected none negative", span.q_begin, span.q_count,
            span.k_begin, span.k_count);
    require(!span.cache || span.k_count <= span.cache->length, "attention: a span reads {} keys, its cache has {}",
            span.k_count, span.cache ? span.cache->length : 0);
  }
}

}  // namespace mynah::ops
