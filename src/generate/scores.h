// From a row of logits to the next token: the processors and warpers of transformers' generate(), in its order.
#pragma once
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "generate/watermark.h"
#include "mynah/generate.h"

namespace mynah::generation {

constexpr float kNever = -std::numeric_limits<float>::infinity();

// What a sequence looks like when its next token is chosen.
struct Progress {
  std::span<const int32_t> tokens;   // prompt (as given, padding included) and generated so far
  int64_t prompt_length = 0;
  int64_t max_length = 0;            // of prompt and answer
  std::span<const int32_t> encoded;  // what an encoder reads as text; the prompt where there is no encoder
};

class Scorer {
 public:
  // `config` must outlive it.
  Scorer(const GenerationConfig& config, int64_t vocabulary);
  // Changes `scores` [V] in place as the settings ask, sampling's included. `negative`: with guidance, the logits without the
  // prompt. `restrict` comes after the processors and before sampling's filters. Throws failure if the scores are not numbers.
  void process(const Progress& progress, std::span<float> scores, std::span<const float> negative,
               const std::function<void(std::span<float>)>& restrict) const;
  const GenerationConfig& config() const { return config_; }

 private:
  const GenerationConfig& config_;
  std::optional<Watermark> watermark_;
};

// Processors that also act without sampling.
void process(const GenerationConfig& config, const Progress& progress, std::span<float> scores);

// Temperature, top-k, top-p, min-p, typical, epsilon and eta: removed tokens get -infinity; `keep` tokens stay at least.
void warp(const GenerationConfig& config, int64_t keep, std::span<float> scores);

// The index of the largest score, the lowest one on ties; with `do_sample`, a draw from softmax(scores), which depends on (seed,
// stream, position). Throws failure if nothing is left to choose from.
int32_t choose(const GenerationConfig& config, std::span<const float> scores, uint64_t stream, int64_t position);

// Gumbel noise of an alternative: the largest of score + gumbel is a draw from softmax(scores), the n largest are n draws without
// replacement. Alternatives keep their noise whatever the scores are, so that two models tend to draw the same.
float gumbel(uint64_t seed, uint64_t stream, uint64_t position, uint64_t alternative);

// scores = log softmax(scores), in place.
void log_softmax_row(std::span<float> scores);

}  // namespace mynah::generation
