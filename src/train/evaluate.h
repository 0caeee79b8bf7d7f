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

}  // namespace mynah::train
