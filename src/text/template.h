// Chat templates: the Jinja2 text that a checkpoint carries to turn messages into a prompt, run as transformers'
// apply_chat_template runs it (immutable sandbox, trim_blocks, lstrip_blocks, loop controls, `{% generation %}`).
#pragma once
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"

namespace mynah {

// A parsed template. Immutable, so one object may be rendered by several threads at once.
//
// A template is hostile until proven otherwise: it reaches nothing but its variables, and it is bounded in nesting
// (128), steps (1 million), depth of macro calls (64), size of a value and of the output (4 MB) and total bytes made
// (256 MB). What Jinja2 has and this has not: template inheritance and inclusion, recursive loops, automatic escaping
// (`safe` returns its argument and `escape` an ordinary string), integers beyond 64 bits.
class ChatTemplate {
 public:
  // Throws integrity with "chat template NAME: line N: reason" for text that is no template; `name` is for messages
  // only.
  static std::shared_ptr<const ChatTemplate> parse(std::string_view source, std::string_view name);
  ~ChatTemplate();
  ChatTemplate(const ChatTemplate&) = delete;
  ChatTemplate& operator=(const ChatTemplate&) = delete;

  // `variables` is an object: messages, tools, add_generation_prompt, bos_token, eos_token and any other. As in
  // transformers `tools` and `documents` are none and `add_generation_prompt` is false unless given. `now` is what
  // strftime_now() sees (default: the local time). Throws failure with "chat template NAME: line N: reason" when the
  // template fails, raises an exception of its own or exceeds a limit.
  // `generated`, if given, gets the bytes [begin, end) of the output that `{% generation %}` blocks wrote.
  std::string render(const Json& variables, const std::optional<std::tm>& now = std::nullopt,
                     std::vector<std::pair<size_t, size_t>>* generated = nullptr) const;

 private:
  struct Parsed;
  explicit ChatTemplate(std::unique_ptr<const Parsed> parsed);
  std::unique_ptr<const Parsed> parsed_;
};

}  // namespace mynah
