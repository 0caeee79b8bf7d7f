// document-question-answering: a question about a page, asked of a model that reads pages without OCR (Donut).
#include "base/require.h"
#include "mynah/json.h"
#include "tasks/image_text.h"
#include "tasks/options.h"
#include "tasks/pictures.h"

namespace mynah {
namespace {
namespace t = tasks;

constexpr std::string_view kBegin = "<s_answer>", kEnd = "</s_answer>";

// What stands between the marks of an answer; null without them.
Json answer_in(std::string text, const Tokenizer& tokenizer) {
  for (const std::optional<int32_t> id : {tokenizer.eos_id(), tokenizer.pad_id()}) {
    const std::string token = id ? tokenizer.token_text(*id) : "";
    for (size_t at; !token.empty() && (at = text.find(token)) != std::string::npos;) text.erase(at, token.size());
  }
  // The first mark says what the model was asked to do.
  const size_t open = text.find('<'), close = text.find('>', open);
  if (open != std::string::npos && close != std::string::npos) text.erase(open, close - open + 1);
  const size_t begin = text.find(kBegin), end = text.rfind(kEnd);
  if (begin == std::string::npos || end == std::string::npos || end < begin + kBegin.size()) return nullptr;
  return t::trimmed(text.substr(begin + kBegin.size(), end - begin - kBegin.size()));
}

std::vector<Json> run_document_question_answering(const t::OpenTask& task, const std::vector<Json>& inputs, const Json& options) {
  const GenerationConfig config = t::answer_config(task, options);
  const bundle::TextImageProcessor processor(task.bundle().path, task.bundle().tokenizer);
  std::vector<Json> results;
  for (const Json& input : inputs) {
    const std::string prompt = "<s_docvqa><s_question>" + t::question_of(task, input) + "</s_question><s_answer>";
    const media::Image picture = t::read_picture(task, input["image"], processor.alpha());
    GenerateInputs asked = generation::as_inputs(processor({}, {&picture, 1}));
    asked.decoder_input_ids = {task.tokenizer().encode_ids(prompt, false)};
    const auto sequences = generate(task.model, asked, config).sequences;
    results.push_back(Json::array({{{"answer", answer_in(task.tokenizer().decode(sequences.at(0), false), task.tokenizer())}}}));
  }
  return results;
}

}  // namespace

extern const TaskEntry task_document_question_answering{
    .name = "document-question-answering",
    .help = "a question about a page",
    .input = "PICTURE",
    .reads_json = t::is_picture_question,
    .heads = {nn::HeadKind::image_text},
    .options = {{"question", t::OptionType::texts, "what is asked"},
                t::kImageOption,
                t::kTimeoutOption},
    .generates = true,
    .suggestion = "good ones to pull: naver-clova-ix/donut-base-finetuned-docvqa",
    .run = run_document_question_answering,
    .inputs = t::picture_questions,
    .show = t::show_picture_answers,
    .medium = t::Medium::picture};

}  // namespace mynah
