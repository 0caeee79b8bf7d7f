// sentence-similarity: how near other sentences are to one, by the cosine of their vectors.
#include "base/require.h"
#include "tasks/options.h"
#include "tasks/sentence_encoder.h"
#include "tasks/show.h"

namespace mynah {
namespace {
namespace t = tasks;

bool sentence_similarity_is_question(const Json& value) {
  return value.is_object() && value.contains("source_sentence") && value["source_sentence"].is_string() && value.contains("sentences") && value["sentences"].is_array();
}

std::vector<Json> run_sentence_similarity(const t::OpenTask& task, const std::vector<Json>& inputs, const Json& options) {
  const t::SentenceEncoder encoder(task);
  const std::string prompt = encoder.prompt(t::text(options, "prompt_name"));
  std::vector<Json> results;
  for (const Json& input : inputs) {
    std::vector<std::string> texts{input["source_sentence"].get<std::string>()};
    for (const Json& sentence : input["sentences"]) {
      if (!sentence.is_string()) fail(ErrorCode::failure, "sentence-similarity: a sentence is {}, expected a text", sentence.dump());
      texts.push_back(sentence.get<std::string>());
    }
    const auto vectors = encoder.encode(texts, prompt);
    Json scores = Json::array();
    for (size_t i = 1; i < vectors.size(); ++i) scores.push_back(t::cosine(vectors[0], vectors[i]));
    results.push_back(std::move(scores));
  }
  return results;
}

// Either objects of a source sentence and the others, or the sentences alone, the source among the options or the first of them.
std::vector<Json> sentence_similarity_listed(const Json& given, const Json& options, bool* one) {
  const auto source = t::text(options, "source_sentence");
  const std::vector<Json> all = given.is_array() ? given.get<std::vector<Json>>() : given.is_null() ? std::vector<Json>() : std::vector<Json>{given};
  *one = !given.is_array() || all.empty() || !sentence_similarity_is_question(all[0]);
  if (!source && !all.empty() && sentence_similarity_is_question(all[0])) {
    for (const Json& question : all)
      if (!sentence_similarity_is_question(question)) fail(ErrorCode::failure, "sentence-similarity: an input is {}, expected source_sentence and sentences", question.dump());
    return all;
  }
  if (all.size() + (source ? 1 : 0) < 2) fail(ErrorCode::usage, "sentence-similarity: give a source sentence and at least one other");
  Json question = {{"source_sentence", source ? Json(*source) : all[0]}, {"sentences", std::vector<Json>(all.begin() + (source ? 0 : 1), all.end())}};
  if (!sentence_similarity_is_question(question)) fail(ErrorCode::failure, "sentence-similarity: an input is {}, expected a text", all[0].dump());
  return {std::move(question)};
}

std::string show_sentence_similarity(const Json& input, const Json& result, const t::Style& style) {
  std::vector<t::ScoreRow> rows;
  for (size_t i = 0; i < result.size(); ++i) rows.push_back({result[i].get<double>(), input["sentences"][i].get<std::string>()});
  return t::emphasised(input["source_sentence"].get<std::string>(), style) + "\n" + t::score_table(rows, style);
}

}  // namespace

extern const TaskEntry task_sentence_similarity{
    .name = "sentence-similarity",
    .help = "how near sentences are to one of them",
    .input = "SENTENCES, the first one the source unless --source-sentence names it",
    .reads_json = sentence_similarity_is_question,
    .heads = {nn::HeadKind::bare},
    .options = {{"source_sentence", t::OptionType::text, "what the others are compared with"},
                {"prompt_name", t::OptionType::text, "one of the model's own prompts"}},
    .default_model = "minilm",
    .suggestion = "good ones to pull: minilm, BAAI/bge-small-en-v1.5",
    .run = run_sentence_similarity,
    .inputs = sentence_similarity_listed,
    .show = show_sentence_similarity};

}  // namespace mynah
