// Decoder-only language models: what a family implements, and the reference's forward pass made from it.
#pragma once
#include <cstdint>
#include <vector>

#include "mynah/ops.h"
#include "nn/cache.h"
#include "nn/model.h"

namespace mynah::nn {

// Token rows of several sequences, one after another, without padding between them.
struct TokenBatch {
  std::vector<int32_t> ids;         // [N]
  std::vector<int32_t> positions;   // [N]
  std::vector<int64_t> lengths;     // rows of each sequence; their sum is N
  std::vector<Cache*> caches;       // one per sequence, holding what came before; or empty
  std::vector<uint8_t> key_mask;    // [N], 0 hides a token from all others; or empty. Not with caches
  std::vector<int32_t> token_types; // [N] or empty
};

class CausalLM : public Model {
 public:
  // Hidden rows [N, C] after the final norm. With `states`, appends the embedding output and each layer's output (the last one
  // after the final norm), as the reference's hidden_states. With caches, this batch's keys and values are appended.
  virtual Tensor body(const TokenBatch& batch, std::vector<Tensor>* states) const = 0;
  // Logits [n, V] of hidden rows [n, C].
  virtual Tensor head(const Tensor& hidden) const = 0;
  virtual CacheShape cache_shape() const = 0;
  virtual int64_t vocabulary_size() const = 0;
  virtual int64_t max_positions() const = 0;

  // Inputs: input_ids [B,T]; optional attention_mask, position_ids, token_type_ids, labels (all [B,T]). Outputs: logits [B,T,V],
  // loss [] with labels, hidden_states.N [B,T,C]. Positions count from 0 whatever the mask; given positions without a mask
  // mean packed sequences, a new one wherever they do not go on by one; both as in the reference.
  NamedTensors forward(const NamedTensors& inputs, const ForwardOptions& options) const override;
  const CausalLM* causal_lm() const override { return this; }
};

// Attention of a batch: q [N,H,D], k and v [N,Hkv,D]. With caches, k and v are appended to layer `layer` of each sequence's
// cache first and the queries see all of it.
Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v, const TokenBatch& batch, int layer, const AttentionConfig& config);

// [N, heads * D] -> [N, heads, D] as a view, also of a slice of joined rows.
Tensor split_heads(const Tensor& x, int64_t n, int64_t heads, int64_t head_dim);

}  // namespace mynah::nn
