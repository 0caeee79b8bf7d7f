// Regular expressions as grammars: | ( ) (?: ) [ ] . * + ? {m,n}, \d \w \s and their opposites, \n \t \r \f \v \xHH \uHHHH.
#pragma once
#include <string_view>

#include "text/grammar.h"

namespace mynah::text {

// The whole text matches `pattern`; ^ at its beginning and $ at its end say nothing. `in_json`: the characters stand inside a JSON
// string, escaped where they must be. Throws usage for what is not known, naming it.
Grammar::Expression regular_expression(Grammar& grammar, std::string_view pattern, bool in_json = false);

// A character of these ranges inside a JSON string, as itself or escaped.
Grammar::Expression json_characters(Grammar& grammar, const std::vector<std::pair<char32_t, char32_t>>& ranges);

}  // namespace mynah::text
