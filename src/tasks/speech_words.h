// Tokens into the words of a text, with the punctuation around them.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mynah/tokenizer.h"

namespace mynah::tasks {

struct TokenWord {
  std::string text;
  std::vector<size_t> tokens;  // their places
};

// `language`: its name; some are not written with spaces, and their words are characters.
std::vector<TokenWord> words_of(const Tokenizer& tokenizer, const std::vector<int32_t>& tokens, std::string_view language);

}  // namespace mynah::tasks
