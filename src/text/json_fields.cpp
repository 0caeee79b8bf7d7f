#include "text/json_fields.h"

#include "base/unicode.h"

namespace mynah::text {

std::string shown(std::string_view text) {
  constexpr size_t kMost = 60;
  std::string out;
  for (const char c : text.substr(0, kMost)) out.push_back(c >= ' ' && c <= '~' ? c : '?');
  return text.size() > kMost ? out + "..." : out;
}

char32_t character_field(const Json& object, const char* name, char32_t fallback) {
  const Json* field = find_field(object, name);
  if (!field) return fallback;
  const std::string text = string_value(*field, name);
  if (!text.empty()) {
    const unicode::Decoded d = unicode::decode_any(text, 0);
    if (d.valid && d.size == text.size()) return d.code;
  }
  fail(ErrorCode::integrity, "tokenizer: the field '{}' is not a single character", name);
}

}  // namespace mynah::text
