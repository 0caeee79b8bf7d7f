// What tasks share that answer pictures with text.
#pragma once
#include <string>
#include <vector>

#include "bundle/text_image_processor.h"
#include "generate/picture_chat.h"
#include "tasks/task_entry.h"

namespace mynah::tasks {

// The model's settings, the pipeline's 256 new tokens where the model names no length of its own, and the caller's.
GenerationConfig answer_config(const OpenTask& task, const Json& options);

// Questions about pictures: {"image", "question"} objects, or pictures with the option "question", every question about every picture.
std::vector<Json> picture_questions(const Json& inputs, const Json& options, bool* one);
bool is_picture_question(const Json& value);
// The question of such an object; throws failure for anything else.
std::string question_of(const OpenTask& task, const Json& input);
// [{"answer"}, ...] for people.
std::string show_picture_answers(const Json& input, const Json& result, const Style& style);
// Without blanks at both ends.
std::string trimmed(const std::string& text);

}  // namespace mynah::tasks
