#include "text/grammar_regex.h"

#include <algorithm>

#include "base/require.h"
#include "base/unicode.h"

namespace mynah::text {
namespace {

using Expression = Grammar::Expression;
using Ranges = std::vector<std::pair<char32_t, char32_t>>;

constexpr char32_t kLast = 0x10FFFF;

Ranges opposite(Ranges ranges) {
  std::sort(ranges.begin(), ranges.end());
  Ranges out;
  char32_t next = 0;
  for (const auto& [first, last] : ranges) {
    if (first > next) out.emplace_back(next, first - 1);
    next = std::max<char32_t>(next, last + 1);
  }
  if (next <= kLast) out.emplace_back(next, kLast);
  return out;
}

class Parser {
 public:
  Parser(Grammar& grammar, std::string_view pattern, bool in_json) : grammar_(grammar), shown_(pattern), in_json_(in_json) {
    for (size_t i = 0; i < pattern.size();) {
      const auto c = unicode::decode_any(pattern, i);
      pattern_ += c.code;
      i += c.size;
    }
  }

  Expression parse() {
    if (peek() == U'^') ++at_;
    if (!pattern_.empty() && pattern_.back() == U'$' && !(pattern_.size() > 1 && pattern_[pattern_.size() - 2] == U'\\')) pattern_.pop_back();
    const Expression all = alternatives(0);
    if (at_ < pattern_.size()) wrong("a ) without its (");
    return all;
  }

 private:
  static constexpr char32_t kEnd = 0xFFFFFFFF;
  char32_t peek() const { return at_ < pattern_.size() ? pattern_[at_] : kEnd; }
  char32_t take() { return at_ < pattern_.size() ? pattern_[at_++] : kEnd; }
  [[noreturn]] void wrong(std::string_view what) const { fail(ErrorCode::usage, "regular expression \"{}\": character {}: {}", shown_, at_, what); }

  Expression alternatives(int depth) {
    if (depth > 200) wrong("too deeply nested");
    std::vector<Expression> all = {terms(depth)};
    while (peek() == U'|') {
      ++at_;
      all.push_back(terms(depth));
    }
    return grammar_.either(all);
  }

  Expression terms(int depth) {
    std::vector<Expression> all;
    while (peek() != kEnd && peek() != U'|' && peek() != U')') all.push_back(times(atom(depth)));
    return grammar_.sequence(all);
  }

  Expression atom(int depth) {
    const char32_t c = take();
    if (c == U'(') {
      if (peek() == U'?') {
        ++at_;
        if (take() != U':') wrong("only (?: of the groups that begin with (? is known");
      }
      const Expression inner = alternatives(depth + 1);
      if (take() != U')') wrong("a ( without its )");
      return inner;
    }
    if (c == U'[') return characters(set());
    if (c == U'.') return characters(opposite({{U'\n', U'\n'}}));
    if (c == U'\\') return characters(escape());
    if (c == U'*' || c == U'+' || c == U'?' || c == U'{' || c == U'^' || c == U'$') wrong("nothing to repeat, or an anchor in the middle");
    return characters({{c, c}});
  }

  Expression times(Expression part) {
    for (;;) {
      const char32_t c = peek();
      if (c == U'*') part = grammar_.repeat(part, 0, -1);
      else if (c == U'+') part = grammar_.repeat(part, 1, -1);
      else if (c == U'?') part = grammar_.optional(part);
      else if (c == U'{') {
        part = counted(part);
        continue;
      } else return part;
      ++at_;
    }
  }

  Expression counted(Expression part) {
    ++at_;
    const int64_t least = peek() == U',' ? 0 : number();
    int64_t most = least;
    if (peek() == U',') {
      ++at_;
      most = peek() == U'}' ? -1 : number();
    }
    if (take() != U'}' || (most >= 0 && most < least)) wrong("expected {m}, {m,} or {m,n}");
    return grammar_.repeat(part, least, most);
  }

  int64_t number() {
    int64_t n = 0;
    const size_t first = at_;
    while (peek() >= U'0' && peek() <= U'9' && at_ < first + 6) n = n * 10 + static_cast<int64_t>(take() - U'0');
    if (at_ == first) wrong("expected a number");
    return n;
  }

  Ranges set() {
    Ranges ranges;
    const bool negated = peek() == U'^';
    if (negated) ++at_;
    for (bool first = true; first || peek() != U']'; first = false) {
      if (peek() == kEnd) wrong("a [ without its ]");
      const char32_t c = take();
      Ranges one = c == U'\\' ? escape() : Ranges{{c, c}};
      const bool range = one.size() == 1 && one[0].first == one[0].second && peek() == U'-' && at_ + 1 < pattern_.size() && pattern_[at_ + 1] != U']';
      if (range) {
        ++at_;
        const char32_t d = take();
        const Ranges end = d == U'\\' ? escape() : Ranges{{d, d}};
        if (end.size() != 1 || end[0].first < one[0].first) wrong("a range that ends before it begins");
        one[0].second = end[0].first;
      }
      ranges.insert(ranges.end(), one.begin(), one.end());
    }
    ++at_;
    return negated ? opposite(ranges) : ranges;
  }

  char32_t hexadecimal(int digits) {
    char32_t code = 0;
    for (int i = 0; i < digits; ++i) {
      const char32_t c = take();
      if (c >= U'0' && c <= U'9') code = code * 16 + (c - U'0');
      else if ((c | 32) >= U'a' && (c | 32) <= U'f') code = code * 16 + ((c | 32) - U'a' + 10);
      else wrong("expected hexadecimal digits");
    }
    return code;
  }

  // What stands after a backslash.
  Ranges escape() {
    const Ranges digit = {{U'0', U'9'}}, word = {{U'0', U'9'}, {U'A', U'Z'}, {U'_', U'_'}, {U'a', U'z'}}, space = {{U'\t', U'\r'}, {U' ', U' '}};
    const char32_t c = take();
    switch (c) {
      case U'd': return digit;
      case U'D': return opposite(digit);
      case U'w': return word;
      case U'W': return opposite(word);
      case U's': return space;
      case U'S': return opposite(space);
      case U'n': return {{U'\n', U'\n'}};
      case U't': return {{U'\t', U'\t'}};
      case U'r': return {{U'\r', U'\r'}};
      case U'f': return {{U'\f', U'\f'}};
      case U'v': return {{U'\v', U'\v'}};
      case U'x':
      case U'u': {
        const char32_t code = hexadecimal(c == U'x' ? 2 : 4);
        return {{code, code}};
      }
      default: break;
    }
    if (c == kEnd || c == U'b' || c == U'B' || (c >= U'0' && c <= U'9') || (c >= U'A' && c <= U'Z') || (c >= U'a' && c <= U'z')) wrong("this escape is not known");
    return {{c, c}};
  }

  Expression characters(const Ranges& ranges) { return in_json_ ? json_characters(grammar_, ranges) : grammar_.characters(ranges); }

  Grammar& grammar_;
  std::u32string pattern_;
  std::string_view shown_;
  bool in_json_;
  size_t at_ = 0;
};

}  // namespace

Expression regular_expression(Grammar& grammar, std::string_view pattern, bool in_json) { return Parser(grammar, pattern, in_json).parse(); }

Expression json_characters(Grammar& grammar, const Ranges& ranges) {
  constexpr std::pair<char32_t, char> kEscapes[] = {{U'"', '"'}, {U'\\', '\\'}, {U'\n', 'n'}, {U'\t', 't'}, {U'\r', 'r'}, {U'\b', 'b'}, {U'\f', 'f'}};
  Ranges plain;
  std::vector<Expression> alternatives;
  Grammar::Bytes escapes;
  for (const auto& [first, last] : ranges) {
    for (const auto& [code, letter] : kEscapes)
      if (first <= code && code <= last) escapes.set(static_cast<unsigned char>(letter));
    for (const auto& [low, high] : {std::pair<char32_t, char32_t>{0x20, 0x21}, {0x23, 0x5B}, {0x5D, kLast}})
      if (std::max(first, low) <= std::min(last, high)) plain.emplace_back(std::max(first, low), std::min(last, high));
  }
  if (!plain.empty()) alternatives.push_back(grammar.characters(plain));
  if (escapes.any()) alternatives.push_back(grammar.sequence({grammar.literal("\\"), grammar.bytes(escapes)}));
  return grammar.either(alternatives);
}

}  // namespace mynah::text
