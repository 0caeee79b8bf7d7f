// text-ranking: texts in the order in which they answer a query, by a cross-encoder that reads both together.
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

bool text_ranking_is_question(const Json& value) {
  return value.is_object() && value.contains("query") && value["query"].is_string() && value.contains("texts") && value["texts"].is_array();
}

// Scores are in 0..1 unless the model or the caller wants them as they come.
bool raw_scores(const t::OpenTask& task, const Json& options) {
  if (t::has(options, "raw_scores")) return t::boolean(options, "raw_scores", false);
  const Json& config = task.bundle().config;
  std::string function = nn::config_string(config, "sbert_ce_default_activation_function", "");
  if (const auto own = config.find("sentence_transformers"); own != config.end() && own->is_object()) function = nn::config_string(*own, "activation_fn", function);
  return function.find("Identity") != std::string::npos;
}

std::vector<Json> run_text_ranking(const t::OpenTask& task, const std::vector<Json>& inputs, const Json& options) {
  EncodeOptions cut;
  if (task.tokenizer().model_max_length()) cut.truncation = Truncation::longest_first;
  const bool raw = raw_scores(task, options);
  std::vector<Json> results;
  for (const Json& input : inputs) {
    std::vector<Encoding> encodings;
    for (const Json& text : input["texts"]) {
      if (!text.is_string()) fail(ErrorCode::failure, "text-ranking: a text is {}, expected a text", text.dump());
      encodings.push_back(t::encode(task, {input["query"].get<std::string>(), text.get<std::string>()}, cut));
    }
    std::vector<float> scores(encodings.size());
    t::forward_encodings(task, encodings, [&](size_t row, const nn::NamedTensors& outputs, int64_t place) {
      const std::vector<float> logits = t::row_values(outputs.at("logits"), place);
      require(logits.size() == 1, "text-ranking: the model has {} labels, expected one score; {}", logits.size(), task.entry->suggestion);
      scores[row] = raw ? logits[0] : 1 / (1 + std::exp(-logits[0]));
    });
    Json ranks = Json::array();
    for (const size_t i : t::largest(scores, static_cast<size_t>(t::integer(options, "top_k", INT64_MAX, 1)))) {
      ranks.push_back({{"index", i}, {"score", scores[i]}});
      if (t::boolean(options, "return_text", false)) ranks.back()["text"] = input["texts"][i];
    }
    results.push_back(std::move(ranks));
  }
  return results;
}

std::vector<Json> text_ranking_listed(const Json& given, const Json& options, bool* one) {
  const auto query = t::text(options, "query");
  std::vector<Json> all = given.is_array() ? given.get<std::vector<Json>>() : given.is_null() ? std::vector<Json>() : std::vector<Json>{given};
  *one = query.has_value() || !given.is_array();
  if (query) {
    if (all.empty()) fail(ErrorCode::usage, "text-ranking: give the texts to rank");
    return {Json{{"query", *query}, {"texts", std::move(all)}}};
  }
  if (all.empty() || !std::all_of(all.begin(), all.end(), text_ranking_is_question)) fail(ErrorCode::usage, "text-ranking: query is needed, and the texts to rank");
  return all;
}

std::string show_text_ranking(const Json& input, const Json& result, const t::Style& style) {
  std::vector<t::ScoreRow> rows;
  for (const Json& rank : result) rows.push_back({rank["score"].get<double>(), input["texts"][rank["index"].get<size_t>()].get<std::string>()});
  return t::emphasised(input["query"].get<std::string>(), style) + "\n" + t::score_table(rows, style);
}

}  // namespace

extern const TaskEntry task_text_ranking{
    .name = "text-ranking",
    .aliases = {"rerank"},
    .help = "which texts answer a query best",
    .input = "TEXTS with --query",
    .reads_json = text_ranking_is_question,
    .heads = {nn::HeadKind::sequence_classification},
    .options = {{"query", t::OptionType::text, "what is asked"},
                {"top_k", t::OptionType::integer, "so many of the best (all)"},
                {"raw_scores", t::OptionType::boolean, "scores as the model gives them, not in 0..1"},
                {"return_text", t::OptionType::boolean, "add each text to its rank"}},
    .suggestion = "good ones to pull: cross-encoder/ms-marco-MiniLM-L6-v2, BAAI/bge-reranker-base",
    .run = run_text_ranking,
    .inputs = text_ranking_listed,
    .show = show_text_ranking};

}  // namespace mynah
