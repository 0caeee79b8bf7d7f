// Parses the bytes as a chat template and renders it with one conversation.
#include <cstdlib>

#include "mynah/error.h"
#include "mynah/json.h"
#include "text/template.h"

using namespace mynah;

namespace {

const Json& conversation() {
  static const Json variables = Json::parse(R"({
    "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": " a b\n"}, {"role": "assistant", "content": "c",
                  "tool_calls": [{"id": "123456789", "type": "function", "function": {"name": "f", "arguments": {"x": [1, 2.5, null]}}}]}],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"x": {"type": "array"}}}}}],
    "add_generation_prompt": true, "bos_token": "<s>", "eos_token": "</s>", "s": "Hello, World", "u": "\u00c9t\u00e9 \u4f60",
    "n": 7, "f": 2.5, "l": [3, 1, 2], "d": {"b": 1, "a": [1, {"x": "y"}]}, "e": ""})");
  return variables;
}

}  // namespace

int template_fuzz(const uint8_t* data, size_t size) {
  try {
    ChatTemplate::parse({reinterpret_cast<const char*>(data), size}, "fuzz")->render(conversation(), std::tm{});
  } catch (const Error& e) {
    if (e.code() != ErrorCode::integrity && e.code() != ErrorCode::failure) std::abort();
    if (std::string_view(e.what()).find('\n') != std::string_view::npos) std::abort();
  }
  return 0;
}
