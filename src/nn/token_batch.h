// Rows of tokens as networks see them: sequences one after another, without padding between them; and the attention of one layer
// over such rows, with or without caches, to themselves or across to an encoder's rows.
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "mynah/ops.h"
#include "nn/cache.h"

namespace mynah::nn {

struct TokenBatch {
  std::vector<int32_t> ids;         // [N]
  std::vector<int32_t> positions;   // [N]
  std::vector<int64_t> lengths;     // rows of each sequence; their sum is N
  std::vector<Cache*> caches;       // one per sequence, holding what came before; or empty
  std::vector<int64_t> reach;       // how long each sequence is together with what is still to come of a prompt that is read in pieces; or empty
  std::vector<uint8_t> key_mask;    // [N], 0 hides a token from all others; or empty. Not with caches
  std::vector<int32_t> token_types; // [N] or empty
  // Embeddings [M, C] made of pictures or sound, and the rows (ascending, M of them) where they stand in place of the table's.
  Tensor media;
  std::vector<int64_t> media_rows;
  // Places of every token in time, rows and columns [N, 3] for models that turn by all three; empty: `positions` are all three. Of each
  // sequence, while a prompt's media are read: the position behind it.
  std::vector<std::array<int32_t, 3>> axes;
  std::vector<int32_t> axes_end;
  DType precision = DType::f32;     // AttentionConfig's, of attention without caches; a cache's type speaks for itself
  std::vector<Tensor>* router_logits = nullptr;  // where layers with experts put their routers' logits [N, E], if somebody asks

  // Rows of the result that somebody reads, ascending, at least one; unset: all. A stack may then give those alone, for its last layer
  // need make no others (read_rows).
  std::optional<std::vector<int64_t>> read;
  // Sets `read` to `rows`; where nobody reads any, one is made nevertheless.
  void read_only(const std::vector<int64_t>& rows);

  // What a decoder's cross-attention reads: for each sequence the encoder's rows, one after another in memory [M, C] ...
  Tensor memory;
  std::vector<int64_t> memory_lengths;
  std::vector<uint8_t> memory_mask;       // [M], 0 hides a row; or empty
  // Which of the memory's P equal parts (images) each token sees: [N, P]; empty: all. For sequences whose lengths are the same.
  std::vector<uint8_t> memory_parts;
  // ... or, with caches, their keys and values (Seq2SeqLM::remember), which several sequences may share; parts
  // that the sequence's tokens do not see are left out.
  std::vector<const Cache*> memory_caches;

  // Gives the tokens that have `positions` but no `axes` yet their position for all three.
  void complete_axes();

  // Embeddings [N, C] of ids, with `media` in its places.
  Tensor with_media(const Tensor& embeddings) const;

  // The most keys that any sequence has in self-attention, this batch's included: the reach of position tables.
  int64_t longest() const;
};

// Self-attention of a batch: q [N,H,D], k and v [N,Hkv,D] -> [N,H,D]. With caches, k and v are appended to layer `layer` of each
// sequence's cache first and the queries see all of it. `dropout`: of the weights, while training (dropout.h).
Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v, const TokenBatch& batch, int layer, const AttentionConfig& config, float dropout = 0);

// Cross-attention: q [N,H,D] -> [N,H,D]. `keys_values` gives the layer's keys and values [M,Hkv,D] of memory rows [M,C]; it is
// called only where no cache holds them. `kv_heads`: Hkv. config.causal is not read.
Tensor attend_memory(const Tensor& q, const TokenBatch& batch, int layer, int64_t kv_heads,
                     const std::function<std::pair<Tensor, Tensor>(const Tensor&)>& keys_values, const AttentionConfig& config, float dropout = 0);

// Scaled scores q k of every pair of `count` sequences: q [count * T,H,D], k [count * K,H,D] -> [count,H,T,K], as constants. Added with the
// opposite sign they make a query look at every key alike, and its gradients are those of a query that does: what the reference
// does with a query whose every key is hidden.
Tensor pair_scores(const Tensor& q, const Tensor& k, int64_t count, float scale);

// Appends rows of k and v [n,Hkv,D] to a layer's cache.
void append_rows(LayerCache& cache, const Tensor& k, const Tensor& v, int64_t first, int64_t count);

// The rows of the first `count` tokens of each sequence.
std::vector<int64_t> first_rows(const TokenBatch& batch, int64_t count = 1);
// Of x [N, ...] what a layer needs behind its attention: the rows that are read if it is the stack's last one, else x.
Tensor read_rows(const Tensor& x, const TokenBatch& batch, bool is_last);
// The rows `wanted` of `result`, which has all rows or those alone, as a stack gives it that was told to read them.
Tensor wanted_rows(const Tensor& result, const std::vector<int64_t>& wanted);

// [N, heads * D] -> [N, heads, D] as a view, also of a slice of joined rows.
Tensor split_heads(const Tensor& x, int64_t n, int64_t heads, int64_t head_dim);

// Rows of every sequence at its start, [N, ...] -> [S, longest, ...]; what lies behind a shorter sequence is unspecified.
Tensor padded_rows(const Tensor& x, const TokenBatch& batch);

// Positions of a row of tokens as RoBERTa counts them: padding + 1, padding + 2 ... for tokens that are not padding, `padding` for those.
std::vector<int32_t> positions_after_padding(const std::vector<int32_t>& ids, int64_t rows, int64_t length, int32_t padding);

}  // namespace mynah::nn
