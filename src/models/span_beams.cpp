#include "models/span_beams.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "base/require.h"
#include "mynah/ops.h"
#include "nn/config.h"
#include "nn/losses.h"

namespace mynah {
namespace {

// Scores [..,T] with nothing left of those that the mask, of a shape that broadcasts, hides.
Tensor hide_tokens(const Tensor& scores, const Tensor& mask) {
  if (!mask.defined()) return scores;
  return scores * add(neg(mask), 1.0f) - mask * 1e30f;
}

// Positions [B] of tokens as rows of [B * T, C].
std::vector<int64_t> rows_of_places(const std::vector<int32_t>& places, int64_t tokens, const char* name) {
  std::vector<int64_t> rows;
  for (size_t b = 0; b < places.size(); ++b) {
    require(places[b] >= 0 && places[b] < tokens, "forward: {} is {}, expected 0..{}", name, places[b], tokens - 1);
    rows.push_back(static_cast<int64_t>(b) * tokens + places[b]);
  }
  return rows;
}

struct LargestOfRows {
  std::vector<float> values, index;  // [rows * count]
};

// The `count` largest of each row of x [rows,n], the first of equals first.
LargestOfRows largest_of_rows(const Tensor& x, int64_t count) {
  const std::vector<float> all = x.to_vector();
  const auto width = static_cast<size_t>(x.size(1));
  std::vector<size_t> order(width);
  LargestOfRows best;
  for (size_t row = 0; row * width < all.size(); ++row) {
    const float* values = all.data() + row * width;
    std::iota(order.begin(), order.end(), size_t{0});
    std::partial_sort(order.begin(), order.begin() + count, order.end(), [&](size_t a, size_t b) { return values[a] != values[b] ? values[a] > values[b] : a < b; });
    for (int64_t i = 0; i < count; ++i) {
      best.values.push_back(values[order[static_cast<size_t>(i)]]);
      best.index.push_back(static_cast<float>(order[static_cast<size_t>(i)]));
    }
  }
  return best;
}

}  // namespace

SpanBeams::SpanBeams(const Json& config, const nn::Weights& w, int64_t size, float eps, nn::Init init)
    : most_starts_(nn::config_int(config, "start_n_top", 5, 1)),
      most_ends_(nn::config_int(config, "end_n_top", 5, 1)),
      start_(w / "start_logits", "dense", size, 1, init),
      end_0_(w / "end_logits", "dense_0", 2 * size, size, init),
      end_1_(w / "end_logits", "dense_1", size, 1, init),
      class_0_(w / "answer_class", "dense_0", 2 * size, size, init),
      class_1_(w / "answer_class", "dense_1", size, 1, init, false),
      end_norm_(w / "end_logits", "LayerNorm", size, eps) {}

// [B,T,C] -> [B,T]
Tensor SpanBeams::start_scores(const Tensor& hidden, const Tensor& p_mask) const {
  const int64_t b = hidden.size(0), t = hidden.size(1);
  return hide_tokens(reshape(start_(reshape(hidden, {b * t, -1})), {b, t}), p_mask);
}

// Scores of every token as the end of an answer that begins with `starts` [B,S,C] -> [B,S,T].
Tensor SpanBeams::end_scores(const Tensor& hidden, const Tensor& starts, const Tensor& p_mask) const {
  const int64_t b = hidden.size(0), t = hidden.size(1), c = hidden.size(2), s = starts.size(1);
  const Tensor pairs = cat({expand(unsqueeze(hidden, 1), {b, s, t, c}), expand(unsqueeze(starts, 2), {b, s, t, c})}, 3);
  const Tensor x = end_norm_(tanh(end_0_(reshape(pairs, {b * s * t, 2 * c}))));
  return hide_tokens(reshape(end_1_(x), {b, s, t}), p_mask.defined() ? unsqueeze(p_mask, 1) : p_mask);
}

// Logits [B] of there being no answer, from the states [B,C] of its start and of what sums the row up.
Tensor SpanBeams::no_answer(const Tensor& starts, const Tensor& summaries) const {
  return squeeze(class_1_(tanh(class_0_(cat({starts, summaries}, 1)))), 1);
}

nn::NamedTensors SpanBeams::search(const Tensor& hidden, const Tensor& p_mask, const Tensor& summaries) const {
  const int64_t b = hidden.size(0), t = hidden.size(1), c = hidden.size(2), s = std::min(most_starts_, t), e = std::min(most_ends_, t);
  const Tensor start_probabilities = softmax(start_scores(hidden, p_mask));
  const LargestOfRows starts = largest_of_rows(start_probabilities, s);
  std::vector<int64_t> rows;
  for (size_t i = 0; i < starts.index.size(); ++i) rows.push_back(static_cast<int64_t>(i) / s * t + static_cast<int64_t>(starts.index[i]));
  const Tensor start_states = reshape(index_rows(reshape(hidden, {b * t, c}), rows), {b, s, c});
  const LargestOfRows ends = largest_of_rows(reshape(softmax(end_scores(hidden, start_states, p_mask)), {b * s, t}), e);
  const auto ranks_first = [&](const std::vector<float>& values) {  // [B,S,E] -> [B,E * S]
    return reshape(transpose(Tensor::from(values, {b, s, e}), 1, 2), {b, e * s});
  };
  const Tensor expected_start = squeeze(matmul(unsqueeze(start_probabilities, 1), hidden), 1);
  return {{"start_top_log_probs", Tensor::from(starts.values, {b, s})},
          {"start_top_index", Tensor::from(starts.index, {b, s})},
          {"end_top_log_probs", ranks_first(ends.values)},
          {"end_top_index", ranks_first(ends.index)},
          {"cls_logits", no_answer(expected_start, summaries)}};
}

nn::NamedTensors SpanBeams::outputs(const Tensor& hidden, const nn::Inputs& in) const {
  const int64_t b = hidden.size(0), t = hidden.size(1), c = hidden.size(2);
  const Tensor p_mask = in.has("p_mask") ? in.floats("p_mask", {b, t}) : Tensor();
  const Tensor states = reshape(hidden, {b * t, c});
  const auto states_at = [&](const char* name) { return index_rows(states, rows_of_places(in.integers(name, {b}), t, name)); };
  const Tensor summaries = in.has("cls_index") ? states_at("cls_index") : select(hidden, 1, t - 1);
  if (!in.has("start_positions") || !in.has("end_positions")) return search(hidden, p_mask, summaries);

  const Tensor starts = states_at("start_positions");
  const std::vector<int32_t> ends = in.integers("end_positions", {b});
  rows_of_places(ends, t, "end_positions");  // only to refuse what lies outside
  const Tensor end_logits = squeeze(end_scores(hidden, unsqueeze(starts, 1), p_mask), 1);
  Tensor loss = (nn::token_loss(start_scores(hidden, p_mask), in.integers("start_positions", {b})) + nn::token_loss(end_logits, ends)) * 0.5f;
  // Half of it, so that it weighs as much as start and end do.
  if (in.has("cls_index") && in.has("is_impossible"))
    loss = loss + nn::binary_cross_entropy(no_answer(starts, summaries), in.floats("is_impossible", {b})) * 0.5f;
  return {{"loss", loss}};
}

}  // namespace mynah
