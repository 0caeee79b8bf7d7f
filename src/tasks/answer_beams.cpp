#include "tasks/answer_beams.h"

#include <algorithm>
#include <cmath>

#include "tasks/encode.h"

namespace mynah::tasks {

void add_beam_inputs(const std::vector<const Encoding*>& rows, int32_t context, std::optional<int32_t> cls, nn::NamedTensors* inputs) {
  const int64_t count = static_cast<int64_t>(rows.size()), length = inputs->at("input_ids").size(1);
  std::vector<int64_t> places;
  Tensor p_mask = Tensor::full({count, length}, 1);
  for (int64_t row = 0; row < count; ++row) {
    const Encoding& e = *rows[static_cast<size_t>(row)];
    const auto found = cls ? std::find(e.ids.begin(), e.ids.end(), *cls) : e.ids.end();
    places.push_back(found == e.ids.end() ? static_cast<int64_t>(e.ids.size()) - 1 : found - e.ids.begin());
    for (size_t t = 0; t < e.ids.size(); ++t)
      if (e.sequence_ids[t] == context || static_cast<int64_t>(t) == places.back()) p_mask.data<float>()[row * length + static_cast<int64_t>(t)] = 0;
  }
  (*inputs)["p_mask"] = p_mask;
  (*inputs)["cls_index"] = Tensor::from(std::span<const int64_t>(places), {count});
}

WindowSpans beam_spans(const nn::NamedTensors& outputs, int64_t place, const Encoding& e, int32_t context, int64_t most_tokens) {
  const auto row = [&](const char* name) { return row_values(outputs.at(name), place); };
  const std::vector<float> starts = row("start_top_index"), start_scores = row("start_top_log_probs"), ends = row("end_top_index"), end_scores = row("end_top_log_probs");
  WindowSpans found{{}, row("cls_logits")[0]};
  const auto in_context = [&](size_t token) { return token < e.ids.size() && e.sequence_ids[token] == context; };
  const size_t ends_each = ends.size() / starts.size();
  for (size_t i = 0; i < starts.size(); ++i)
    for (size_t j = 0; j < ends_each; ++j) {
      // The model puts the ends of one rank side by side, the example looks there for those of one start: a start may meet the end of
      // another. The best start always meets its own best end.
      const size_t pair = i * ends_each + j;
      const auto begin = static_cast<size_t>(starts[i]), last = static_cast<size_t>(ends[pair]);
      if (!in_context(begin) || !in_context(last) || last < begin || static_cast<int64_t>(last - begin + 1) > most_tokens) continue;
      found.spans.push_back({begin, last, start_scores[i] + end_scores[pair]});
    }
  return found;
}

std::vector<Answer> beam_answers(const std::vector<std::pair<const Encoding*, TokenSpan>>& spans, const Characters& context, size_t count) {
  constexpr size_t kAmong = 20;
  std::vector<std::pair<const Encoding*, TokenSpan>> best = spans;
  std::stable_sort(best.begin(), best.end(), [](const auto& a, const auto& b) { return a.second.score > b.second.score; });
  best.resize(std::min(best.size(), std::max(kAmong, count)));
  double sum = 0;
  for (const auto& [e, span] : best) sum += std::exp(span.score - best[0].second.score);
  std::vector<Answer> answers;
  for (const auto& [e, span] : best) {
    const int64_t begin = e->offsets[span.begin].first, end = e->offsets[span.last].second;
    answers.push_back({std::exp(span.score - best[0].second.score) / sum, begin, end, context.slice(begin, end)});
  }
  return answers;
}

}  // namespace mynah::tasks
