// zero-shot-classification: which of the caller's own labels fits a text, asked of a model of natural-language inference: does the
// text entail "This example is LABEL."?
#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/log.h"
#include "base/require.h"
#include "tasks/candidate_labels.h"
#include "tasks/encode.h"
#include "tasks/options.h"
#include "tasks/scores.h"
#include "tasks/show.h"

namespace mynah {
namespace {
namespace t = tasks;

// The class that means that the text entails the hypothesis, -1 if none says so.
int64_t entailment_class(const bundle::Bundle& b) {
  const auto is_it = [](std::string name) {
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return name.starts_with("entail");
  };
  if (const auto ids = b.config.find("label2id"); ids != b.config.end() && ids->is_object()) {
    for (const auto& [name, id] : ids->items())
      if (is_it(name) && id.is_number_integer()) return id.get<int64_t>();
  } else if (const auto names = b.config.find("id2label"); names != b.config.end() && names->is_object()) {
    for (const auto& [id, name] : names->items())
      if (name.is_string() && is_it(name.get<std::string>())) return std::stoll(id);
  }
  return -1;
}

std::vector<float> label_scores(const std::vector<std::vector<float>>& logits, int64_t entailment, bool multi_label) {
  const auto at = [](const std::vector<float>& row, int64_t index) { return row[static_cast<size_t>(index < 0 ? index + static_cast<int64_t>(row.size()) : index)]; };
  std::vector<float> scores;
  if (multi_label || logits.size() == 1) {
    const int64_t contradiction = entailment == 0 ? -1 : 0;
    for (const auto& row : logits) scores.push_back(t::softmax(std::vector<float>{at(row, contradiction), at(row, entailment)})[1]);
    return scores;
  }
  for (const auto& row : logits) scores.push_back(at(row, entailment));
  return t::softmax(scores);
}

std::vector<Json> run_zero_shot_classification(const t::OpenTask& task, const std::vector<Json>& inputs, const Json& options) {
  const std::vector<std::string> labels = t::candidate_labels(task, options);
  const std::string pattern = t::text(options, "hypothesis_template").value_or("This example is {}.");
  if (t::hypothesis(task, pattern, labels[0]) == pattern)
    fail(ErrorCode::usage, "zero-shot-classification: hypothesis_template \"{}\" has no {{}} where the label goes", pattern);
  const int64_t entailment = entailment_class(task.bundle());
  if (entailment < 0) warn("zero-shot-classification: no label of the model begins with \"entail\"; its last class is taken for it");
  EncodeOptions cut;
  if (task.tokenizer().model_max_length()) cut.truncation = Truncation::only_first;
  std::vector<Encoding> encodings;
  for (const Json& input : inputs) {
    const std::string text = t::one_text(task, input);
    require(!text.empty(), "zero-shot-classification: an input is empty");
    for (const std::string& label : labels) encodings.push_back(t::encode(task, {text, t::hypothesis(task, pattern, label)}, cut));
  }
  std::vector<std::vector<float>> logits(encodings.size());
  t::forward_encodings(task, encodings, [&](size_t row, const nn::NamedTensors& outputs, int64_t place) { logits[row] = t::row_values(outputs.at("logits"), place); });
  const bool multi_label = t::boolean(options, "multi_label", t::boolean(options, "multi_class", false));
  std::vector<Json> results;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const auto begin = logits.begin() + static_cast<long>(i * labels.size());
    const std::vector<float> scores = label_scores({begin, begin + static_cast<long>(labels.size())}, entailment, multi_label);
    std::vector<size_t> order(scores.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] < scores[b]; });
    std::reverse(order.begin(), order.end());
    Json names = Json::array(), numbers = Json::array();
    for (const size_t k : order) {
      names.push_back(labels[k]);
      numbers.push_back(scores[k]);
    }
    results.push_back({{"sequence", inputs[i]}, {"labels", std::move(names)}, {"scores", std::move(numbers)}});
  }
  return results;
}

std::string show_zero_shot_classification(const Json& input, const Json& result, const t::Style& style) {
  std::vector<t::ScoreRow> rows;
  for (size_t i = 0; i < result["labels"].size(); ++i) rows.push_back({result["scores"][i].get<double>(), result["labels"][i].get<std::string>()});
  return t::emphasised(input.get<std::string>(), style) + "\n" + t::score_table(rows, style);
}

}  // namespace

extern const TaskEntry task_zero_shot_classification{
    .name = "zero-shot-classification",
    .help = "which of your own labels fits a text",
    .input = "TEXT",
    .heads = {nn::HeadKind::sequence_classification},
    .options = {{"candidate_labels", t::OptionType::names, "the labels to choose from"},
                {"hypothesis_template", t::OptionType::text, "what the model is asked, {} being the label (This example is {}.)"},
                {"multi_label", t::OptionType::boolean, "several labels may fit: each gets a probability of its own"},
                {"multi_class", t::OptionType::boolean, "old name of --multi-label"}},
    .suggestion = "good ones to pull: facebook/bart-large-mnli, MoritzLaurer/deberta-v3-base-zeroshot-v2.0",
    .run = run_zero_shot_classification,
    .show = show_zero_shot_classification};

}  // namespace mynah
