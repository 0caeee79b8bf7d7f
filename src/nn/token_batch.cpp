#include "nn/token_batch.h"

#include <algorithm>

#include "autograd/record.h"
#include "base/require.h"
#include "ops/attention.h"

namespace mynah::nn {

Tensor split_heads(const Tensor& x, int64_t n, int64_t heads, int64_t head_dim) {
  return record(x.as_strided({n, heads, head_dim}, {x.stride(0), head_dim, 1}), {x}, [n, heads, head_dim](const Tensor& g) {
    return Grads{g.as_strided({n, heads * head_dim}, {heads * head_dim, 1})};
  });
}

int64_t TokenBatch::longest() const {
  int64_t most = 0;
  for (size_t i = 0; i < lengths.size(); ++i) most = std::max(most, lengths[i] + (caches.empty() ? 0 : caches[i]->length()));
  return most;
}

void append_rows(LayerCache& cache, const Tensor& k, const Tensor& v, int64_t first, int64_t count) {
  cache.append(k.data<float>() + first * k.stride(0), k.stride(0), v.data<float>() + first * v.stride(0), v.stride(0), count);
}

Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v, const TokenBatch& batch, int layer, const AttentionConfig& config) {
  std::vector<Sequence> sequences;
  int64_t row = 0;
  if (batch.caches.empty()) {
    for (const int64_t length : batch.lengths) {
      sequences.push_back({row, length, row, length});
      row += length;
    }
    AttentionConfig masked = config;
    masked.key_mask = batch.key_mask;
    return scaled_dot_product_attention(q, k, v, sequences, masked);
  }
  std::vector<ops::KvBlocks> cached;
  for (size_t i = 0; i < batch.lengths.size(); ++i) {
    const int64_t length = batch.lengths[i];
    LayerCache& cache = batch.caches[i]->layer(layer);
    append_rows(cache, k, v, row, length);
    sequences.push_back({row, length, 0, cache.length()});
    cached.push_back(cache.blocks());
    row += length;
  }
  return ops::cached_attention(q, sequences, cached, k.size(1), config);
}

Tensor attend_memory(const Tensor& q, const TokenBatch& batch, int layer, int64_t kv_heads,
                     const std::function<std::pair<Tensor, Tensor>(const Tensor&)>& keys_values, const AttentionConfig& config) {
  AttentionConfig across = config;
  across.causal = false;
  std::vector<Sequence> sequences;
  int64_t row = 0, memory_row = 0;
  if (batch.memory_caches.empty()) {
    require(batch.memory_lengths.size() == batch.lengths.size(), "attention: {} sequences with the encoder rows of {}", batch.lengths.size(),
            batch.memory_lengths.size());
    for (size_t i = 0; i < batch.lengths.size(); ++i) {
      sequences.push_back({row, batch.lengths[i], memory_row, batch.memory_lengths[i]});
      row += batch.lengths[i];
      memory_row += batch.memory_lengths[i];
    }
    const auto [k, v] = keys_values(batch.memory);
    across.key_mask = batch.memory_mask;
    return scaled_dot_product_attention(q, k, v, sequences, across);
  }
  std::vector<ops::KvBlocks> cached;
  for (size_t i = 0; i < batch.lengths.size(); ++i) {
    cached.push_back(batch.memory_caches[i]->layer(layer).blocks());
    sequences.push_back({row, batch.lengths[i], 0, cached.back().length});
    row += batch.lengths[i];
  }
  return ops::cached_attention(q, sequences, cached, kv_heads, across);
}

}  // namespace mynah::nn
