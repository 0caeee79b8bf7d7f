// visual-question-answering: a question about a picture.
#include "base/require.h"
#include "tasks/image_text.h"
#include "tasks/options.h"
#include "tasks/pictures.h"
#include "tasks/show.h"

namespace mynah {
namespace {
namespace t = tasks;

std::string trimmed(const std::string& text) {
  constexpr const char* kBlanks = " \t\n\r\f\v";
  const size_t first = text.find_first_not_of(kBlanks);
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

// {"image", "question"} objects, or pictures with the option "question": every question about every picture.
std::vector<Json> asked(const Json& inputs, const Json& options, bool* one) {
  const bool objects = inputs.is_object() || (inputs.is_array() && !inputs.empty() && inputs[0].is_object());
  if (objects) {
    *one = inputs.is_object();
    return *one ? std::vector<Json>{inputs} : inputs.get<std::vector<Json>>();
  }
  bool one_picture = false;
  const std::vector<Json> pictures = t::picture_inputs(inputs, options, &one_picture);
  const std::vector<std::string> questions = t::texts(options, "question");
  if (questions.empty()) fail(ErrorCode::usage, "visual-question-answering: give a question with --question");
  *one = one_picture && questions.size() == 1;
  std::vector<Json> all;
  for (const std::string& question : questions)
    for (const Json& picture : pictures) all.push_back({{"image", picture}, {"question", question}});
  return all;
}

std::vector<Json> run(const t::OpenTask& task, const std::vector<Json>& inputs, const Json&) {
  const GenerationConfig config =
      t::answer_config(task, Json::object());  // the reference's pipeline passes no settings on
  const bundle::TextImageProcessor processor(task.bundle().path, task.bundle().tokenizer);
  std::vector<Json> results;
  for (const Json& input : inputs) {
    if (!input.is_object() || !input.contains("image") || !input.contains("question") || !input["question"].is_string())
      fail(ErrorCode::failure,
           "visual-question-answering: an input is {}, expected {{\"image\": PICTURE, \"question\": TEXT}}",
           input.dump());
    const media::Image picture = t::read_picture(task, input["image"], processor.alpha());
    Json records = Json::array();
    for (const auto& sequence :
         generate(task.model, generation::as_inputs(processor({input["question"].get<std::string>()}, {&picture, 1})),
                  config)
             .sequences)
      records.push_back({{"answer", trimmed(task.tokenizer().decode(sequence))}});
    results.push_back(std::move(records));
  }
  return results;
}

std::string show(const Json& input, const Json& result, const t::Style& style) {
  std::string text = input.is_object() ? t::emphasised(input.value("question", ""), style) + "\n" : "";
  for (const Json& record : result) text += record["answer"].get<std::string>() + "\n";
  return text;
}

bool is_question(const Json& value) {
  return value.is_object() && value.contains("image") && value.contains("question");
}

}  // namespace

extern const TaskEntry task_visual_question_answering{
    .name = "visual-question-answering",
    .aliases = {"vqa"},
    .help = "a question about a picture",
    .input = "PICTURE",
    .reads_json = is_question,
    .heads = {nn::HeadKind::image_text},
    .options = {{"question", t::OptionType::texts, "what is asked"},
                t::kImageOption,
                {"padding", t::OptionType::json, "accepted: questions go one by one"},
                {"truncation", t::OptionType::json, "accepted: questions are taken whole"},
                t::kTimeoutOption},
    .generates = true,
    .suggestion = "good ones to pull: Salesforce/blip-vqa-base",
    .run = run,
    .inputs = asked,
    .show = show,
    .medium = t::Medium::picture};

}  // namespace mynah
