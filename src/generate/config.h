// GenerationConfig from JSON (generation_config.json, command-line values).
#pragma once
#include <string>

#include "base/json.h"
#include "mynah/generate.h"

namespace mynah::generation {

// Sets fields by their GenerationConfig names; null is skipped. Unknown names are ignored in a model's file (`strict` false) and
// refused otherwise. Throws usage for a value of the wrong type or out of range, naming it.
void apply(const Json& settings, GenerationConfig* config, bool strict);

// Throws usage, naming what it found, for settings that contradict each other.
void check(const GenerationConfig& config);

// The most tokens of prompt and answer, for a prompt of `prompt` tokens and a model of `context` positions (0: unlimited).
// Throws failure for a prompt that leaves no room.
int64_t length_limit(const GenerationConfig& config, int64_t prompt, int64_t context);

}  // namespace mynah::generation
