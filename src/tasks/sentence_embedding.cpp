// sentence-embedding: one vector for each text. `mynah embed` is this task.
#include "base/require.h"
#include "tasks/encode.h"
#include "tasks/options.h"
#include "tasks/sentence_encoder.h"

namespace mynah {
namespace {
namespace t = tasks;

std::vector<Json> run_sentence_embedding(const t::OpenTask& task, const std::vector<Json>& inputs, const Json& options) {
  const t::SentenceEncoder encoder(task);
  if (options.contains("prompt") && options.contains("prompt_name")) fail(ErrorCode::usage, "sentence-embedding: give prompt or prompt_name, not both");
  const auto prompt = t::text(options, "prompt");
  std::vector<std::string> texts;
  for (const Json& input : inputs) texts.push_back(t::one_text(task, input));
  std::vector<Json> results;
  for (const auto& vector : encoder.encode(texts, prompt ? *prompt : encoder.prompt(t::text(options, "prompt_name")))) results.emplace_back(vector);
  return results;
}

std::string show_sentence_embedding(const Json&, const Json& result, const t::Style&) { return result.dump() + "\n"; }

}  // namespace

extern const TaskEntry task_sentence_embedding{
    .name = "sentence-embedding",
    .help = "a vector for each text, as sentence-transformers gives it",
    .input = "TEXT",
    .heads = {nn::HeadKind::bare},
    .options = {{"prompt", t::OptionType::text, "stands before every text"},
                {"prompt_name", t::OptionType::text, "one of the model's own prompts: query, passage ..."}},
    .default_model = "minilm",
    .suggestion = "good ones to pull: minilm, BAAI/bge-small-en-v1.5, intfloat/multilingual-e5-small",
    .run = run_sentence_embedding,
    .show = show_sentence_embedding};

}  // namespace mynah
