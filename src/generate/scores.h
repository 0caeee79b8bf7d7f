// From a row of logits to the next token: the processors and warpers of transformers' generate(), in its order.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "mynah/generate.h"

namespace mynah::generation {

// What a sequence looks like when its next token is chosen.
struct Progress {
  std::span<const int32_t> tokens;  // prompt and generated so far
  int64_t prompt_length = 0;
  int64_t max_length = 0;           // of prompt and answer
};

// Changes `scores` [V] in place as the settings ask (everything that also acts without sampling).
void process(const GenerationConfig& config, const Progress& progress, std::span<float> scores);

// Temperature, top-k, top-p, min-p, typical, epsilon and eta: removed tokens get -infinity.
void warp(const GenerationConfig& config, std::span<float> scores);

// The next token: the largest score, or a draw. `stream` is the sequence's index; the draw depends on (seed, stream, position).
int32_t choose(const GenerationConfig& config, const Progress& progress, std::span<float> scores, uint64_t stream);

}  // namespace mynah::generation
