#include "base/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "base/require.h"

namespace mynah::unicode {
namespace {

using enum Category;

struct Range {
  uint32_t first, last;
  Category category;
};

// Assigned in Unicode 15.1 and 16.0. The finer category of marks, numbers and punctuation is the commonest of its kind.
constexpr Range kAdditions[] = {
    {0x897, 0x897, Mn},     {0x1B4E, 0x1B4F, Po},   {0x1B7F, 0x1B7F, Po},   {0x1C89, 0x1C89, Lu},
    {0x1C8A, 0x1C8A, Ll},   {0x2427, 0x2429, So},   {0x2FFC, 0x2FFF, So},   {0x31E4, 0x31E5, So},
    {0x31EF, 0x31EF, So},   {0xA7CB, 0xA7CC, Lu},   {0xA7CD, 0xA7CD, Ll},   {0xA7DA, 0xA7DA, Lu},
    {0xA7DB, 0xA7DB, Ll},   {0xA7DC, 0xA7DC, Lu},   {0x105C0, 0x105F3, Lo}, {0x10D40, 0x10D49, Nd},
    {0x10D4A, 0x10D4D, Lo}, {0x10D4E, 0x10D4E, Lm}, {0x10D4F, 0x10D4F, Lo}, {0x10D50, 0x10D65, Lu},
    {0x10D69, 0x10D6D, Mn}, {0x10D6E, 0x10D6E, Pd}, {0x10D6F, 0x10D6F, Lm}, {0x10D70, 0x10D85, Ll},
    {0x10D8E, 0x10D8F, Sm}, {0x10EC2, 0x10EC4, Lo}, {0x10EFC, 0x10EFC, Mn}, {0x11380, 0x11389, Lo},
    {0x1138B, 0x1138B, Lo}, {0x1138E, 0x1138E, Lo}, {0x11390, 0x113B5, Lo}, {0x113B7, 0x113B7, Lo},
    {0x113B8, 0x113C0, Mc}, {0x113C2, 0x113C2, Mc}, {0x113C5, 0x113C5, Mc}, {0x113C7, 0x113CA, Mc},
    {0x113CC, 0x113D0, Mc}, {0x113D1, 0x113D1, Lo}, {0x113D2, 0x113D2, Mn}, {0x113D3, 0x113D3, Lo},
    {0x113D4, 0x113D5, Po}, {0x113D7, 0x113D8, Po}, {0x113E1, 0x113E2, Mn}, {0x116D0, 0x116E3, Nd},
    {0x11BC0, 0x11BE0, Lo}, {0x11BE1, 0x11BE1, Po}, {0x11BF0, 0x11BF9, Nd}, {0x11F5A, 0x11F5A, Mn},
    {0x13460, 0x143FA, Lo}, {0x16100, 0x1611D, Lo}, {0x1611E, 0x1612F, Mn}, {0x16130, 0x16139, Nd},
    {0x16D40, 0x16D42, Lm}, {0x16D43, 0x16D6A, Lo}, {0x16D6B, 0x16D6C, Lm}, {0x16D6D, 0x16D6F, Po},
    {0x16D70, 0x16D79, Nd}, {0x18CFF, 0x18CFF, Lo}, {0x1CC00, 0x1CCEF, So}, {0x1CCF0, 0x1CCF9, Nd},
    {0x1CD00, 0x1CEB3, So}, {0x1E5D0, 0x1E5ED, Lo}, {0x1E5EE, 0x1E5EF, Mn}, {0x1E5F0, 0x1E5F0, Lo},
    {0x1E5F1, 0x1E5FA, Nd}, {0x1E5FF, 0x1E5FF, Po}, {0x1F8B2, 0x1F8BB, So}, {0x1F8C0, 0x1F8C1, So},
    {0x1FA89, 0x1FA89, So}, {0x1FA8F, 0x1FA8F, So}, {0x1FABE, 0x1FABE, So}, {0x1FAC6, 0x1FAC6, So},
    {0x1FADC, 0x1FADC, So}, {0x1FADF, 0x1FADF, So}, {0x1FAE9, 0x1FAE9, So}, {0x1FBCB, 0x1FBEF, So},
    {0x2EBF0, 0x2EE5D, Lo},
};

// Lower case of letters newer than the tables: code + distance.
struct LowerRange {
  uint32_t first, last;
  int32_t distance;
};
constexpr LowerRange kLowerAdditions[] = {
    {0x1C89, 0x1C89, 1},    {0xA7CB, 0xA7CB, 0x264 - 0xA7CB},
    {0xA7CC, 0xA7CC, 1},    {0xA7CE, 0xA7CE, 1},
    {0xA7D2, 0xA7D2, 1},    {0xA7D4, 0xA7D4, 1},
    {0xA7DA, 0xA7DA, 1},    {0xA7DC, 0xA7DC, 0x19B - 0xA7DC},
    {0x10D50, 0x10D65, 32}, {0x16EA0, 0x16EB8, 27},
};

Category added_category(char32_t code) {
  const auto* range = std::partition_point(std::begin(kAdditions), std::end(kAdditions),
                                           [code](const Range& r) { return r.last < code; });
  return range != std::end(kAdditions) && range->first <= code ? range->category : Cn;
}

utf8proc_option_t options(Form form) {
  const int compose = form == Form::nfc || form == Form::nfkc ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
  const int compatible = form == Form::nfkc || form == Form::nfkd ? UTF8PROC_COMPAT : 0;
  return static_cast<utf8proc_option_t>(UTF8PROC_STABLE | compose | compatible);
}

std::string map_text(std::string_view text, utf8proc_option_t option) {
  utf8proc_uint8_t* mapped = nullptr;
  const auto size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                 static_cast<utf8proc_ssize_t>(text.size()), &mapped, option);
  require(size >= 0, "unicode: {}", utf8proc_errmsg(size));
  std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(mapped, std::free);
  return std::string(reinterpret_cast<const char*>(mapped), static_cast<size_t>(size));
}

}  // namespace

Decoded decode_any(std::string_view text, size_t position) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(text[position + i]); };
  const size_t left = text.size() - position;
  const unsigned char first = at(0);
  if (first < 0x80) return {first, 1, true};
  uint32_t size = 2;
  unsigned char low = 0x80, high = 0xBF;  // what the second byte may be: rules out overlong forms and surrogates
  if (first >= 0xC2 && first <= 0xDF) {
    size = 2;
  } else if (first >= 0xE0 && first <= 0xEF) {
    size = 3;
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;
  } else if (first >= 0xF0 && first <= 0xF4) {
    size = 4;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
  } else {
    return {kReplacement, 1, false};
  }
  char32_t code = first & (0xFFu >> (size + 1));
  for (uint32_t i = 1; i < size; ++i) {
    if (i >= left || at(i) < low || at(i) > high) return {kReplacement, i, false};
    code = code << 6 | (at(i) & 0x3Fu);
    low = 0x80;
    high = 0xBF;
  }
  return {code, size, true};
}

bool is_valid(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    if (text.size() - i >= 8) {
      uint64_t word;
      std::memcpy(&word, text.data() + i, 8);
      if ((word & 0x8080808080808080u) == 0) {
        i += 8;
        continue;
      }
    }
    const auto first = static_cast<unsigned char>(text[i]);
    if (first < 0x80) {
      ++i;
    } else if (first >= 0xC2 && first < 0xE0 && i + 1 < text.size() && is_continuation(text[i + 1])) {
      i += 2;
    } else {
      const Decoded d = decode_any(text, i);
      if (!d.valid) return false;
      i += d.size;
    }
  }
  return true;
}

std::string to_valid(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 8);
  for (size_t i = 0; i < text.size();) {
    const Decoded d = decode_any(text, i);
    if (d.valid)
      out.append(text.substr(i, d.size));
    else
      append(out, kReplacement);
    i += d.size;
  }
  return out;
}

size_t incomplete_tail(std::string_view text) {
  for (size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const unsigned char byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xC0) == 0x80) continue;
    if (byte < 0xC2 || byte > 0xF4) return 0;
    const size_t wanted = byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
    const Decoded d = decode_any(text, text.size() - back);
    return wanted > back && d.size == back ? back : 0;
  }
  return 0;
}

void append(std::string& text, char32_t code) {
  const auto put = [&text](char32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xC0 | code >> 6);
  } else {
    if (code < 0x10000) {
      put(0xE0 | code >> 12);
    } else {
      put(0xF0 | code >> 18);
      put(0x80 | (code >> 12 & 0x3F));
    }
    put(0x80 | (code >> 6 & 0x3F));
  }
  put(0x80 | (code & 0x3F));
}

size_t count_characters(std::string_view valid_text) {
  return static_cast<size_t>(
      std::count_if(valid_text.begin(), valid_text.end(), [](char c) { return !is_continuation(c); }));
}

Category category(char32_t code) {
  const auto known = static_cast<Category>(utf8proc_category(static_cast<utf8proc_int32_t>(code)));
  return known == Cn ? added_category(code) : known;
}

bool is_space(char32_t code) {
  if (code < 0x80) return code == ' ' || (code >= 9 && code <= 13);
  return code == 0x85 || code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
         code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

bool is_word(char32_t code) {
  const Category c = category(code);
  if (is_letter(c) || is_mark(c) || c == Nd || c == Nl || c == Pc || code == 0x200C || code == 0x200D) return true;
  // Symbols with the property Other_Alphabetic: circled and squared letters.
  return (code >= 0x24B6 && code <= 0x24E9) || (code >= 0x1F130 && code <= 0x1F149) ||
         (code >= 0x1F150 && code <= 0x1F169) || (code >= 0x1F170 && code <= 0x1F189);
}

char32_t to_upper(char32_t code) {
  return static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(code)));
}

int to_lower(char32_t code, std::array<char32_t, 2>& lower) {
  if (code < 0x80) {
    lower[0] = code >= 'A' && code <= 'Z' ? code + 32 : code;
    return 1;
  }
  if (code == 0x130) {  // capital I with a dot: i and a combining dot
    lower = {U'i', 0x307};
    return 2;
  }
  lower[0] = static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code)));
  if (lower[0] == code)
    for (const LowerRange& r : kLowerAdditions)
      if (code >= r.first && code <= r.last) lower[0] = static_cast<char32_t>(static_cast<int32_t>(code) + r.distance);
  return 1;
}

std::string to_lower(std::string_view valid_text) {
  std::string out;
  out.reserve(valid_text.size());
  std::array<char32_t, 2> lower;
  uint32_t size;
  for (size_t i = 0; i < valid_text.size(); i += size) {
    const char32_t code = decode_valid(valid_text.data() + i, size);
    const int count = to_lower(code, lower);
    for (int k = 0; k < count; ++k) append(out, lower[static_cast<size_t>(k)]);
  }
  return out;
}

std::string fold_case(std::string_view valid_text) {
  return map_text(valid_text, static_cast<utf8proc_option_t>(UTF8PROC_CASEFOLD));
}

std::string normalize(std::string_view valid_text, Form form) { return map_text(valid_text, options(form)); }

uint8_t combining_class(char32_t code) {
  return static_cast<uint8_t>(utf8proc_get_property(static_cast<utf8proc_int32_t>(code))->combining_class);
}

void decompose(char32_t code, bool compatibility, std::vector<char32_t>& out) {
  constexpr size_t kLongest = 18;  // U+FDFA has the longest decomposition of all
  utf8proc_int32_t buffer[kLongest];
  int last_boundclass = 0;
  const int option = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (compatibility ? UTF8PROC_COMPAT : 0);
  const auto count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(code), buffer, kLongest,
                                             static_cast<utf8proc_option_t>(option), &last_boundclass);
  if (count <= 0 || count > static_cast<utf8proc_ssize_t>(kLongest)) {
    out.push_back(code);
    return;
  }
  for (utf8proc_ssize_t i = 0; i < count; ++i) out.push_back(static_cast<char32_t>(buffer[i]));
}

char32_t compose(char32_t first, char32_t second) {
  utf8proc_int32_t pair[2] = {static_cast<utf8proc_int32_t>(first), static_cast<utf8proc_int32_t>(second)};
  const auto option = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  return utf8proc_normalize_utf32(pair, 2, option) == 1 ? static_cast<char32_t>(pair[0]) : 0;
}

bool is_inert(char32_t code, Form form) {
  if (code < 0x80) return true;
  const bool composed = form == Form::nfc || form == Form::nfkc;
  if (code >= 0x1100 && code <= 0x11FF) return !composed;  // Hangul letters join and never decompose
  const auto* p = utf8proc_get_property(static_cast<utf8proc_int32_t>(code));
  if (p->combining_class != 0) return false;
  if (form == Form::nfc && code < 0x300) return true;
  if (code >= 0xAC00 && code <= 0xD7A3) return form == Form::nfc;  // a following trailing letter is not inert itself
  constexpr uint16_t kNone = 0xFFFF;
  if (p->decomp_seqindex != kNone) return false;
  constexpr uint16_t kSecondOfPair = 0x8000;
  return !composed || p->comb_index == kNone || p->comb_index < kSecondOfPair;
}

std::string_view stripped(std::string_view text) {
  uint32_t size;
  while (!text.empty() && is_python_space(decode_valid(text.data(), size))) text.remove_prefix(size);
  while (!text.empty()) {
    const size_t last = previous(text, text.size());
    if (!is_python_space(decode_valid(text.data() + last, size))) break;
    text.remove_suffix(size);
  }
  return text;
}

}  // namespace mynah::unicode
