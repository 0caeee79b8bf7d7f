// Attention over cached keys, for generation: not recorded on the tape.
#pragma once
#include <span>

#include "mynah/ops.h"
#include "ops/attention_core.h"

namespace mynah::ops {

// q [Nq, H, D] -> [Nq, H, D]. Sequence i reads the first k_count keys of cached[i]; config.key_mask must be empty. The cache's type
// decides the precision, config.precision is not read.
Tensor cached_attention(const Tensor& q, std::span<const Sequence> sequences, std::span<const KvBlocks> cached,
                        int64_t kv_heads, const AttentionConfig& config);

}  // namespace mynah::ops
