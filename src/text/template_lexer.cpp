#include "text/template_lexer.h"

#include <algorithm>
#include <array>

#include "text/template_string.h"

namespace mynah::jinja {
namespace {

constexpr std::string_view kTwoCharOperators[] = {"//", "**", "==", "!=", ">=", "<="};
constexpr std::string_view kOperators = "+-/*%~[](){}><=.:|,;";

// Line ends become \n, and one at the very end goes, as Jinja2 does by default.
std::string normalize(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
      continue;
    }
    out += '\n';
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

bool is_word(uint32_t c) {
  return c == '_' || (c < 0x80 ? std::isalnum(static_cast<int>(c)) : is_alpha(c) || is_decimal(c));
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(normalize(source)), rest_(source_) {}

  std::vector<TemplateToken> run() {
    while (at_ < rest_.size()) {
      const size_t begin = find_tag();
      if (begin == rest_.npos) {
        add(TokenType::text, std::string(rest_.substr(at_)));
        at_ = rest_.size();
        break;
      }
      const char kind = rest_[begin + 1];
      const char sign = begin + 2 < rest_.size() ? rest_[begin + 2] : '\0';
      add_text(begin, sign, kind != '{');
      const size_t inside = begin + 2 + (sign == '-' || sign == '+');
      move_to(begin);
      if (kind == '#') {
        skip_comment(inside);
      } else if (kind == '%' && raw_begin(inside)) {
        add_raw();
      } else {
        add(kind == '{' ? TokenType::print_begin : TokenType::block_begin, "");
        move_to(inside);
        read_inside(kind == '{' ? '}' : '%');
      }
    }
    add(TokenType::end, "");
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void fail(std::string reason) const { throw SyntaxProblem{std::move(reason), line_}; }

  void add(TokenType type, std::string text) {
    if (type == TokenType::text && text.empty()) return;
    tokens_.push_back({type, line_, std::move(text), Value()});
  }

  void move_to(size_t position) {
    line_ += static_cast<int>(std::count(rest_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         rest_.begin() + static_cast<std::ptrdiff_t>(position), '\n'));
    at_ = position;
  }

  // Position of the next {{, {% or {#.
  size_t find_tag() const {
    for (size_t i = rest_.find('{', at_); i != rest_.npos && i + 1 < rest_.size(); i = rest_.find('{', i + 1))
      if (rest_[i + 1] == '{' || rest_[i + 1] == '%' || rest_[i + 1] == '#') return i;
    return rest_.npos;
  }

  // The text between here and the tag at `end`. A minus takes all blanks before the tag; else, before a block or
  // comment that is alone on its line so far, the blanks of that line go (lstrip_blocks).
  void add_text(size_t end, char sign, bool strips_line) {
    std::string_view text = rest_.substr(at_, end - at_);
    if (sign == '-') {
      text = strip(text, {}, false, true);
    } else if (sign != '+' && strips_line) {
      const size_t newline = text.rfind('\n');
      const size_t line_begin = newline == text.npos ? 0 : newline + 1;
      if ((newline != text.npos || line_starting_) && strip(text.substr(line_begin), {}, true, true).empty())
        text = text.substr(0, line_begin);
    }
    add(TokenType::text, std::string(text));
  }

  size_t skip_blanks(size_t position) const {
    while (position < rest_.size()) {
      size_t next = position;
      if (!is_space(next_code_point(rest_, next))) break;
      position = next;
    }
    return position;
  }

  // The position behind an end mark such as -%} at `position`, or npos if there is none. A minus takes the blanks that
  // follow; an end of a block or comment takes one line end (trim_blocks) unless marked with a plus.
  size_t end_mark(size_t position, char kind) const {
    const char sign = position < rest_.size() ? rest_[position] : '\0';
    const bool plus = sign == '+' && kind != '}', minus = sign == '-';
    const size_t mark = position + (plus || minus);
    if (mark + 1 >= rest_.size() || rest_[mark] != kind || rest_[mark + 1] != '}') return rest_.npos;
    const size_t behind = mark + 2;
    if (minus) return skip_blanks(behind);
    if (!plus && kind != '}' && behind < rest_.size() && rest_[behind] == '\n') return behind + 1;
    return behind;
  }

  void leave_tag(size_t behind) {
    move_to(behind);
    line_starting_ = behind > 0 && rest_[behind - 1] == '\n';
  }

  void skip_comment(size_t inside) {
    if (inside == rest_.size()) return leave_tag(inside);  // an open comment that ends the text says nothing
    const size_t end = rest_.find("#}", inside);
    if (end == rest_.npos) fail("Missing end of comment tag");
    const bool has_sign = end > inside && (rest_[end - 1] == '-' || rest_[end - 1] == '+');
    leave_tag(end_mark(has_sign ? end - 1 : end, '#'));
  }

  // Whether `inside` is the rest of {% raw %}; moves behind it if so.
  bool raw_begin(size_t inside) {
    const size_t word = skip_blanks(inside);
    if (rest_.substr(word, 3) != "raw") return false;
    const size_t mark = skip_blanks(word + 3);
    const bool minus = mark < rest_.size() && rest_[mark] == '-';
    if (rest_.substr(mark + minus, 2) != "%}") return false;
    leave_tag(minus ? skip_blanks(mark + 3) : mark + 2);
    return true;
  }

  void add_raw() {
    if (at_ == rest_.size()) return;
    for (size_t i = rest_.find("{%", at_); i != rest_.npos; i = rest_.find("{%", i + 1)) {
      const char sign = i + 2 < rest_.size() ? rest_[i + 2] : '\0';
      const size_t word = skip_blanks(i + 2 + (sign == '-' || sign == '+'));
      if (rest_.substr(word, 6) != "endraw") continue;
      const size_t behind = end_mark(skip_blanks(word + 6), '%');
      if (behind == rest_.npos) continue;
      add_text(i, sign, true);
      return leave_tag(behind);
    }
    fail("Missing end of raw directive");
  }

  void read_inside(char kind) {
    std::string open;  // brackets not yet closed; while there are any, an end mark is not one
    while (at_ < rest_.size()) {
      const size_t begin = at_;
      if (open.empty()) {
        if (const size_t behind = end_mark(at_, kind); behind != rest_.npos) {
          add(kind == '}' ? TokenType::print_end : TokenType::block_end, "");
          return leave_tag(behind);
        }
      }
      size_t next = begin;
      const uint32_t c = next_code_point(rest_, next);
      if (is_space(c)) {
        move_to(skip_blanks(begin));
      } else if (c >= '0' && c <= '9') {
        read_number();
      } else if (is_word(c)) {
        read_name();
      } else if (c == '\'' || c == '"') {
        read_string(static_cast<char>(c));
      } else {
        read_operator(open);
      }
    }
  }

  void read_name() {
    size_t end = at_;
    for (size_t next = end; next < rest_.size() && is_word(next_code_point(rest_, next));) end = next;
    add(TokenType::name, std::string(rest_.substr(at_, end - at_)));
    move_to(end);
  }

  // Digits with single underscores between them.
  size_t digits(size_t position, int base) const {
    const auto is_digit = [&](size_t i) {
      if (i >= rest_.size()) return false;
      const int c = std::tolower(static_cast<unsigned char>(rest_[i]));
      return (c >= '0' && c < '0' + std::min(base, 10)) || (base == 16 && c >= 'a' && c <= 'f');
    };
    while (is_digit(position) || (position < rest_.size() && rest_[position] == '_' && is_digit(position + 1)))
      ++position;
    return position;
  }

  // End of a float at `begin`, or `begin` when there is none.
  size_t float_end(size_t begin) const {
    if (begin > 0 && rest_[begin - 1] == '.') return begin;
    const size_t whole = digits(begin, 10);
    size_t end = whole;
    if (end + 1 < rest_.size() && rest_[end] == '.' && std::isdigit(static_cast<unsigned char>(rest_[end + 1])))
      end = digits(end + 1, 10);
    if (end < rest_.size() && (rest_[end] == 'e' || rest_[end] == 'E')) {
      size_t exponent = end + 1;
      if (exponent < rest_.size() && (rest_[exponent] == '+' || rest_[exponent] == '-')) ++exponent;
      if (exponent < rest_.size() && std::isdigit(static_cast<unsigned char>(rest_[exponent])))
        return digits(exponent, 10);
    }
    return end == whole ? begin : end;
  }

  void read_number() {
    TemplateToken token{TokenType::number, line_, "", Value()};
    size_t end = float_end(at_);
    try {
      if (end > at_) {
        token.number = Value(parse_real(rest_.substr(at_, end - at_)).value_or(0));
      } else {
        end = integer_end();
        token.number = Value(parse_integer(rest_.substr(at_, end - at_), 0).value_or(0));
      }
    } catch (const Problem& problem) {
      fail(problem.reason);
    }
    tokens_.push_back(std::move(token));
    move_to(end);
  }

  size_t integer_end() const {
    if (rest_[at_] != '0') return digits(at_, 10);
    const char c =
        at_ + 1 < rest_.size() ? static_cast<char>(std::tolower(static_cast<unsigned char>(rest_[at_ + 1]))) : '\0';
    const int base = c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 0;
    if (base)
      if (const size_t end = digits(at_ + 2, base); end > at_ + 2) return end;
    size_t end = at_ + 1;  // nothing but zeros
    while (end < rest_.size() &&
           (rest_[end] == '0' || (rest_[end] == '_' && end + 1 < rest_.size() && rest_[end + 1] == '0')))
      ++end;
    return end;
  }

  void read_string(char quote) {
    size_t end = at_ + 1;
    while (end < rest_.size() && rest_[end] != quote) end += rest_[end] == '\\' ? 2 : 1;
    if (end >= rest_.size()) fail(fmt::format("a string has no closing {}", quote));
    add(TokenType::string, unescape(rest_.substr(at_ + 1, end - at_ - 1)));
    move_to(end + 1);
  }

  uint32_t hex_escape(std::string_view text, size_t& at, size_t count) const {
    uint32_t value = 0;
    for (size_t i = 0; i < count; ++i, ++at) {
      if (at >= text.size() || !std::isxdigit(static_cast<unsigned char>(text[at])))
        fail("truncated escape in a string");
      const int c = std::tolower(static_cast<unsigned char>(text[at]));
      value = value * 16 + static_cast<uint32_t>(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) fail("an escape in a string names no character");
    return value;
  }

  std::string unescape(std::string_view text) const {
    constexpr std::string_view kFrom = "\\'\"abfnrtv", kTo = "\\'\"\a\b\f\n\r\t\v";
    std::string out;
    for (size_t at = 0; at < text.size();) {
      if (text[at] != '\\' || at + 1 >= text.size()) {
        out += text[at++];
        continue;
      }
      const char c = text[at + 1];
      at += 2;
      if (const size_t known = kFrom.find(c); known != kFrom.npos) {
        out += kTo[known];
      } else if (c == '\n') {
        continue;  // a line that goes on
      } else if (c == 'x' || c == 'u' || c == 'U') {
        append_code_point(out, hex_escape(text, at, c == 'x' ? 2 : c == 'u' ? 4 : 8));
      } else if (c >= '0' && c <= '7') {
        uint32_t value = static_cast<uint32_t>(c - '0');
        for (int i = 0; i < 2 && at < text.size() && text[at] >= '0' && text[at] <= '7'; ++i, ++at)
          value = value * 8 + static_cast<uint32_t>(text[at] - '0');
        append_code_point(out, value);
      } else if (c == 'N') {
        fail("\\N escapes are not supported");
      } else {
        out += '\\';
        out += c;
      }
    }
    return out;
  }

  void read_operator(std::string& open) {
    std::string_view op = rest_.substr(at_, 2);
    if (std::find(std::begin(kTwoCharOperators), std::end(kTwoCharOperators), op) == std::end(kTwoCharOperators))
      op = op.substr(0, 1);
    if (op.size() == 1 && kOperators.find(op[0]) == kOperators.npos) {
      size_t end = at_;
      next_code_point(rest_, end);
      fail(fmt::format("unexpected char {}", repr_text(rest_.substr(at_, end - at_))));
    }
    const char c = op[0];
    if (op.size() == 1 && (c == '(' || c == '[' || c == '{')) {
      open += c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (c == ')' || c == ']' || c == '}') {
      if (open.empty()) fail(fmt::format("unexpected '{}'", c));
      if (open.back() != c) fail(fmt::format("unexpected '{}', expected '{}'", c, open.back()));
      open.pop_back();
    }
    add(TokenType::op, std::string(op));
    move_to(at_ + op.size());
  }

  std::string source_;
  std::string_view rest_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::vector<TemplateToken> tokens_;
};

}  // namespace

std::vector<TemplateToken> tokenize(std::string_view source) { return Lexer(source).run(); }

}  // namespace mynah::jinja
