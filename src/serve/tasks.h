// A request for a task of Hugging Face's pipelines, answered by the model that its path names.
#pragma once
#include "serve/service.h"

namespace mynah::serve {

// `task`: the path's word; empty: what the model's head does. Reads the request's body, JSON or raw bytes.
void answer_task(Call& call, const std::string& model, const std::string& task);

}  // namespace mynah::serve
