// Rotary position embedding between config.json and GGUF: metadata keys for the types that have them, rope_freqs.weight
// for those that are nothing but a divisor for each frequency.
#pragma once
#include <span>
#include <vector>

#include "base/json.h"

namespace mynah::nn {

// "rope.scaling.*" and their values, without the architecture. Throws failure for a type that GGUF cannot say (dynamic,
// longrope, yarn without truncation).
Json rope_metadata(const Json& config, int64_t head_dim);
// The reverse: rope_scaling of a config.json, null for none.
Json rope_scaling_of(const Json& metadata);

// By what each frequency [R/2] is divided, for the types without keys (llama3); empty for the others.
std::vector<float> rope_divisors(const Json& config, int64_t head_dim);
// The reverse: rope_scaling of type llama3 when one gives these divisors, else of type longrope, which can hold any.
Json rope_scaling_of(std::span<const float> divisors, const Json& config, int64_t head_dim);

}  // namespace mynah::nn
