// feature-extraction: the last hidden state of a text's tokens, [1, tokens, channels].
#include "base/require.h"
#include "tasks/encode.h"
#include "tasks/options.h"
#include "tasks/show.h"

namespace mynah {
namespace {
namespace t = tasks;

Json merged_options(const Json& options) {
  Json all = options;
  if (const auto more = options.find("tokenize_kwargs"); more != options.end() && more->is_object())
    for (const auto& [name, value] : more->items()) {
      if (name == "truncation" && options.contains("truncation"))
        fail(ErrorCode::usage, "feature-extraction: truncation is given twice, also in tokenize_kwargs");
      all[name] = value;
    }
  return all;
}

std::vector<Json> run_feature_extraction(const t::OpenTask& task, const std::vector<Json>& inputs, const Json& given) {
  const EncodeOptions options = t::encode_options(merged_options(given));
  std::vector<Encoding> encodings;
  for (const Json& input : inputs) encodings.push_back(t::encode(task, {t::one_text(task, input), std::nullopt}, options));
  std::vector<Json> results(inputs.size());
  t::forward_encodings(task, encodings, [&](size_t row, const nn::NamedTensors& outputs, int64_t place) {
    const Tensor& hidden = t::hidden_states(task, outputs);
    const auto tokens = static_cast<int64_t>(encodings[row].ids.size());
    const std::vector<float> values = t::row_values(hidden, place, tokens);
    const auto width = static_cast<size_t>(hidden.size(2));
    Json rows = Json::array();
    for (size_t i = 0; i < static_cast<size_t>(tokens); ++i)
      rows.push_back(std::vector<float>(values.begin() + static_cast<long>(i * width), values.begin() + static_cast<long>((i + 1) * width)));
    results[row] = Json::array({std::move(rows)});
  });
  return results;
}

std::string show_feature_extraction(const Json& input, const Json& result, const t::Style& style) {
  const Json& rows = result[0];
  std::string out = fmt::format("{}: {} tokens, {} numbers each\n", t::emphasised(input.get<std::string>(), style), rows.size(), rows[0].size());
  for (const Json& row : rows) {
    out += " ";
    for (size_t i = 0; i < std::min<size_t>(row.size(), 6); ++i) out += fmt::format(" {:9.4f}", row[i].get<double>());
    out += row.size() > 6 ? " ...\n" : "\n";
  }
  return out;
}

}  // namespace

extern const TaskEntry task_feature_extraction{
    .name = "feature-extraction",
    .help = "the hidden state of every token",
    .input = "TEXT",
    .heads = {nn::HeadKind::bare},
    .options = {{"truncation", t::OptionType::json, "cut texts that are too long: true, false or a strategy"},
                {"max_length", t::OptionType::integer, "most tokens of a text"},
                {"tokenize_kwargs", t::OptionType::json, "arguments of the tokenizer: {\"max_length\": 64, ...}"},
                {"return_tensors", t::OptionType::boolean, "accepted: numbers are the only output"}},
    .default_model = "minilm",
    .suggestion = "any encoder will do, minilm for one",
    .run = run_feature_extraction,
    .show = show_feature_extraction};

}  // namespace mynah
