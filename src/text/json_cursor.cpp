#include "text/json_cursor.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>
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

// value * 10^exponent, with one operation where that is possible.
double scaled(double value, int64_t exponent) {
  constexpr int64_t kLargest = 308;
  static const std::array<double, kLargest + 1> powers = [] {
    std::array<double, kLargest + 1> table;
    char text[8];
    for (int64_t i = 0; i <= kLargest; ++i) {
      const int size = std::snprintf(text, sizeof text, "1e%d", static_cast<int>(i));
      std::from_chars(text, text + size, table[static_cast<size_t>(i)]);
    }
    return table;
  }();
  for (; exponent < -kLargest && value != 0; exponent += kLargest) value /= powers[kLargest];
  if (value == 0) return 0;
  if (exponent < 0) return value / powers[static_cast<size_t>(-exponent)];
  return exponent > kLargest ? std::numeric_limits<double>::infinity() : value * powers[static_cast<size_t>(exponent)];
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

// Equal sums of scores decide between segmentations, so scores must be the reference's to the last bit, and it does not
// round correctly: the digits that 64 bits hold as one whole number, then a multiplication or division by a power of
// ten. (The reading in Rust's serde_json.)
double JsonCursor::number() {
  const bool negative = peek() == '-';
  if (negative) ++at_;
  uint64_t digits = 0;
  int64_t exponent = 0;
  const auto run = [&](int64_t per_digit, int64_t per_lost_digit) {
    const size_t begin = at_;
    bool full = false;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      const auto digit = static_cast<uint64_t>(text_[at_] - '0');
      full = full || digits > (UINT64_MAX - digit) / 10;
      if (!full) digits = digits * 10 + digit;
      exponent += full ? per_lost_digit : per_digit;
    }
    if (at_ == begin) broken("a number");
  };
  const auto next_is = [&](char c) { return at_ < text_.size() && text_[at_] == c; };
  run(0, 1);
  if (next_is('.')) {
    ++at_;
    run(-1, 0);
  }
  if (next_is('e') || next_is('E')) {
    ++at_;
    if (next_is('+')) ++at_;
    int32_t power = 0;
    const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), power);
    if (error != std::errc()) broken("a number");
    at_ = static_cast<size_t>(end - text_.data());
    exponent += power;
  }
  const double value = scaled(static_cast<double>(digits), exponent);
  if (!std::isfinite(value)) broken("a number that a double can hold");
  return negative ? -value : value;
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
