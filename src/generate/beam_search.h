// Beam search and beam sampling, with transformers' rules for which beams go on, which are finished and when to stop.
#pragma once
#include <vector>

#include "generate/running.h"

namespace mynah::generation {

struct FinishedBeam {
  std::vector<int32_t> tokens;  // prompt and answer
  float score = 0;              // sum of log-probabilities / length^length_penalty
  double log_probability = 0;   // if asked for: Running's
};

// For each prompt, its config.num_return_sequences best answers, the best first.
std::vector<std::vector<FinishedBeam>> beam_search(Run& run, std::span<const Prompt> prompts);

}  // namespace mynah::generation
