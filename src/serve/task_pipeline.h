// The tasks of `mynah pipeline` in the shapes of Hugging Face's Inference API.
#pragma once
#include <string>

#include "serve/service.h"

namespace mynah::serve {

// The task that a model is made for by its head: one of the table's names.
std::string task_of_head(const LoadedModel& model, const Json& parameters);

// Answers `task` (a name or alias of the table) with the loaded model. `body` is the request's object; null when the
// body is the bytes of a picture or a sound. Throws ApiError 404 for an unknown task, 400 for inputs and options that
// are not the task's.
void answer_pipeline(Call& call, LoadedModel& model, const std::string& task, const Json& body);

// The model opened for a task, kept with it. Throws ApiError 404 for an unknown task, 400 for a model that does not
// fit.
std::shared_ptr<const tasks::OpenTask> task_of(LoadedModel& model, const std::string& task);
// The pipeline's own answer to inputs and options that are made here. Throws ApiError 400 for what the task says about
// them.
Json run_pipeline(const Call& call, LoadedModel& model, const std::string& task, const Json& inputs, const Json& options);

}  // namespace mynah::serve
