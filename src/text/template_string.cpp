#include "text/template_string.h"

#include <utf8proc.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>

#include "text/template_value.h"

namespace mynah::jinja {

uint32_t next_code_point(std::string_view text, size_t& position) {
  utf8proc_int32_t c = 0;
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + position;
  if (*bytes < 0x80) {
    ++position;
    return *bytes;
  }
  const auto used =
      utf8proc_iterate(bytes, static_cast<utf8proc_ssize_t>(std::min<size_t>(text.size() - position, 4)), &c);
  if (used <= 0) {
    ++position;
    return 0xDC00u + *bytes;
  }
  position += static_cast<size_t>(used);
  return static_cast<uint32_t>(c);
}

void append_code_point(std::string& out, uint32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c >= 0xDC80 && c <= 0xDCFF) {
    out += static_cast<char>(c - 0xDC00);  // an invalid byte goes back to itself
  } else {
    utf8proc_uint8_t buffer[4];
    const auto used = utf8proc_encode_char(static_cast<utf8proc_int32_t>(c), buffer);
    out.append(reinterpret_cast<const char*>(buffer), static_cast<size_t>(used));
  }
}

size_t count_code_points(std::string_view text) {
  size_t ascii = 0;
  while (ascii < text.size() && static_cast<unsigned char>(text[ascii]) < 0x80) ++ascii;
  size_t n = ascii;
  for (size_t at = ascii; at < text.size(); ++n) next_code_point(text, at);
  return n;
}

size_t byte_offset(std::string_view text, size_t index) {
  size_t at = 0;
  for (size_t i = 0; i < index && at < text.size(); ++i) next_code_point(text, at);
  return at;
}

bool is_valid_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const uint32_t c = next_code_point(text, at);
    if (c >= 0xD800 && c <= 0xDFFF) return false;
  }
  return true;
}

namespace {

utf8proc_category_t category(uint32_t c) { return utf8proc_category(static_cast<utf8proc_int32_t>(c)); }

// Case mappings of one code point, where utf8proc's simple mapping is not what Python does.
void append_upper(std::string& out, uint32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
    return;
  }
  if (c == 0xDF)
    out += "SS";
  else
    append_code_point(out, static_cast<uint32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))));
}
void append_title(std::string& out, uint32_t c) {
  if (c == 0xDF)
    out += "Ss";
  else
    append_code_point(out, static_cast<uint32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c))));
}
void append_lower(std::string& out, uint32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    return;
  }
  if (c == 0x130)
    out += "i\xcc\x87";
  else
    append_code_point(out, static_cast<uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
}

template <class F>
void each(std::string_view text, F&& f) {
  for (size_t at = 0; at < text.size();) f(next_code_point(text, at));
}

bool is_line_end(uint32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

}  // namespace

bool is_space(uint32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x1F);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
         c == 0x202F || c == 0x205F || c == 0x3000;
}
bool is_alpha(uint32_t c) {
  const auto k = category(c);
  return k == UTF8PROC_CATEGORY_LU || k == UTF8PROC_CATEGORY_LL || k == UTF8PROC_CATEGORY_LT ||
         k == UTF8PROC_CATEGORY_LM || k == UTF8PROC_CATEGORY_LO;
}
bool is_decimal(uint32_t c) { return category(c) == UTF8PROC_CATEGORY_ND; }
bool is_upper(uint32_t c) { return category(c) == UTF8PROC_CATEGORY_LU; }
bool is_lower(uint32_t c) { return category(c) == UTF8PROC_CATEGORY_LL; }
bool is_printable(uint32_t c) {
  if (c == ' ') return true;
  switch (category(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
      return false;
    default:
      return true;
  }
}

std::string upper(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  each(text, [&](uint32_t c) { append_upper(out, c); });
  return out;
}

std::string lower(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  each(text, [&](uint32_t c) { append_lower(out, c); });
  return out;
}

std::string capitalize(std::string_view text) {
  std::string out;
  if (text.empty()) return out;
  size_t at = 0;
  append_title(out, next_code_point(text, at));
  return out + lower(text.substr(at));
}

std::string title(std::string_view text) {
  std::string out;
  bool inside = false;
  each(text, [&](uint32_t c) {
    inside ? append_lower(out, c) : append_title(out, c);
    inside = is_upper(c) || is_lower(c) || category(c) == UTF8PROC_CATEGORY_LT;
  });
  return out;
}

std::string swapcase(std::string_view text) {
  std::string out;
  each(text, [&](uint32_t c) { is_upper(c) ? append_lower(out, c) : append_upper(out, c); });
  return out;
}

std::string_view strip(std::string_view text, const std::optional<std::string>& chars, bool left, bool right) {
  std::vector<uint32_t> set;
  if (chars) each(*chars, [&](uint32_t c) { set.push_back(c); });
  charge(set.size());
  const auto goes = [&](uint32_t c) {
    if (!chars) return is_space(c);
    charge(set.size());
    return std::find(set.begin(), set.end(), c) != set.end();
  };
  size_t begin = 0, end = text.size();
  while (left && begin < end) {
    size_t at = begin;
    if (!goes(next_code_point(text, at))) break;
    begin = at;
  }
  while (right && end > begin) {
    size_t at = end - 1;
    while (at > begin && end - at < 4 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
    size_t after = at;
    uint32_t c = next_code_point(text, after);
    if (after != end) {  // not one whole code point: its last byte is an invalid one
      at = end - 1;
      c = 0xDC00u + static_cast<unsigned char>(text[at]);
    }
    if (!goes(c)) break;
    end = at;
  }
  return text.substr(begin, end - begin);
}

namespace {

std::vector<std::string> split_blanks(std::string_view text, int64_t limit) {
  std::vector<std::string> parts;
  std::string_view rest = strip(text, {}, true, false);
  while (!rest.empty()) {
    if (limit >= 0 && static_cast<int64_t>(parts.size()) == limit) {
      parts.emplace_back(rest);
      return parts;
    }
    size_t at = 0, end = 0;
    while (at < rest.size()) {
      end = at;
      if (is_space(next_code_point(rest, at))) break;
      end = at;
    }
    parts.emplace_back(rest.substr(0, end));
    rest = strip(rest.substr(end), {}, true, false);
  }
  return parts;
}

std::vector<std::string> rsplit_blanks(std::string_view text, int64_t limit) {
  std::vector<std::string> parts = split_blanks(text, -1);
  if (limit < 0 || static_cast<int64_t>(parts.size()) <= limit) return parts;
  std::string_view rest = strip(text, {}, false, true);
  const std::vector<std::string> tail(parts.end() - limit, parts.end());
  for (auto part = tail.rbegin(); part != tail.rend(); ++part)
    rest = strip(rest.substr(0, rest.size() - part->size()), {}, false, true);
  parts.assign(1, std::string(rest));
  parts.insert(parts.end(), tail.begin(), tail.end());
  return parts;
}

}  // namespace

std::vector<std::string> split(std::string_view text, const std::optional<std::string>& separator, int64_t limit) {
  if (!separator) return split_blanks(text, limit);
  if (separator->empty()) raise("empty separator");
  std::vector<std::string> parts;
  size_t begin = 0;
  while (limit < 0 || static_cast<int64_t>(parts.size()) < limit) {
    const size_t at = find(text, *separator, begin);
    if (at == std::string_view::npos) break;
    parts.emplace_back(text.substr(begin, at - begin));
    begin = at + separator->size();
  }
  parts.emplace_back(text.substr(begin));
  return parts;
}

std::vector<std::string> rsplit(std::string_view text, const std::optional<std::string>& separator, int64_t limit) {
  if (!separator) return rsplit_blanks(text, limit);
  if (separator->empty()) raise("empty separator");
  std::vector<std::string> parts;
  while (limit < 0 || static_cast<int64_t>(parts.size()) < limit) {
    const size_t at = rfind(text, *separator);
    if (at == std::string_view::npos) break;
    parts.emplace_back(text.substr(at + separator->size()));
    text = text.substr(0, at);
  }
  parts.emplace_back(text);
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string> lines;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = at;
    const uint32_t c = next_code_point(text, at);
    if (!is_line_end(c)) continue;
    if (c == '\r' && at < text.size() && text[at] == '\n') ++at;
    lines.emplace_back(text.substr(begin, (keep_ends ? at : end) - begin));
    begin = at;
  }
  if (begin < text.size()) lines.emplace_back(text.substr(begin));
  return lines;
}

size_t find(std::string_view text, std::string_view needle, size_t from) {
  if (from > text.size()) return std::string_view::npos;
  if (needle.empty()) return from;
  charge(needle.size());
  const void* hit = memmem(text.data() + from, text.size() - from, needle.data(), needle.size());
  const size_t at = hit ? static_cast<size_t>(static_cast<const char*>(hit) - text.data()) : std::string_view::npos;
  charge(hit ? at - from : text.size() - from);
  return at;
}

size_t rfind(std::string_view text, std::string_view needle) {
  if (needle.size() > text.size()) return std::string_view::npos;
  for (size_t at = text.size() - needle.size() + 1; at-- > 0;) {
    charge(1);
    if (needle.empty() || text[at] == needle[0]) {
      if (text.compare(at, needle.size(), needle) == 0) return at;
      charge(needle.size());
    }
  }
  return std::string_view::npos;
}

std::string replace(std::string_view text, std::string_view from, std::string_view to, int64_t limit) {
  std::string out;
  const auto append = [&](std::string_view piece) {
    if (out.size() + piece.size() > kMaxValueBytes) raise("a text of more than {} bytes", kMaxValueBytes);
    out += piece;
  };
  size_t begin = 0;
  if (from.empty()) {  // between all code points
    int64_t done = 0;
    for (size_t at = 0; limit < 0 || done < limit; ++done) {
      append(to);
      begin = at;
      if (at >= text.size()) return out;
      next_code_point(text, at);
      append(text.substr(begin, at - begin));
      begin = at;
    }
  } else {
    for (int64_t done = 0; limit < 0 || done < limit; ++done) {
      const size_t at = find(text, from, begin);
      if (at == std::string_view::npos) break;
      append(text.substr(begin, at - begin));
      append(to);
      begin = at + from.size();
    }
  }
  append(text.substr(begin));
  return out;
}

std::string repeat(std::string_view text, int64_t times) {
  if (times <= 0 || text.empty()) return {};
  if (static_cast<uint64_t>(times) > kMaxValueBytes / text.size())
    raise("a text of more than {} bytes", kMaxValueBytes);
  std::string out;
  out.reserve(text.size() * static_cast<size_t>(times));
  for (int64_t i = 0; i < times; ++i) out += text;
  return out;
}

std::string pad(std::string_view text, int64_t width, std::string_view fill, Align align) {
  const int64_t missing = width - static_cast<int64_t>(count_code_points(text));
  if (missing <= 0) return std::string(text);
  int64_t before = 0;
  if (align == Align::right) before = missing;
  if (align == Align::center) before = missing / 2;
  return repeat(fill, before) + std::string(text) + repeat(fill, missing - before);
}

std::string repr_text(std::string_view text) {
  const char quote = text.find('\'') != text.npos && text.find('"') == text.npos ? '"' : '\'';
  std::string out(1, quote);
  each(text, [&](uint32_t c) {
    if (c == static_cast<unsigned char>(quote) || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c < 0x80 ? c >= 0x20 && c < 0x7F : is_printable(c)) {
      append_code_point(out, c);
    } else if (c < 0x100) {
      out += fmt::format("\\x{:02x}", c);
    } else if (c < 0x10000) {
      out += fmt::format("\\u{:04x}", c);
    } else {
      out += fmt::format("\\U{:08x}", c);
    }
  });
  return out + quote;
}

std::string repr_real(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, std::fabs(value), std::chars_format::scientific).ptr;
  const std::string_view shortest(buffer, static_cast<size_t>(end - buffer));
  const size_t e = shortest.find('e');
  std::string digits(1, shortest[0]);
  if (e > 2) digits += shortest.substr(2, e - 2);
  const int exponent = std::atoi(std::string(shortest.substr(e + 1)).c_str());
  std::string out = std::signbit(value) ? "-" : "";
  const int count = static_cast<int>(digits.size());
  if (exponent < -4 || exponent >= 16) {
    out += digits[0];
    if (count > 1) out += "." + digits.substr(1);
    return out + fmt::format("e{}{:02}", exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (exponent < 0) return out + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  if (count <= exponent + 1) return out + digits + std::string(static_cast<size_t>(exponent + 1 - count), '0') + ".0";
  return out + digits.substr(0, static_cast<size_t>(exponent) + 1) + "." +
         digits.substr(static_cast<size_t>(exponent) + 1);
}

namespace {

// Underscores may stand between two digits only; false when one stands elsewhere.
bool drop_underscores(std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      out += text[i];
      continue;
    }
    if (i == 0 || i + 1 == text.size() || !std::isalnum(static_cast<unsigned char>(text[i - 1])) ||
        !std::isalnum(static_cast<unsigned char>(text[i + 1])))
      return false;
  }
  text = std::move(out);
  return true;
}

int digit_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'z') return c - 'a' + 10;
  if (c >= 'A' && c <= 'Z') return c - 'A' + 10;
  return 99;
}

// Takes a prefix like 0x off `text` and returns its base, 10 without one, 0 for a leading zero that is no prefix.
int take_prefix(std::string& text, int base) {
  int found = 0;
  if (text.size() >= 2 && text[0] == '0') {
    const char c = static_cast<char>(std::tolower(static_cast<unsigned char>(text[1])));
    found = c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 0;
  }
  if (found && (base == 0 || base == found)) {
    text.erase(0, 2);
    if (!text.empty() && text[0] == '_') text.erase(0, 1);
    return found;
  }
  if (base != 0) return base;
  return text.find_first_not_of("0_") != text.npos && text[0] == '0' ? 0 : 10;
}

}  // namespace

std::optional<int64_t> parse_integer(std::string_view source, int base) {
  if (base != 0 && (base < 2 || base > 36)) return {};
  std::string text(strip(source, {}, true, true));
  bool negative = false;
  if (!text.empty() && (text[0] == '+' || text[0] == '-')) {
    negative = text[0] == '-';
    text.erase(0, 1);
  }
  base = take_prefix(text, base);
  if (base == 0 || text.empty() || !drop_underscores(text)) return {};
  for (char c : text)
    if (digit_value(c) >= base) return {};
  int64_t value = 0;
  for (char c : text)
    if (__builtin_mul_overflow(value, base, &value) || __builtin_sub_overflow(value, digit_value(c), &value))
      raise("the integer '{}' needs more than 64 bits", text.substr(0, 40));
  if (negative) return value;
  if (value == INT64_MIN) raise("the integer '{}' needs more than 64 bits", text.substr(0, 40));
  return -value;
}

std::optional<double> parse_real(std::string_view source) {
  std::string text = lower(strip(source, {}, true, true));
  if (!drop_underscores(text) || text.empty()) return {};
  size_t at = text[0] == '+' || text[0] == '-' ? 1 : 0;
  const std::string_view body = std::string_view(text).substr(at);
  const bool negative = text[0] == '-';
  double value = 0;
  if (body == "inf" || body == "infinity") {
    value = HUGE_VAL;
  } else if (body == "nan") {
    value = NAN;
  } else {
    if (body.empty() || !(std::isdigit(static_cast<unsigned char>(body[0])) || body[0] == '.')) return {};
    const auto [end, error] =
        std::from_chars(body.data(), body.data() + body.size(), value, std::chars_format::general);
    if (end != body.data() + body.size()) return {};
    if (error == std::errc::result_out_of_range) value = std::strtod(std::string(body).c_str(), nullptr);
  }
  return negative ? -value : value;
}

}  // namespace mynah::jinja
