// Prompts as decoding takes them, from ids and masks.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "generate/running.h"
#include "nn/seq2seq_lm.h"

namespace mynah::generation {

// The tokens that `mask` [T] does not hide. Throws failure if it hides all of them.
std::vector<int32_t> seen_tokens(std::span<const int32_t> ids, std::span<const int32_t> mask);

// A prompt for an encoder-decoder: `ids` are encoded, the decoder starts with `start`.
Prompt encoded_prompt(const nn::Seq2SeqLM& lm, std::span<const int32_t> ids, std::span<const int32_t> mask, std::vector<int32_t> start);

// The same for one sequence [1, ...] of what such a model reads in place of text.
Prompt encoded_prompt(const nn::Seq2SeqLM& lm, const nn::NamedTensors& media, std::vector<int32_t> start);

// The token that starts an answer. Throws failure if neither the settings nor the model name one.
int32_t decoder_start(const nn::Seq2SeqLM& lm, const GenerationConfig& config);

}  // namespace mynah::generation
