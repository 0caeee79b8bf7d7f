// What the commands share that let a chat model answer once about a text.
#pragma once
#include <cstdint>

#include "mynah/generate.h"

namespace mynah::app {

// The model's own settings, but always the likeliest token: the same input gives the same output.
GenerationConfig likeliest_settings(const Model& model, int64_t max_tokens);

// How many tokens a prompt may have so that the model's context holds `answer_tokens` more.
int64_t prompt_room(const Model& model, int64_t answer_tokens);

}  // namespace mynah::app
