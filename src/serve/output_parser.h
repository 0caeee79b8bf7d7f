// Takes an answer apart as it comes: what the model thinks (<think>...</think>), what it says, and the tools it calls, in the
// forms that chat templates teach: <tool_call>{...}</tool_call>, [TOOL_CALLS][...], or an answer that is one JSON call.
#pragma once
#include <string>
#include <vector>

#include "base/json.h"

namespace mynah::serve {

struct ToolCall {
  std::string name, id;
  std::string arguments;  // JSON text of an object
};

struct ParsedText {
  std::string thinking, content;
  bool empty() const { return thinking.empty() && content.empty(); }
};

struct ParserOptions {
  bool thinking = false;         // look for <think>
  bool starts_thinking = false;  // the prompt ends with <think>
  bool tools = false;            // look for calls
  bool only_call = false;        // the whole answer is one call in JSON
};

class OutputParser {
 public:
  explicit OutputParser(const ParserOptions& options);
  // What may be shown after `text`.
  ParsedText push(const std::string& text);
  ParsedText finish();
  const std::vector<ToolCall>& calls() const { return calls_; }

 private:
  enum class State { start, thinking, content, call, whole };
  void advance(ParsedText* out, bool end);
  bool take_calls(const std::string& json);
  void trim();

  ParserOptions options_;
  State state_;
  std::string held_, closing_;
  bool trims_ = false;       // blanks in front of the answer are dropped
  bool after_call_ = false;  // the last thing read was a call
  std::vector<ToolCall> calls_;
};

}  // namespace mynah::serve
