// A forward reader of JSON text that makes no tree: vocabularies have 100,000 members and are read in one pass, strings
// as views into the text where they hold no escapes.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "text/string_table.h"

namespace mynah::text {

class JsonCursor {
 public:
  // `text` must outlive every view that is taken from it; `where` names it in errors.
  JsonCursor(std::string_view text, std::string_view where) : text_(text), where_(where) {}

  // The next character that is not white space, 0 at the end.
  char peek();
  // Throws integrity when something else comes.
  void expect(char c);
  bool consume(char c);
  // A string; its bytes are valid UTF-8 (lone surrogate escapes become U+FFFD).
  std::string_view string(TextArena& arena);
  // As the reference reads it, which may be one unit of the last place off.
  double number();
  int64_t integer();
  // The source text of the next value, checked for balance only.
  std::string_view skip_value();

  // member(key) must read the value.
  template <class F>
  void each_member(TextArena& arena, F&& member) {
    expect('{');
    if (consume('}')) return;
    do {
      const std::string_view key = string(arena);
      expect(':');
      member(key);
    } while (consume(','));
    expect('}');
  }
  template <class F>
  void each_element(F&& element) {
    expect('[');
    if (consume(']')) return;
    do element();
    while (consume(','));
    expect(']');
  }

 private:
  [[noreturn]] void broken(std::string_view wanted) const;
  std::string_view raw_string(bool& escaped);
  std::string unescape(std::string_view raw) const;

  std::string_view text_, where_;
  size_t at_ = 0;
};

}  // namespace mynah::text
