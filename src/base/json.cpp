#include "base/json.h"

#include "base/file.h"
#include "base/require.h"

namespace mynah {

Json parse_json(std::string_view text, std::string_view where) {
  constexpr int kMaxDepth = 128;
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      else if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxDepth) fail(ErrorCode::integrity, "{}: byte {}: JSON nested deeper than {}", where, i, kMaxDepth);
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& e) {
    fail(ErrorCode::integrity, "{}: byte {}: {}", where, e.byte, e.overflow ? "a number that is too large" : "not valid JSON");
  }
}

Json read_json_file(const std::filesystem::path& path) { return parse_json(read_text_file(path), path.string()); }

std::string to_text(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace mynah
