#include "text/scanner.h"

#include <array>
#include <cstdint>

#include "base/unicode.h"
#include "text/split_patterns.h"

namespace mynah::text {
namespace {

using unicode::Category;

enum Kind : uint8_t { kOther, kLetter, kNumber, kSpace, kNewline, kEnd };  // kNewline: \r and \n, which are also spaces

constexpr std::array<Kind, 128> kAscii = [] {
  std::array<Kind, 128> table{};
  for (int c = 0; c < 128; ++c) {
    Kind& kind = table[static_cast<size_t>(c)];
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
      kind = kLetter;
    else if (c >= '0' && c <= '9')
      kind = kNumber;
    else if (c == '\r' || c == '\n')
      kind = kNewline;
    else if (c == ' ' || (c >= 9 && c <= 13))
      kind = kSpace;
    else
      kind = kOther;
  }
  return table;
}();

Kind kind_of(char32_t code) {
  const Category category = unicode::category(code);
  if (unicode::is_letter(category)) return kLetter;
  if (unicode::is_number(category)) return kNumber;
  return unicode::is_space(code) ? kSpace : kOther;
}

// A position in the text with the kind of the character there.
struct Cursor {
  std::string_view text;
  size_t at;
  uint32_t size = 0;
  Kind kind = kEnd;

  Cursor(std::string_view text_, size_t at_) : text(text_), at(at_) { read(); }
  void read() {
    if (at >= text.size()) {
      kind = kEnd;
      size = 0;
      return;
    }
    const auto byte = static_cast<unsigned char>(text[at]);
    if (byte < 0x80) {
      kind = kAscii[byte];
      size = 1;
    } else {
      kind = kind_of(unicode::decode_valid(text.data() + at, size));
    }
  }
  void next() {
    at += size;
    read();
  }
  char byte() const { return at < text.size() ? text[at] : '\0'; }
  void skip(Kind run) {
    while (kind == run) next();
  }
};

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

// The end of 's 't 're 've 'm 'll 'd at `at`, or `at`.
template <bool any_case>
size_t scan_contraction(std::string_view text, size_t at) {
  if (at + 1 >= text.size() || text[at] != '\'') return at;
  const char first = any_case ? lower(text[at + 1]) : text[at + 1];
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return at + 2;
  // The long s, U+017F, folds to s.
  if (any_case && text.substr(at + 1, 2) == "\xC5\xBF") return at + 3;
  if (at + 2 >= text.size()) return at;
  const char second = any_case ? lower(text[at + 2]) : text[at + 2];
  const bool found =
      (first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l');
  return found ? at + 3 : at;
}

// White space at `c`: with `newlines`, `\s*[\r\n]+` first; then `\s+(?!\S)` and `\s+`.
template <bool newlines>
size_t scan_spaces(Cursor c) {
  const size_t begin = c.at;
  size_t last = begin, after_newline = begin;
  while (c.kind == kSpace || c.kind == kNewline) {
    last = c.at;
    if (c.kind == kNewline) after_newline = c.at + c.size;
    c.next();
  }
  if (newlines && after_newline > begin) return after_newline;
  return c.kind == kEnd || last == begin ? c.at : last;
}

// The family of GPT-4's and Llama 3's patterns: any one character that is no line end, letter or number may lead a
// word. max_digits 0: no limit. `marks`: marks count as letters in words (Qwen 3.5).
template <bool contractions, int max_digits, bool marks = false>
size_t scan_llama3(std::string_view text, size_t at) {
  if (contractions && text[at] == '\'')
    if (const size_t end = scan_contraction<true>(text, at); end > at) return end;
  const auto is_mark = [&](const Cursor& c) {
    return marks && c.kind == kOther && static_cast<unsigned char>(c.byte()) >= 0x80 && unicode::is_mark([&] {
             uint32_t size;
             return unicode::decode_valid(text.data() + c.at, size);
           }());
  };
  const auto in_word = [&](const Cursor& c) { return c.kind == kLetter || is_mark(c); };
  const auto skip_word = [&](Cursor& c) {
    do c.next();
    while (in_word(c));
    return c.at;
  };
  Cursor c(text, at);
  if (c.kind == kLetter) return skip_word(c);
  if (c.kind == kNumber) {
    for (int digits = 0; c.kind == kNumber && (max_digits == 0 || digits < max_digits); ++digits) c.next();
    return c.at;
  }
  Cursor second = c;
  second.next();
  if (c.kind != kNewline && in_word(second)) return skip_word(second);
  if (is_mark(c)) return skip_word(c);
  Cursor other = c.byte() == ' ' ? second : c;
  if (other.kind == kOther && !is_mark(other)) {
    while (other.kind == kOther && !is_mark(other)) other.next();
    other.skip(kNewline);
    return other.at;
  }
  return scan_spaces<true>(c);
}

// Letters by case for GPT-4o's pattern. Marks, modifier letters and letters without case belong to both sides.
bool in_upper_part(char32_t code) {
  if (code < 0x80) return code >= 'A' && code <= 'Z';
  const Category c = unicode::category(code);
  return c == Category::Lu || c == Category::Lt || c == Category::Lm || c == Category::Lo || unicode::is_mark(c);
}
bool in_lower_part(char32_t code) {
  if (code < 0x80) return code >= 'a' && code <= 'z';
  const Category c = unicode::category(code);
  return c == Category::Ll || c == Category::Lm || c == Category::Lo || unicode::is_mark(c);
}

template <class F>
size_t skip_while(std::string_view text, size_t at, F&& inside) {
  uint32_t size;
  while (at < text.size() && inside(unicode::decode_valid(text.data() + at, size))) at += size;
  return at;
}

// [upper]*[lower]+ at `at`, or `at`. What the greedy upper part took too much it gives back one by one, so the last
// character that is in both parts becomes the lower part.
size_t scan_capitalised(std::string_view text, size_t at) {
  const size_t upper = skip_while(text, at, in_upper_part);
  const size_t lower_end = skip_while(text, upper, in_lower_part);
  if (lower_end > upper) return lower_end;
  uint32_t size;
  for (size_t end = upper; end > at;) {
    const size_t begin = unicode::previous(text, end);
    if (in_lower_part(unicode::decode_valid(text.data() + begin, size))) return end;
    end = begin;
  }
  return at;
}

// [upper]+[lower]* at `at`, or `at`.
size_t scan_upper_word(std::string_view text, size_t at) {
  const size_t upper = skip_while(text, at, in_upper_part);
  return upper == at ? at : skip_while(text, upper, in_lower_part);
}

// GPT-4o: words are cut at changes of case; contractions end the word they belong to.
template <bool contractions, int max_digits>
size_t scan_gpt4o(std::string_view text, size_t at) {
  const auto with_contraction = [&](size_t end) { return contractions ? scan_contraction<true>(text, end) : end; };
  Cursor c(text, at);
  const bool leads = c.kind != kNewline && c.kind != kLetter && c.kind != kNumber;
  for (const auto scan : {scan_capitalised, scan_upper_word}) {
    if (leads)
      if (const size_t end = scan(text, at + c.size); end > at + c.size) return with_contraction(end);
    if (const size_t end = scan(text, at); end > at) return with_contraction(end);
  }
  if (c.kind == kNumber) {
    for (int digits = 0; c.kind == kNumber && digits < max_digits; ++digits) c.next();
    return c.at;
  }
  Cursor other = c;
  if (c.byte() == ' ') other.next();
  if (other.kind == kOther) {
    other.skip(kOther);
    while (other.kind == kNewline || other.byte() == '/') other.next();
    return other.at;
  }
  return scan_spaces<true>(c);
}

struct Known {
  std::string_view pattern;
  Scanner scanner;
};

constexpr Known kKnown[] = {
    {kGpt2Split, scan_gpt2},
    {MYNAH_ANY_CASE "|" MYNAH_LLAMA3("\\p{N}{1,3}"), scan_llama3<true, 3>},
    {MYNAH_ANY_CASE "|" MYNAH_LLAMA3("\\p{N}"), scan_llama3<true, 1>},
    {MYNAH_ANY_CASE "|" MYNAH_LLAMA3("\\p{N}+"), scan_llama3<true, 0>},
    {MYNAH_LLAMA3("\\p{N}{1,3}"), scan_llama3<false, 3>},
    {MYNAH_LLAMA3("\\p{N}"), scan_llama3<false, 1>},
    {MYNAH_ANY_CASE "|" MYNAH_LEAD
     "[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*" MYNAH_SPACES,
     scan_llama3<true, 1, true>},
    {MYNAH_GPT4O(MYNAH_ANY_CASE "?", "\\p{N}{1,3}"), scan_gpt4o<true, 3>},
    {MYNAH_GPT4O("", "\\p{N}"), scan_gpt4o<false, 1>},
};

}  // namespace

size_t scan_gpt2(std::string_view text, size_t at) {
  if (text[at] == '\'')
    if (const size_t end = scan_contraction<false>(text, at); end > at) return end;
  Cursor c(text, at);
  Cursor run = c;
  if (c.byte() == ' ') run.next();
  if (run.kind == kLetter || run.kind == kNumber || run.kind == kOther) {
    run.skip(run.kind);
    return run.at;
  }
  return scan_spaces<false>(c);
}

CharacterClass known_class(std::string_view pattern) {
  if (pattern == "\\p{N}") return [](char32_t c) { return c < 0x80 ? c >= '0' && c <= '9' : unicode::is_number(c); };
  return nullptr;
}

Scanner known_scanner(std::string_view pattern) {
  for (const Known& known : kKnown)
    if (known.pattern == pattern) return known.scanner;
  return nullptr;
}

}  // namespace mynah::text
