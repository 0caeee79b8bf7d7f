// Answers of models that search spans by beams (XLNetForQuestionAnswering). The reference's pipeline cannot use them; what is done
// here is what its example run_qa_beam_search does with them, oddities included.
#pragma once
#include "nn/model.h"
#include "tasks/characters.h"
#include "tasks/task_entry.h"

namespace mynah::tasks {

// Tokens of a window, both included.
struct TokenSpan {
  size_t begin, last;
  float score;
};
struct WindowSpans {
  std::vector<TokenSpan> spans;
  float empty;  // the score of there being no answer
};
struct Answer {
  double score;
  int64_t begin, end;  // characters of the context
  std::string text;
};

// Which tokens may be of an answer (p_mask) and where the classifier's token is (cls_index). `context`: the context's place in the pairs.
void add_beam_inputs(const std::vector<const Encoding*>& rows, int32_t context, std::optional<int32_t> cls, nn::NamedTensors* inputs);

// The spans of row `place` that lie in the context and have at most `most_tokens`, and the logit of no answer.
WindowSpans beam_spans(const nn::NamedTensors& outputs, int64_t place, const Encoding& e, int32_t context, int64_t most_tokens);

// The best answers of all windows over a context, 20 or `count`: their scores become probabilities among themselves.
std::vector<Answer> beam_answers(const std::vector<std::pair<const Encoding*, TokenSpan>>& spans, const Characters& context, size_t count);

}  // namespace mynah::tasks
