// text-classification: scores of a classifier's labels for a text or a pair of texts.
#include <algorithm>
#include <cmath>

#include "base/require.h"
#include "nn/config.h"
#include "tasks/encode.h"
#include "tasks/options.h"
#include "tasks/scores.h"
#include "tasks/show.h"

namespace mynah {
namespace {
namespace t = tasks;

enum class Function { none, sigmoid, softmax };

Function text_classification_function_of(const t::OpenTask& task, const Json& options, size_t labels) {
  if (const auto name = t::text(options, "function_to_apply")) {
    std::string lower = *name;
    std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (lower == "sigmoid") return Function::sigmoid;
    if (lower == "softmax") return Function::softmax;
    if (lower == "none") return Function::none;
    fail(ErrorCode::usage, "text-classification: function_to_apply is \"{}\", expected sigmoid, softmax or none", *name);
  }
  const std::string problem = nn::config_string(task.bundle().config, "problem_type", "");
  if (problem == "regression") return Function::none;
  return problem == "multi_label_classification" || labels == 1 ? Function::sigmoid : Function::softmax;
}

// Which labels are given: the best alone, as an object; or a list, all of them or top_k.
struct Wanted {
  bool list = false, sorted = false;
  size_t count = 0;
};
Wanted wanted(const t::OpenTask& task, const Json& options) {
  if (const auto it = options.find("top_k"); it != options.end())
    return {true, true, it->is_null() ? SIZE_MAX : static_cast<size_t>(t::integer(options, "top_k", 1, 1))};
  return {t::boolean(options, "return_all_scores", nn::config_bool(task.bundle().config, "return_all_scores", false)), false, SIZE_MAX};
}

std::vector<Json> run_text_classification(const t::OpenTask& task, const std::vector<Json>& inputs, const Json& options) {
  const EncodeOptions cut = t::encode_options(options);
  const Wanted which = wanted(task, options);
  std::vector<Encoding> encodings;
  for (const Json& input : inputs) encodings.push_back(t::encode(task, t::text_input(task, input), cut));
  std::vector<Json> results(inputs.size());
  t::forward_encodings(task, encodings, [&](size_t row, const nn::NamedTensors& outputs, int64_t place) {
    std::vector<float> scores = t::row_values(outputs.at("logits"), place);
    const Function function = text_classification_function_of(task, options, scores.size());
    if (function == Function::softmax) scores = t::softmax(scores);
    if (function == Function::sigmoid)
      for (float& x : scores) x = 1 / (1 + std::exp(-x));
    const auto entry = [&](size_t i) { return Json{{"label", t::label_name(task.bundle(), static_cast<int64_t>(i))}, {"score", scores[i]}}; };
    if (!which.list) {
      results[row] = entry(t::argmax(scores));
      return;
    }
    results[row] = Json::array();
    if (which.sorted)
      for (const size_t i : t::largest(scores, which.count)) results[row].push_back(entry(i));
    else
      for (size_t i = 0; i < scores.size(); ++i) results[row].push_back(entry(i));
  });
  return results;
}

std::vector<Json> inputs(const Json& given, const Json& options, bool* one) {
  *one = !given.is_array();
  std::vector<Json> all = given.is_array() ? given.get<std::vector<Json>>() : std::vector<Json>{given};
  const std::vector<std::string> pairs = t::texts(options, "text_pair");
  if (pairs.empty()) return all;
  if (pairs.size() != all.size()) fail(ErrorCode::usage, "text-classification: {} text_pair for {} inputs, expected one for each", pairs.size(), all.size());
  for (size_t i = 0; i < all.size(); ++i) all[i] = Json{{"text", std::move(all[i])}, {"text_pair", pairs[i]}};
  return all;
}

// One text without top_k gives a list, as the reference does; a pair does not.
Json text_classification_answer(std::vector<Json> results, const Json& given, bool one, const Json& options) {
  if (!one) return Json(std::move(results));
  if (given.is_string() && !options.contains("top_k") && !options.contains("text_pair")) return Json::array({std::move(results[0])});
  return std::move(results[0]);
}

std::string show_text_classification(const Json& input, const Json& result, const t::Style& style) {
  const std::string text = input.is_string() ? input.get<std::string>() : input["text"].get<std::string>() + " | " + input["text_pair"].get<std::string>();
  return t::emphasised(text, style) + "\n" + t::score_table(result.is_array() ? result : Json::array({result}), style);
}

}  // namespace

extern const TaskEntry task_text_classification{
    .name = "text-classification",
    .aliases = {"sentiment-analysis"},
    .help = "which label fits a text",
    .input = "TEXT",
    .reads_json = t::is_text_object,
    .heads = {nn::HeadKind::sequence_classification},
    .options = {{"top_k", t::OptionType::integer_or_none, "so many labels, best first; none: all of them"},
                {"function_to_apply", t::OptionType::text, "softmax, sigmoid or none; else as the model was trained"},
                {"text_pair", t::OptionType::texts, "the second text of each input"},
                {"return_all_scores", t::OptionType::boolean, "old name of --top-k none, in the order of the labels"},
                {"truncation", t::OptionType::json, "cut texts that are too long: true, false or a strategy"},
                {"max_length", t::OptionType::integer, "most tokens of a text"},
                {"padding", t::OptionType::json, "accepted: padding changes no result"},
                {"add_special_tokens", t::OptionType::boolean, "surround texts as the model wants it (true)"}},
    .suggestion = "good ones to pull: distilbert/distilbert-base-uncased-finetuned-sst-2-english, cardiffnlp/twitter-roberta-base-sentiment-latest",
    .run = run_text_classification,
    .inputs = inputs,
    .answer = text_classification_answer,
    .show = show_text_classification};

}  // namespace mynah
