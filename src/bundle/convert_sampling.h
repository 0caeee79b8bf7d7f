// Generation settings between generation_config.json and the general.sampling.* keys of GGUF.
#pragma once
#include <string>

#include "base/json.h"
#include "formats/gguf.h"

namespace mynah::bundle {

// Writes what GGUF has keys for, such that sampling_of gives it back; warns of the settings that get lost. A model that does not
// sample is written with temperature 0 if it says anything about sampling.
void sampling_to_gguf(const Json& generation_config, const std::string& where, formats::GgufWriter* writer);

// The reverse: do_sample, temperature, top_k, top_p, min_p and repetition_penalty, those that the file gives. A file that says how
// to sample means sampling, unless its temperature is 0.
Json sampling_of(const formats::GgufFile& file);

}  // namespace mynah::bundle
