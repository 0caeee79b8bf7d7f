#include "tasks/image_text.h"

#include "base/require.h"
#include "generate/config.h"
#include "tasks/options.h"
#include "tasks/pictures.h"
#include "tasks/show.h"

namespace mynah::tasks {

GenerationConfig answer_config(const OpenTask& task, const Json& options) {
  require(task.bundle().tokenizer != nullptr, "{}: the model comes without a tokenizer", task.entry->name);
  GenerationConfig c = generation_defaults(task.model);
  if (!c.max_length || *c.max_length == 20) c.max_new_tokens = 256;
  generation::apply(generation_settings(*task.entry, options), &c, true);
  return c;
}

std::vector<Json> picture_questions(const Json& inputs, const Json& options, bool* one) {
  const bool objects = inputs.is_object() || (inputs.is_array() && !inputs.empty() && inputs[0].is_object());
  if (objects) {
    *one = inputs.is_object();
    return *one ? std::vector<Json>{inputs} : inputs.get<std::vector<Json>>();
  }
  bool one_picture = false;
  const std::vector<Json> pictures = picture_inputs(inputs, options, &one_picture);
  const std::vector<std::string> questions = texts(options, "question");
  if (questions.empty()) fail(ErrorCode::usage, "give a question with --question");
  *one = one_picture && questions.size() == 1;
  std::vector<Json> all;
  for (const std::string& question : questions)
    for (const Json& picture : pictures) all.push_back({{"image", picture}, {"question", question}});
  return all;
}

bool is_picture_question(const Json& value) { return value.is_object() && value.contains("image") && value.contains("question"); }

std::string question_of(const OpenTask& task, const Json& input) {
  if (!is_picture_question(input) || !input["question"].is_string())
    fail(ErrorCode::failure, "{}: an input is {}, expected {{\"image\": PICTURE, \"question\": TEXT}}", task.entry->name, input.dump());
  return input["question"].get<std::string>();
}

std::string show_picture_answers(const Json& input, const Json& result, const Style& style) {
  std::string text = input.is_object() ? emphasised(input.value("question", ""), style) + "\n" : "";
  for (const Json& record : result) text += (record["answer"].is_null() ? "(no answer)" : record["answer"].get<std::string>()) + "\n";
  return text;
}

std::string trimmed(const std::string& text) {
  constexpr const char* kBlanks = " \t\n\r\f\v";
  const size_t first = text.find_first_not_of(kBlanks);
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

}  // namespace mynah::tasks
