// Linear-time matchers for the splitting patterns of well-known tokenizers. Each pattern matches at every position, so
// a scanner is one function: from the beginning of a match to its end.
#pragma once
#include <cstddef>
#include <string_view>

namespace mynah::text {

// The end of the match that begins at `at`; at < text.size(), the result is greater than `at`. `text` is valid UTF-8.
using Scanner = size_t (*)(std::string_view text, size_t at);

// GPT-2: contractions in lower case, " ?" before runs of letters, numbers or other characters, white space.
size_t scan_gpt2(std::string_view text, size_t at);

// For an expression that matches any one character of a class: the class. Null for any other.
using CharacterClass = bool (*)(char32_t code);
CharacterClass known_class(std::string_view pattern);

// The scanner for a regular expression that is known by its exact text, null for any other.
Scanner known_scanner(std::string_view pattern);

}  // namespace mynah::text
