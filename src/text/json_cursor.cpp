#include "text/json_cursor.h"

#include <charconv>
#include <optional>

#include "base/require.h"
#include "base/unicode.h"

namespace mynah::text {
namespace {

std::optional<uint32_t> hex4(std::string_view text, size_t at) {
  uint32_t value = 0;
  if (at + 4 > text.size()) return std::nullopt;
  const auto [end, error] = std::from_chars(text.data() + at, text.data() + at + 4, value, 16);
  if (error != std::errc() || end != text.data() + at + 4) return std::nullopt;
  return value;
}

}  // namespace

void JsonCursor::broken(std::string_view wanted) const {
  fail(ErrorCode::integrity, "{}: byte {}: expected {}; the file is not valid JSON of this kind", where_, at_, wanted);
}

char JsonCursor::peek() {
  while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t'))
    ++at_;
  return at_ < text_.size() ? text_[at_] : '\0';
}

void JsonCursor::expect(char c) {
  if (!consume(c)) broken(std::string_view(&c, 1));
}

bool JsonCursor::consume(char c) {
  if (peek() != c || at_ >= text_.size()) return false;
  ++at_;
  return true;
}

std::string_view JsonCursor::raw_string(bool& escaped) {
  if (peek() != '"') broken("a string");
  const size_t begin = ++at_;
  escaped = false;
  while (at_ < text_.size() && text_[at_] != '"') {
    if (text_[at_] == '\\') {
      escaped = true;
      ++at_;
    }
    ++at_;
  }
  if (at_ >= text_.size()) {
    at_ = text_.size();
    broken("the end of a string");
  }
  return text_.substr(begin, at_++ - begin);
}

std::string_view JsonCursor::string(TextArena& arena) {
  bool escaped;
  const std::string_view raw = raw_string(escaped);
  if (escaped) return arena.keep(unescape(raw));
  if (!unicode::is_valid(raw)) broken("valid UTF-8 in the string before");
  return raw;
}

std::string JsonCursor::unescape(std::string_view raw) const {
  std::string out;
  out.reserve(raw.size());
  for (size_t i = 0; i < raw.size(); ++i) {
    if (raw[i] != '\\') {
      out.push_back(raw[i]);
      continue;
    }
    switch (raw[++i]) {
      case 'n':
        out.push_back('\n');
        break;
      case 't':
        out.push_back('\t');
        break;
      case 'r':
        out.push_back('\r');
        break;
      case 'b':
        out.push_back('\b');
        break;
      case 'f':
        out.push_back('\f');
        break;
      case '"':
      case '\\':
      case '/':
        out.push_back(raw[i]);
        break;
      case 'u': {
        auto code = hex4(raw, i + 1);
        if (!code) broken("four hexadecimal digits in the string before");
        i += 4;
        if (*code >= 0xD800 && *code < 0xDC00 && raw.substr(i + 1, 2) == "\\u") {
          const auto low = hex4(raw, i + 3);
          if (low && *low >= 0xDC00 && *low < 0xE000) {
            code = 0x10000 + ((*code - 0xD800) << 10) + (*low - 0xDC00);
            i += 6;
          }
        }
        if (*code >= 0xD800 && *code < 0xE000) code = unicode::kReplacement;
        unicode::append(out, *code);
        break;
      }
      default:
        broken("a known escape in the string before");
    }
  }
  return unicode::is_valid(out) ? out : unicode::to_valid(out);
}

double JsonCursor::number() {
  peek();
  double value = 0;
  const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
  if (error != std::errc()) broken("a number");
  at_ = static_cast<size_t>(end - text_.data());
  return value;
}

int64_t JsonCursor::integer() {
  peek();
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
  if (error != std::errc()) broken("a whole number");
  at_ = static_cast<size_t>(end - text_.data());
  return value;
}

std::string_view JsonCursor::skip_value() {
  peek();
  const size_t begin = at_;
  bool escaped;
  size_t depth = 0;
  do {
    const char c = peek();
    if (c == '"') {
      raw_string(escaped);
    } else if (c == '{' || c == '[') {
      ++depth;
      ++at_;
    } else if (c == '}' || c == ']') {
      if (depth == 0) broken("a value");
      --depth;
      ++at_;
    } else if ((c == ',' || c == ':') && depth > 0) {
      ++at_;
    } else {
      const size_t word = at_;
      while (at_ < text_.size() && std::string_view(" \t\r\n,:]}[{\"").find(text_[at_]) == std::string_view::npos)
        ++at_;
      if (at_ == word) broken("a value");
    }
  } while (depth > 0);
  return text_.substr(begin, at_ - begin);
}

}  // namespace mynah::text
