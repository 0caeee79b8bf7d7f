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

}  // namespace mynah::tasks
