#include "tasks/tapex.h"

#include "base/unicode.h"
#include "mynah/generate.h"
#include "nn/config.h"
#include "tasks/encode.h"

namespace mynah::tasks {

bool is_tapex(const OpenTask& task) { return nn::config_string(task.tokenizer_config, "tokenizer_class", "").starts_with("Tapex"); }

std::string tapex_text(const OpenTask& task, const text::Table& table, const std::string& query) {
  const auto most = static_cast<size_t>(nn::config_int(task.tokenizer_config, "max_cell_length", 15));
  const bool lower = nn::config_bool(task.tokenizer_config, "do_lower_case", true);
  const auto cased = [lower](const std::string& text) { return lower ? unicode::to_lower(text) : text; };
  const auto cut = [&](const std::string& cell) {
    if (unicode::stripped(cell).empty()) return cell;
    std::vector<int32_t> ids = task.tokenizer().encode_ids(cased(cell), false);
    if (ids.size() < most) return cell;
    ids.resize(most);
    return task.tokenizer().decode(ids, false, false);
  };
  std::string text = query + " col : ";
  for (size_t i = 0; i < table.columns.size(); ++i) text += (i ? " | " : "") + table.columns[i];
  for (size_t row = 0; row < table.cells.size(); ++row) {
    text += " row " + std::to_string(row + 1) + " : ";
    for (size_t i = 0; i < table.columns.size(); ++i) text += (i ? " | " : "") + cut(table.cells[row][i]);
  }
  const std::string out = cased(text);
  return out.substr(0, static_cast<size_t>(unicode::stripped(out).end() - std::string_view(out).begin()));
}

std::vector<Json> tapex_answers(const OpenTask& task, const text::Table& table, const std::vector<std::string>& queries, const Json& options) {
  GenerationConfig config = generation_defaults(task.model);
  if (!config.max_length || *config.max_length == 20) config.max_new_tokens = 256;
  EncodeOptions how;
  if (options.contains("truncation")) how = encode_options({{"truncation", options["truncation"]}});
  std::vector<Json> answers;
  for (const std::string& query : queries) {
    GenerateInputs in;
    in.input_ids = {encode(task, {tapex_text(task, table, query), {}}, how).ids};
    in.attention_mask = {std::vector<int32_t>(in.input_ids[0].size(), 1)};
    answers.push_back({{"answer", task.tokenizer().decode(generate(task.model, in, config).sequences.at(0))}});
  }
  return answers;
}

}  // namespace mynah::tasks
