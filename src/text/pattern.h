// What a tokenizer file searches for: a literal text or a regular expression. Well-known expressions run in linear time
// (scanner.h); any other goes through Oniguruma, whose backtracking is bounded.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "text/scanner.h"

namespace mynah::text {

struct Match {
  size_t begin, end;
  bool found;  // false: the text between two matches
};

class Pattern {
 public:
  static Pattern literal(std::string text);
  // Throws failure when the expression is not valid.
  static Pattern regex(const std::string& expression);
  // {"String": ...} or {"Regex": ...}, or a plain string, which is a literal.
  static Pattern from_json(const Json& json);

  // A pattern that matches everywhere has a scanner.
  Scanner scanner() const { return scanner_; }
  // Calls found(begin, end) for every match, left to right, without overlap; empty matches count. Throws failure when
  // an expression needs more steps than its limit allows.
  void each_match(std::string_view text, const std::function<void(size_t, size_t)>& found) const;
  // Matches and what lies between them, in order, together the whole text.
  std::vector<Match> matches(std::string_view text) const;

 private:
  struct Regex;
  std::string text_;
  Scanner scanner_ = nullptr;
  CharacterClass class_ = nullptr;
  std::shared_ptr<const Regex> regex_;
};

}  // namespace mynah::text
