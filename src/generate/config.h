// GenerationConfig from JSON (generation_config.json, command-line values).
#pragma once
#include <string>

#include "base/json.h"
#include "mynah/generate.h"

namespace mynah::generation {

// Sets fields by their GenerationConfig names; null is skipped. Unknown names are ignored in a model's file (`strict` false) and
// refused otherwise. Throws usage for a value of the wrong type or out of range, naming it.
void apply(const Json& settings, GenerationConfig* config, bool strict);

}  // namespace mynah::generation
