#include "nn/token_batch.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "autograd/record.h"
#include "base/require.h"
#include "nn/dropout.h"
#include "ops/attention.h"

namespace mynah::nn {

Tensor split_heads(const Tensor& x, int64_t n, int64_t heads, int64_t head_dim) {
  const auto split = [n, heads, head_dim](const Tensor& t) { return t.as_strided({n, heads, head_dim}, {t.stride(0), head_dim, 1}); };
  return record_view(
      split(x), x, [n, heads, head_dim](const Tensor& g) { return Grads{g.as_strided({n, heads * head_dim}, {heads * head_dim, 1})}; }, split);
}

std::vector<int64_t> first_rows(const TokenBatch& batch, int64_t count) {
  std::vector<int64_t> rows;
  int64_t first = 0;
  for (const int64_t length : batch.lengths) {
    for (int64_t i = 0; i < std::min(count, length); ++i) rows.push_back(first + i);
    first += length;
  }
  return rows;
}

void TokenBatch::read_only(const std::vector<int64_t>& rows) {
  read.reset();
  if (rows.size() < ids.size()) read = rows.empty() ? std::vector<int64_t>{0} : rows;
}

Tensor read_rows(const Tensor& x, const TokenBatch& batch, bool is_last) { return is_last && batch.read ? index_rows(x, *batch.read) : x; }

Tensor wanted_rows(const Tensor& result, const std::vector<int64_t>& wanted) {
  return static_cast<int64_t>(wanted.size()) == result.size(0) ? result : index_rows(result, wanted);
}

int64_t TokenBatch::longest() const {
  int64_t most = 0;
  for (size_t i = 0; i < lengths.size(); ++i) most = std::max(most, lengths[i] + (caches.empty() ? 0 : caches[i]->length()));
  return most;
}

Tensor TokenBatch::with_media(const Tensor& embeddings) const {
  if (!media.defined()) return embeddings;
  require(media.size(1) == embeddings.size(1) && media.size(0) == static_cast<int64_t>(media_rows.size()),
          "embeddings: media of shape {} for {} places of width {}", media.shape().str(), media_rows.size(), embeddings.size(1));
  std::vector<int64_t> rows(static_cast<size_t>(embeddings.size(0)));
  std::iota(rows.begin(), rows.end(), 0);
  for (size_t i = 0; i < media_rows.size(); ++i) rows[static_cast<size_t>(media_rows[i])] = embeddings.size(0) + static_cast<int64_t>(i);
  return index_rows(cat({embeddings, media}, 0), rows);
}

// Rows whose heads lie one after the other, as caches take them: slices of joined rows do, interleaved heads are copied.
static Tensor dense_heads(const Tensor& x) {
  const bool dense = x.dtype() == DType::f32 && x.stride(2) == 1 && (x.size(1) == 1 || x.stride(1) == x.size(2));
  return dense ? x : contiguous(x);
}

void append_rows(LayerCache& cache, const Tensor& k_in, const Tensor& v_in, int64_t first, int64_t count) {
  const Tensor k = dense_heads(k_in), v = dense_heads(v_in);
  cache.append(k.data<float>() + first * k.stride(0), k.stride(0), v.data<float>() + first * v.stride(0), v.stride(0), count);
}

namespace {

constexpr float kHidden = -1e30f;

// For queries of both directions that see no key, such as padding far from the text in a layer with a window: the reference adds
// one great negative number to all of their scores, so that they look at every key alike. The same here as a bias [S,H,T,T] in
// place of the mask and the window, config.bias included; undefined if every query sees a key.
Tensor blind_bias(const Tensor& q, const Tensor& k, const TokenBatch& batch, const AttentionConfig& config) {
  if (config.causal || batch.key_mask.empty() || config.distance_bias.defined() || q.size(1) != k.size(1)) return {};
  const auto sees = [&](int64_t first, int64_t i, int64_t j) {
    return batch.key_mask[static_cast<size_t>(first + j)] != 0 && (config.window <= 0 || std::abs(i - j) < config.window);
  };
  const auto blind = [&](int64_t first, int64_t length, int64_t i) {
    for (int64_t j = 0; j < length; ++j)
      if (sees(first, i, j)) return false;
    return true;
  };
  bool any = false;
  int64_t first = 0;
  for (const int64_t length : batch.lengths) {
    for (int64_t i = 0; i < length && !any; ++i) any = blind(first, length, i);
    first += length;
  }
  if (!any) return {};
  const int64_t t = batch.longest(), count = static_cast<int64_t>(batch.lengths.size());
  Tensor hidden = Tensor::zeros({count, 1, t, t}), alone = Tensor::zeros({count, 1, t, 1});
  first = 0;
  for (int64_t s = 0; s < count; ++s) {
    const int64_t length = batch.lengths[static_cast<size_t>(s)];
    for (int64_t i = 0; i < length; ++i) {
      if (blind(first, length, i)) {
        alone.data<float>()[s * t + i] = 1;
        continue;
      }
      for (int64_t j = 0; j < length; ++j)
        if (!sees(first, i, j)) hidden.data<float>()[(s * t + i) * t + j] = kHidden;
    }
    first += length;
  }
  const auto rows = [&](const Tensor& x) { return reshape(padded_rows(x.detach(), batch), {count * t, x.size(1), x.size(2)}); };
  const float scale = config.scale != 0 ? config.scale : 1 / std::sqrt(static_cast<float>(q.size(2)));
  Tensor scores = pair_scores(rows(q), rows(k), count, scale);
  if (config.bias.defined()) scores = scores + config.bias.detach();
  const Tensor bias = hidden - scores * alone;
  return config.bias.defined() ? config.bias + bias : bias;
}

}  // namespace

Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v, const TokenBatch& batch, int layer, const AttentionConfig& config, float dropout) {
  std::vector<Sequence> sequences;
  int64_t row = 0;
  if (batch.caches.empty()) {
    for (const int64_t length : batch.lengths) {
      sequences.push_back({row, length, row, length});
      row += length;
    }
    AttentionConfig masked = config;
    if (const Tensor bias = blind_bias(q, k, batch, config); bias.defined()) {
      masked.bias = bias;
      masked.window = 0;
    } else {
      masked.key_mask = batch.key_mask;
    }
    masked.precision = batch.precision;
    return attention_with_dropout(q, k, v, sequences, masked, dropout);
  }
  std::vector<LayerCache*> caches;
  for (Cache* const cache : batch.caches) caches.push_back(&cache->layer(layer));
  const Tensor keys = dense_heads(k), values = dense_heads(v);
  LayerCache::append(caches, keys.data<float>(), keys.stride(0), values.data<float>(), values.stride(0), batch.lengths);
  std::vector<ops::KvBlocks> cached;
  for (size_t i = 0; i < batch.lengths.size(); ++i) {
    const int64_t length = batch.lengths[i];
    sequences.push_back({row, length, 0, caches[i]->length()});
    cached.push_back(caches[i]->blocks());
    row += length;
  }
  return ops::cached_attention(q, sequences, cached, k.size(1), config);
}

Tensor attend_memory(const Tensor& q, const TokenBatch& batch, int layer, int64_t kv_heads,
                     const std::function<std::pair<Tensor, Tensor>(const Tensor&)>& keys_values, const AttentionConfig& config, float dropout) {
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
    across.precision = batch.precision;
    return attention_with_dropout(q, k, v, sequences, across, dropout);
  }
  std::vector<ops::KvBlocks> cached;
  for (size_t i = 0; i < batch.lengths.size(); ++i) {
    // Neighbours that share a memory, such as the beams of a prompt, read it once: they are queries of one sequence.
    const bool shared = i > 0 && batch.memory_caches[i] == batch.memory_caches[i - 1] && !config.bias.defined() && !config.distance_bias.defined() && config.alibi.empty() && config.window <= 0;
    if (shared) {
      sequences.back().q_count += batch.lengths[i];
    } else {
      cached.push_back(batch.memory_caches[i]->layer(layer).blocks());
      sequences.push_back({row, batch.lengths[i], 0, cached.back().length});
    }
    row += batch.lengths[i];
  }
  return ops::cached_attention(q, sequences, cached, kv_heads, across);
}

Tensor pair_scores(const Tensor& q, const Tensor& k, int64_t count, float scale) {
  const NoGrad constants;
  const int64_t heads = q.size(1), d = q.size(2);
  const auto by_head = [&](const Tensor& x) { return transpose(reshape(x.detach(), {count, x.size(0) / count, heads, d}), 1, 2); };
  return matmul(by_head(q), transpose(by_head(k), 2, 3)) * scale;
}

Tensor padded_rows(const Tensor& x, const TokenBatch& batch) {
  const int64_t longest = batch.longest(), sequences = static_cast<int64_t>(batch.lengths.size());
  std::vector<int64_t> rows;
  int64_t first = 0;
  for (const int64_t length : batch.lengths) {
    for (int64_t t = 0; t < longest; ++t) rows.push_back(first + std::min(t, length - 1));
    first += length;
  }
  std::vector<int64_t> shape{sequences, longest};
  for (int i = 1; i < x.rank(); ++i) shape.push_back(x.size(i));
  return reshape(index_rows(x, rows), Shape(std::span<const int64_t>(shape)));
}

void TokenBatch::complete_axes() {
  for (size_t i = axes.size(); i < positions.size(); ++i) axes.push_back({positions[i], positions[i], positions[i]});
}

std::vector<int32_t> positions_after_padding(const std::vector<int32_t>& ids, int64_t rows, int64_t length, int32_t padding) {
  std::vector<int32_t> positions;
  for (int64_t b = 0; b < rows; ++b) {
    int32_t seen = 0;
    for (int64_t t = 0; t < length; ++t) positions.push_back(padding + (ids[static_cast<size_t>(b * length + t)] == padding ? 0 : ++seen));
  }
  return positions;
}

}  // namespace mynah::nn
