// Next-token prediction over rows of tokens without padding: batches, the loss with the output head computed in pieces, and the
// log-probabilities that preference and policy losses are made of.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "nn/causal_lm.h"
#include "train/metrics.h"

namespace mynah::train {

// Sequences one after another. targets[i] is what position i must predict; kIgnored counts nowhere.
inline constexpr int32_t kIgnored = -100;
struct PackedRows {
  nn::TokenBatch batch;
  std::vector<int32_t> targets;

  // Appends a sequence whose labels are `labels` (one per token; label t is predicted at t - 1; the first counts nowhere).
  // Positions count from `first_position`.
  void add(std::span<const int32_t> ids, std::span<const int32_t> labels, int32_t first_position = 0);
  int64_t tokens() const { return static_cast<int64_t>(batch.ids.size()); }
  int64_t counted() const;
};

// Of each counted token, in order.
struct TokenStats {
  std::vector<float> entropy, mean_logit, log_sum_squares;  // the last: of the probabilities
  std::vector<uint8_t> correct;  // the target was the likeliest token

  // Means over tokens [begin, end); 0 of none.
  double mean_entropy(size_t begin = 0, size_t end = SIZE_MAX) const;
  double mean_of_logits(size_t begin, size_t end) const;
  double accuracy(size_t begin = 0, size_t end = SIZE_MAX) const;
};

// Sum over counted tokens of -log p(target), divided by `denominator`: []. Where logits would be large they never exist at once:
// the head's gradients are then computed piece by piece here, so the result must go into the backward pass with gradient 1.
// `stats`, if given, is added to.
Tensor lm_loss(const nn::CausalLM& lm, const PackedRows& rows, double denominator, TokenStats* stats = nullptr);
// The same for hidden rows that were computed already: all [N, C], or those with a target.
Tensor head_loss(const nn::CausalLM& lm, const Tensor& hidden, std::span<const int32_t> targets, double denominator, TokenStats* stats);

// Hidden rows [N, C], or those with a target alone, and for a mixture of experts the weighted loss that balances them [] (undefined for others).
struct Body {
  Tensor hidden, balance;
  double auxiliary = 0;  // the balancing loss before its weight
};
Body lm_body(const nn::CausalLM& lm, const PackedRows& rows);
// Reports "aux_loss" of a mixture of experts.
void tell_balance(const Body& body, Metrics* metrics);
// The loss with the body's balance loss as part of an update that has `parts` micro-batches.
Tensor with_balance(const Tensor& loss, const Body& body, double parts);

// log p(target) of every counted token, in order: [counted]. Logits are divided by `temperature` first.
Tensor lm_log_probs(const nn::CausalLM& lm, const PackedRows& rows, float temperature = 1, TokenStats* stats = nullptr);
// Sums over consecutive groups of a vector: [N] and sizes that add up to N -> [groups].
Tensor group_sums(const Tensor& values, std::span<const int64_t> sizes);
Tensor head_log_probs(const nn::CausalLM& lm, const Tensor& hidden, std::span<const int32_t> targets, float temperature, TokenStats* stats);

}  // namespace mynah::train
