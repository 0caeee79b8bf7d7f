// The names under tokenizer.ggml.pre and the regular expressions of tokenizer.json that mean the same.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace mynah::bundle {

// The name for a byte-level tokenizer that cuts at each match of these expressions in turn; empty when none is known.
// Several names differ in `ignore_merges` alone (a word that is a token is that token).
std::string find_pre_name(const std::vector<std::string>& expressions, bool ignore_merges);

// What the expression says with \x{NNNN} written as the character itself, as tokenizer.json files do.
std::string with_literal_characters(std::string_view expression);

}  // namespace mynah::bundle
