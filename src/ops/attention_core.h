// Threaded drivers of the attention kernels over ragged sequences. A span is one sequence: some query rows and the keys
// they may see, given as rows (training, encoders) or as the blocks of a cache (generation). Results do not depend on
// the number of threads, on the other spans, nor on whether queries come one by one or together.
#pragma once
#include <cstdint>
#include <span>

#include "kernels/dropout.h"
#include "mynah/tensor.h"

namespace mynah::ops {

// Key and value blocks of one layer and sequence, as nn::LayerCache keeps them: 64 keys to a block, each block holding
// all kv heads one after the other in the layout of kernels/attention.h.
struct KvBlocks {
  const void* const* k = nullptr;
  const void* const* v = nullptr;
  DType dtype = DType::f32;  // f32, f16 or bf16
  int64_t length = 0;        // keys
};

struct AttentionSpan {
  int64_t q_begin = 0, q_count = 0;  // rows of q and out
  int64_t k_begin = 0, k_count = 0;  // rows of k and v; with a cache its first k_count keys
  const KvBlocks* cache = nullptr;
  const uint8_t* key_mask = nullptr;  // [k_count] or null: 0 hides a key. A query that sees no key gives 0.
  int64_t bias_offset = 0;            // elements to add to options.bias (and dbias) for this span
};

// The last query of a span stands at its last key: query i is at key position p = k_count - q_count + i.
struct AttentionOptions {
  float scale = 1;
  bool causal = false;                  // sees keys j <= p
  int64_t window = 0;                   // > 0: sees p - window < j, and j < p + window if not causal
  float softcap = 0;                    // > 0: the scaled score s becomes softcap * tanh(s / softcap)
  const float* alibi_slopes = nullptr;  // [heads]: adds slope * (j - p)
  const float* bias = nullptr;          // adds bias[head * bias_head_stride + i * bias_query_stride + j]
  int64_t bias_head_stride = 0, bias_query_stride = 0;
  // With a threshold weights are dropped behind the softmax. The place of a weight is its row among all rows of q, heads counted, and its key
  // within the span: row * 2^32 + key in the order of AttentionTile::dropout.
  kernels::DropoutMask dropout;
  // bf16: queries and probabilities are rounded to bf16 and multiplied by bf16 instructions if the processor has them
  // and keys are bf16 (rows are packed so); else f32.
  DType precision = DType::f32;
};

struct AttentionShape {
  int64_t heads = 0, kv_heads = 0, head_dim = 0;  // heads is a multiple of kv_heads
};

// f32 rows: row i starts at data + i * stride and holds its heads one after the other.
struct HeadRows {
  const float* data = nullptr;
  int64_t stride = 0;
};
struct MutableHeadRows {
  float* data = nullptr;
  int64_t stride = 0;
};

// out[i] = softmax(scale q k^T ...) v for every query row of every span; k and v are read by spans without a cache. lse
// (null or [query rows, heads], contiguous) receives the logarithm of each row's sum for the backward pass. Throws for
// bad spans.
void attention_forward(const AttentionShape& shape, HeadRows q, HeadRows k, HeadRows v,
                       std::span<const AttentionSpan> spans, const AttentionOptions& options, MutableHeadRows out,
                       float* lse);

// Gradients, exact f32. Rows of dq, dk and dv that belong to spans are written: spans must not share rows and have no
// cache. dbias (or null) has the layout of options.bias and is added to.
struct AttentionGradients {
  MutableHeadRows dq, dk, dv;
  float* dbias = nullptr;
};
void attention_backward(const AttentionShape& shape, HeadRows q, HeadRows k, HeadRows v, HeadRows out, const float* lse,
                        HeadRows dout, std::span<const AttentionSpan> spans, const AttentionOptions& options,
                        const AttentionGradients& gradients);

}  // namespace mynah::ops
