// The head of answers that searches spans by beams: the likeliest starts, for each of them the likeliest ends, and whether there is
// an answer at all (XLNetForQuestionAnswering; arXiv:1906.08237, section 3). Shapes: B batch, T tokens, C hidden, S starts, E ends.
#pragma once
#include "base/json.h"
#include "nn/inputs.h"
#include "nn/layers.h"

namespace mynah {

class SpanBeams {
 public:
  SpanBeams() = default;
  // Weights start_logits, end_logits and answer_class of `w`; start_n_top and end_n_top of the config, 5 without.
  SpanBeams(const Json& config, const nn::Weights& w, int64_t hidden_size, float layer_norm_eps, nn::Init init);

  // hidden [B,T,C]. Inputs: optional p_mask [B,T] (1: not in an answer), cls_index [B] (without it the last token sums a row up).
  // With start_positions and end_positions [B] the loss, of which whether there is an answer is a part if cls_index and is_impossible
  // [B] (0 or 1) are there. Otherwise start_top_log_probs and start_top_index [B,S], end_top_log_probs and end_top_index [B,E * S],
  // the E ends of rank 0 for each start first, and cls_logits [B]. What the reference calls log_probs are probabilities.
  // Rows shorter than S or E tokens have as many starts and ends as tokens. Throws failure for places outside 0..T-1.
  nn::NamedTensors outputs(const Tensor& hidden, const nn::Inputs& in) const;

 private:
  Tensor start_scores(const Tensor& hidden, const Tensor& p_mask) const;
  Tensor end_scores(const Tensor& hidden, const Tensor& starts, const Tensor& p_mask) const;
  Tensor no_answer(const Tensor& starts, const Tensor& summaries) const;
  nn::NamedTensors search(const Tensor& hidden, const Tensor& p_mask, const Tensor& summaries) const;

  int64_t most_starts_ = 0, most_ends_ = 0;
  nn::Linear start_, end_0_, end_1_, class_0_, class_1_;
  nn::LayerNorm end_norm_;
};

}  // namespace mynah
