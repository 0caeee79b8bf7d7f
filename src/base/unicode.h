// Unicode on UTF-8 text: decoding that never trusts its input, character properties, case, normalisation forms.
// Properties are those of Unicode 16 (utf8proc's own tables plus the ranges assigned after them).
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mynah::unicode {

inline constexpr char32_t kReplacement = 0xFFFD;

struct Decoded {
  char32_t code;
  uint32_t size;  // bytes consumed, at least 1
  bool valid;     // false: `code` is kReplacement, `size` a maximal invalid sequence (Unicode 3.9, table 3-8)
};

// The character at text[position]; position < text.size().
Decoded decode_any(std::string_view text, size_t position);

// The character at `p` of text known to be valid UTF-8; `size` gets its length in bytes.
inline char32_t decode_valid(const char* p, uint32_t& size) {
  const auto b = [p](int i) { return static_cast<unsigned char>(p[i]); };
  const unsigned char first = b(0);
  if (first < 0x80) {
    size = 1;
    return first;
  }
  if (first < 0xE0) {
    size = 2;
    return (first & 0x1Fu) << 6 | (b(1) & 0x3Fu);
  }
  if (first < 0xF0) {
    size = 3;
    return (first & 0x0Fu) << 12 | (b(1) & 0x3Fu) << 6 | (b(2) & 0x3Fu);
  }
  size = 4;
  return (first & 0x07u) << 18 | (b(1) & 0x3Fu) << 12 | (b(2) & 0x3Fu) << 6 | (b(3) & 0x3Fu);
}

inline bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

// Where the character that ends before `position` begins, in valid UTF-8; position > 0.
inline size_t previous(std::string_view text, size_t position) {
  do --position;
  while (position > 0 && is_continuation(text[position]));
  return position;
}

bool is_valid(std::string_view text);
// The text with kReplacement for each maximal invalid sequence.
std::string to_valid(std::string_view text);
// How many bytes at the end of `text` begin a character that more bytes could complete (0 to 3).
size_t incomplete_tail(std::string_view text);
void append(std::string& text, char32_t code);
size_t count_characters(std::string_view valid_text);

// General categories; the values are utf8proc's.
enum class Category : uint8_t {
  Cn,
  Lu,
  Ll,
  Lt,
  Lm,
  Lo,
  Mn,
  Mc,
  Me,
  Nd,
  Nl,
  No,
  Pc,
  Pd,
  Ps,
  Pe,
  Pi,
  Pf,
  Po,
  Sm,
  Sc,
  Sk,
  So,
  Zs,
  Zl,
  Zp,
  Cc,
  Cf,
  Cs,
  Co
};
Category category(char32_t code);

inline bool is_letter(Category c) { return c >= Category::Lu && c <= Category::Lo; }
inline bool is_mark(Category c) { return c >= Category::Mn && c <= Category::Me; }
inline bool is_number(Category c) { return c >= Category::Nd && c <= Category::No; }
inline bool is_punctuation(Category c) { return c >= Category::Pc && c <= Category::Po; }
inline bool is_symbol(Category c) { return c >= Category::Sm && c <= Category::So; }
inline bool is_letter(char32_t code) { return is_letter(category(code)); }
inline bool is_mark(char32_t code) { return is_mark(category(code)); }
inline bool is_number(char32_t code) { return is_number(category(code)); }
// The property White_Space.
bool is_space(char32_t code);
// What Python's str.isspace() and strip() take for white space: White_Space and the separators U+001C to U+001F.
inline bool is_python_space(char32_t code) { return is_space(code) || (code >= 0x1C && code <= 0x1F); }
// The text without such characters at its ends.
std::string_view stripped(std::string_view valid_text);
// \w of UTS 18: letters, marks, decimal digits, letter numbers, connectors, joiners and other alphabetic characters.
bool is_word(char32_t code);

// The upper-case form that is one character.
char32_t to_upper(char32_t code);
// Full lower case without context; returns how many of `lower` are set (1 or 2).
int to_lower(char32_t code, std::array<char32_t, 2>& lower);
std::string to_lower(std::string_view valid_text);
// Full case folding of a text, for caseless comparison.
std::string fold_case(std::string_view valid_text);

enum class Form { nfc, nfd, nfkc, nfkd };
std::string normalize(std::string_view valid_text, Form form);

// The pieces of the normalisation algorithm, for callers that track where each character came from.
uint8_t combining_class(char32_t code);
// Appends the full canonical (or compatibility) decomposition, not yet in canonical order.
void decompose(char32_t code, bool compatibility, std::vector<char32_t>& out);
// The primary composite of two characters, 0 if there is none.
char32_t compose(char32_t first, char32_t second);
// True when the character stays as it is in every text under this form (a fast and safe test: false may be cautious).
bool is_inert(char32_t code, Form form);

}  // namespace mynah::unicode
