// Answers of a model while it is trained.
#pragma once
#include <functional>
#include <memory>

#include "base/json.h"
#include "bundle/bundle.h"
#include "train/arguments.h"

namespace mynah::train {

// Answers arguments.sample_prompts as `mynah run` would, through the chat template if there is one, with seed arguments.seed:
// [{"prompt", "text"}, ...]. Empty for a model that continues no text.
std::function<Json(const Arguments& arguments)> sampler(const std::shared_ptr<bundle::Bundle>& b);

}  // namespace mynah::train
