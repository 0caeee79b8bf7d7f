// Prompts of decoders that read pictures or sound beside tokens.
#pragma once
#include <cstdint>
#include <vector>

#include "generate/running.h"
#include "nn/causal_lm.h"

namespace mynah::generation {

// `count` prompts from rows of ids and masks of one length (empty where the media alone say what to answer) and the
// model's other inputs by the reference's names. Throws failure naming what is missing, unknown or does not fit.
std::vector<Prompt> media_prompts(const nn::CausalLM& lm, int64_t count, nn::CausalLM::Rows ids,
                                  nn::CausalLM::Rows mask, const nn::NamedTensors& media);

// One row of GenerateInputs with media, its room for an answer included.
Prompt media_prompt(const nn::CausalLM& lm, const GenerateInputs& inputs, const GenerationConfig& config);

}  // namespace mynah::generation
