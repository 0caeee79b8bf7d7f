// question-answering: the part of a context that answers a question. Long contexts are read in windows that overlap.
#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "base/require.h"
#include "base/unicode.h"
#include "tasks/answer_beams.h"
#include "tasks/encode.h"
#include "tasks/options.h"
#include "tasks/show.h"

namespace mynah {
namespace {
namespace t = tasks;

struct QuestionAnsweringSettings {
  int64_t top_k, most_answer_tokens, window, stride;
  bool may_be_empty, whole_words, beams;
  int32_t context;  // its place in the pairs: models that pad on the left read it before the question
};

QuestionAnsweringSettings settings_of(const t::OpenTask& task, const Json& options) {
  QuestionAnsweringSettings s{};
  s.top_k = t::integer(options, "top_k", t::integer(options, "topk", 1, 1), 1);
  s.beams = task.bundle().network->kind() == nn::HeadKind::question_answering_beams;
  s.context = task.tokenizer().padding_side() != "left";
  s.most_answer_tokens = t::integer(options, "max_answer_len", s.beams ? 30 : 15, 1);
  s.window = t::integer(options, "max_seq_len", std::min<int64_t>(task.tokenizer().model_max_length().value_or(384), 384), 1);
  s.stride = t::integer(options, "doc_stride", std::min<int64_t>(s.window / 2, 128), 0);
  s.may_be_empty = t::boolean(options, "handle_impossible_answer", false);
  s.whole_words = t::boolean(options, "align_to_words", !s.beams);
  if (s.beams && s.whole_words) fail(ErrorCode::usage, "question-answering: align_to_words is for models that score starts and ends; {} searches spans", task.bundle().architecture());
  if (s.stride > s.window) fail(ErrorCode::usage, "question-answering: doc_stride is {}, expected at most max_seq_len, {}", s.stride, s.window);
  return s;
}

// A context cut into windows together with its question, and which tokens may be in the answer.
struct Windows {
  std::vector<Encoding> encodings;
  std::vector<std::vector<uint8_t>> answerable;
};

Windows windows_of(const t::OpenTask& task, const std::string& question, const std::string& context, const QuestionAnsweringSettings& s) {
  const bool question_first = s.context == 1;
  EncodeOptions options;
  options.truncation = question_first ? Truncation::only_second : Truncation::only_first;
  options.max_length = s.window;
  options.stride = s.stride;
  Windows w;
  w.encodings = question_first ? task.tokenizer().encode_windows(question, context, options) : task.tokenizer().encode_windows(context, question, options);
  for (const Encoding& e : w.encodings) {
    std::vector<uint8_t> may(e.ids.size());
    // The classifier's token stays: some models point at it when there is no answer.
    for (size_t i = 0; i < may.size(); ++i) may[i] = !question_first || e.sequence_ids[i] == 1 || e.ids[i] == task.tokenizer().cls_id();
    w.answerable.push_back(std::move(may));
  }
  return w;
}

// exp and normalised, with nothing where no answer may be.
std::vector<float> probabilities(std::vector<float> logits, const std::vector<uint8_t>& may) {
  constexpr float kNever = -10000;
  for (size_t i = 0; i < logits.size(); ++i)
    if (!may[i]) logits[i] = kNever;
  const float most = *std::max_element(logits.begin(), logits.end());
  float sum = 0;
  for (float& x : logits) sum += x = std::exp(x - most);
  for (float& x : logits) x /= sum;
  return logits;
}

// The best spans of a window, best first.
std::vector<t::TokenSpan> best_spans(const std::vector<float>& start, const std::vector<float>& end, const std::vector<uint8_t>& may, size_t count, int64_t most_tokens) {
  std::vector<t::TokenSpan> all;
  for (size_t i = 0; i < start.size(); ++i)
    for (size_t j = i; j < end.size() && j < i + static_cast<size_t>(most_tokens); ++j) all.push_back({i, j, start[i] * end[j]});
  count = std::min(count, all.size());
  std::partial_sort(all.begin(), all.begin() + static_cast<long>(count), all.end(),
                    [](const t::TokenSpan& a, const t::TokenSpan& b) { return a.score != b.score ? a.score > b.score : std::pair(a.begin, a.last) < std::pair(b.begin, b.last); });
  all.resize(count);
  std::erase_if(all, [&](const t::TokenSpan& span) { return !may[span.begin] || !may[span.last]; });
  return all;
}

// Characters of the context that a span of tokens means, widened to whole words.
std::pair<int64_t, int64_t> character_range(const Encoding& e, const t::TokenSpan& span, int32_t sequence, bool whole_words) {
  const std::pair<int64_t, int64_t> tokens{e.offsets[span.begin].first, e.offsets[span.last].second};
  if (!whole_words || e.word_ids[span.begin] < 0 || e.word_ids[span.last] < 0) return tokens;
  std::pair<int64_t, int64_t> range{-1, -1};
  for (size_t i = 0; i < e.ids.size(); ++i) {
    if (e.sequence_ids[i] != sequence) continue;
    if (e.word_ids[i] == e.word_ids[span.begin] && range.first < 0) range.first = e.offsets[i].first;
    if (e.word_ids[i] == e.word_ids[span.last]) range.second = e.offsets[i].second;
  }
  return range.first < 0 || range.second < 0 ? tokens : range;
}

// The answers of all windows over a context; the same text found again adds to the score of the first.
class Answers {
 public:
  Answers(std::string context, int32_t sequence, bool whole_words) : context_(std::move(context)), sequence_(sequence), whole_words_(whole_words) {}

  void add(const Encoding& e, const std::vector<t::TokenSpan>& spans) {
    for (const t::TokenSpan& span : spans) {
      const auto [begin, end] = character_range(e, span, sequence_, whole_words_);
      std::string text = context_.slice(begin, end);
      const auto [place, is_new] = places_.emplace(unicode::to_lower(text), list_.size());
      if (is_new) list_.push_back({span.score, begin, end, std::move(text)});
      else list_[place->second].score += span.score;
    }
  }
  std::vector<t::Answer> take() { return std::move(list_); }

 private:
  t::Characters context_;
  int32_t sequence_;
  bool whole_words_;
  std::vector<t::Answer> list_;
  std::unordered_map<std::string, size_t> places_;  // by the text in lower case
};

Json best_answers(std::vector<t::Answer> answers, int64_t top_k) {
  std::stable_sort(answers.begin(), answers.end(), [](const t::Answer& a, const t::Answer& b) { return a.score > b.score; });
  if (static_cast<int64_t>(answers.size()) > top_k) answers.resize(static_cast<size_t>(top_k));
  Json out = Json::array();
  for (const t::Answer& a : answers) out.push_back({{"score", a.score}, {"start", a.begin}, {"end", a.end}, {"answer", a.text}});
  return out.size() == 1 ? Json(out[0]) : out;
}

std::string part(const Json& input, const char* key) {
  if (!input.is_object() || !input.contains(key) || !input[key].is_string())
    fail(ErrorCode::failure, "question-answering: an input is {}, expected {{\"question\": TEXT, \"context\": TEXT}}", input.dump());
  std::string text = input[key].get<std::string>();
  if (text.empty()) fail(ErrorCode::failure, "question-answering: {} is empty", key);
  return text;
}

std::vector<Json> run_question_answering(const t::OpenTask& task, const std::vector<Json>& inputs, const Json& options) {
  const QuestionAnsweringSettings s = settings_of(task, options);
  std::vector<Encoding> encodings;
  std::vector<std::vector<uint8_t>> answerable;
  std::vector<size_t> first;  // window of each input
  for (const Json& input : inputs) {
    Windows w = windows_of(task, part(input, "question"), part(input, "context"), s);
    first.push_back(encodings.size());
    std::move(w.encodings.begin(), w.encodings.end(), std::back_inserter(encodings));
    std::move(w.answerable.begin(), w.answerable.end(), std::back_inserter(answerable));
  }
  first.push_back(encodings.size());
  std::vector<t::WindowSpans> found(encodings.size());
  const auto take = [&](size_t row, const nn::NamedTensors& outputs, int64_t place) {
    if (s.beams) {
      found[row] = t::beam_spans(outputs, place, encodings[row], s.context, s.most_answer_tokens);
      return;
    }
    const auto tokens = static_cast<int64_t>(encodings[row].ids.size());
    std::vector<float> start = probabilities(t::row_values(outputs.at("start_logits"), place, tokens), answerable[row]);
    std::vector<float> end = probabilities(t::row_values(outputs.at("end_logits"), place, tokens), answerable[row]);
    found[row].empty = start[0] * end[0];
    start[0] = end[0] = 0;
    // Spans that become the same words are joined, so more are looked at.
    const auto count = static_cast<size_t>(s.whole_words ? s.top_k * 2 + 10 : s.top_k);
    found[row].spans = best_spans(start, end, answerable[row], count, s.most_answer_tokens);
  };
  if (s.beams)
    t::forward_encodings(task, encodings, take, 4096, [&](const auto& rows, nn::NamedTensors* in) { t::add_beam_inputs(rows, s.context, task.tokenizer().cls_id(), in); });
  else t::forward_encodings(task, encodings, take);
  std::vector<Json> results;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const std::string context = inputs[i]["context"].get<std::string>();
    double empty = 1000000;
    for (size_t w = first[i]; w < first[i + 1]; ++w) empty = std::min<double>(empty, found[w].empty);
    std::vector<t::Answer> answers;
    if (s.beams) {
      std::vector<std::pair<const Encoding*, t::TokenSpan>> spans;
      for (size_t w = first[i]; w < first[i + 1]; ++w)
        for (const t::TokenSpan& span : found[w].spans) spans.emplace_back(&encodings[w], span);
      answers = t::beam_answers(spans, t::Characters(context), static_cast<size_t>(s.top_k));
      empty = 1 / (1 + std::exp(-empty));  // a logit
    } else {
      Answers collected(context, s.context, s.whole_words);
      for (size_t w = first[i]; w < first[i + 1]; ++w) collected.add(encodings[w], found[w].spans);
      answers = collected.take();
    }
    if (s.may_be_empty) answers.push_back({empty, 0, 0, ""});
    else if (s.beams && answers.empty()) answers.push_back({1, 0, 0, ""});  // no span lies in the context
    results.push_back(best_answers(std::move(answers), s.top_k));
  }
  return results;
}

// Questions and contexts are options, or objects; one context serves several questions.
std::vector<Json> question_answering_listed(const Json& given, const Json& options, bool* one) {
  std::vector<Json> all;
  if (given.is_array()) all = given.get<std::vector<Json>>();
  else if (!given.is_null()) all.push_back(given);
  const std::vector<std::string> questions = t::texts(options, "question"), contexts = t::texts(options, "context");
  if (questions.empty() != contexts.empty()) fail(ErrorCode::usage, "question-answering: question and context go together");
  if (contexts.size() != 1 && contexts.size() != questions.size())
    fail(ErrorCode::usage, "question-answering: {} questions and {} contexts, expected one context or one for each", questions.size(), contexts.size());
  for (size_t i = 0; i < questions.size(); ++i) all.push_back({{"question", questions[i]}, {"context", contexts[contexts.size() == 1 ? 0 : i]}});
  if (all.empty()) fail(ErrorCode::usage, "question-answering: give question and context");
  *one = all.size() == 1;
  return all;
}

bool is_example(const Json& value) { return value.is_object() && value.contains("question") && value.contains("context"); }

std::string show_question_answering(const Json& input, const Json& result, const t::Style& style) {
  std::string out = t::emphasised(input["question"].get<std::string>(), style) + "\n";
  const Json answers = result.is_array() ? result : Json::array({result});
  if (!answers.empty() && answers[0]["start"].get<int64_t>() < answers[0]["end"].get<int64_t>())
    out += t::marked_text(input["context"].get<std::string>(), {{answers[0]["start"].get<int64_t>(), answers[0]["end"].get<int64_t>(), ""}}, style) + "\n";
  for (const Json& a : answers) {
    const std::string text = a["answer"].get<std::string>();
    out += fmt::format("{:>9.4f}  {}\n", a["score"].get<double>(), text.empty() ? "(no answer)" : text);
  }
  return out;
}

}  // namespace

extern const TaskEntry task_question_answering{
    .name = "question-answering",
    .help = "the answer to a question, found in a context",
    .input = "--question TEXT --context TEXT",
    .reads_json = is_example,
    .heads = {nn::HeadKind::question_answering, nn::HeadKind::question_answering_beams},
    .options = {{"question", t::OptionType::texts, "what is asked; may be given several times"},
                {"context", t::OptionType::texts, "where the answer stands: one for all questions, or one for each"},
                {"top_k", t::OptionType::integer, "so many answers (1)"},
                {"topk", t::OptionType::integer, "old name of --top-k"},
                {"doc_stride", t::OptionType::integer, "tokens that windows over a long context share (half a window, at most 128)"},
                {"max_answer_len", t::OptionType::integer, "most tokens of an answer (15; 30 of a model that searches spans by beams)"},
                {"max_seq_len", t::OptionType::integer, "tokens of a window, the question included (384)"},
                {"max_question_len", t::OptionType::integer, "accepted: the reference does not read it either"},
                {"handle_impossible_answer", t::OptionType::boolean, "an answer may be empty (false)"},
                {"align_to_words", t::OptionType::boolean, "answers are whole words (true; not with beams)"},
                {"padding", t::OptionType::json, "accepted: padding changes no result"}},
    .suggestion = "good ones to pull: distilbert/distilbert-base-cased-distilled-squad, deepset/roberta-base-squad2",
    .run = run_question_answering,
    .inputs = question_answering_listed,
    .show = show_question_answering};

}  // namespace mynah
