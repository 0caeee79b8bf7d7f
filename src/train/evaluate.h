// How well a language model predicts text.
#pragma once
#include <cstdint>
#include <filesystem>

#include "bundle/bundle.h"

namespace mynah::train {

struct TextLoss {
  double nats = 0;      // sum of -log p over scored tokens
  int64_t tokens = 0;   // scored
  int64_t bytes = 0;    // of the text of the scored tokens
};

// Rows with "text", each alone. Without a begin token the first token is not scored. A row longer than the context is scored in
// windows, each after the last token of the one before.
TextLoss text_loss(const bundle::Bundle& b, const std::filesystem::path& file);

// How often the likeliest of a row's choices is the right one, as lm-evaluation-harness scores multiple-choice tasks.
struct ChoiceScores {
  int64_t rows = 0;
  double acc = 0;        // by log-likelihood
  double acc_norm = 0;   // by log-likelihood per character of the choice
  double acc_bytes = 0;  // ... per byte
};

// Rows with "prompt", "choices" (texts) and "label" (the number of the right one). A choice follows the prompt after a blank; the prompt's own
// blanks at its end belong to the choice. What is too long for the context loses its beginning.
ChoiceScores choice_scores(const bundle::Bundle& b, const std::filesystem::path& file);

}  // namespace mynah::train
