// The likeliest text of frames that a CTC head labelled, over all alignments, by prefix beam search (Graves et al., ICML 2006;
// Hannun et al., arXiv:1408.2873), with the chances of words from an n-gram model if there is one.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "text/ngram.h"

namespace mynah::tasks {

struct CtcBeamSettings {
  int64_t beam_width = 100;
  double token_min_logp = -5;    // tokens below it are not tried, but the likeliest of a frame
  double beam_prune_logp = -10;  // beams so much worse than the best are dropped
  std::shared_ptr<const text::NgramModel> language_model;
  double alpha = 0.5, beta = 1.5;   // weight of the words' log-probabilities; what each word adds
  double unknown_offset = -10;      // for a word that the model does not know
};

// What the vocabulary's tokens say.
struct CtcAlphabet {
  std::vector<std::string> tokens;
  int32_t blank = 0, delimiter = -1;  // delimiter: between words; -1: none
};

struct CtcToken {
  int32_t token;
  int64_t begin, end;  // frames of the best alignment
};
struct CtcBeam {
  std::vector<CtcToken> tokens;
  double log_probability = 0;  // of the text over all alignments
  double score = 0;            // with the words'
};

// log_probs [frames][tokens]. The best beams, best first, at most `most`.
std::vector<CtcBeam> ctc_beams(std::span<const float> log_probs, const CtcAlphabet& alphabet, const CtcBeamSettings& settings, size_t most = 1);

}  // namespace mynah::tasks
