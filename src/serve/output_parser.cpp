#include "serve/output_parser.h"

#include <algorithm>

#include "base/json.h"
#include "mynah/error.h"
#include "serve/answer.h"

namespace mynah::serve {
namespace {

constexpr const char* kThink = "<think>";
constexpr const char* kThinkEnd = "</think>";

struct Mark {
  const char *open, *close;
};
constexpr Mark kCallMarks[] = {{"<tool_call>", "</tool_call>"}, {"[TOOL_CALLS]", ""}, {"<|python_tag|>", ""}, {"<function_call>", "</function_call>"}};

// How many bytes at the end of `text` may begin `mark`.
size_t partial(const std::string& text, const std::string& mark) {
  for (size_t n = std::min(text.size(), mark.size() - 1); n > 0; --n)
    if (text.compare(text.size() - n, n, mark, 0, n) == 0) return n;
  return 0;
}

bool blank(const std::string& text) { return text.find_first_not_of(" \t\r\n") == std::string::npos; }

}  // namespace

OutputParser::OutputParser(const ParserOptions& options)
    : options_(options), state_(options.only_call ? State::whole : options.starts_thinking ? State::thinking : State::start) {}

ParsedText OutputParser::push(const std::string& text) {
  ParsedText out;
  held_ += text;
  advance(&out, false);
  return out;
}

ParsedText OutputParser::finish() {
  ParsedText out;
  advance(&out, true);
  return out;
}

// Drops the blanks between thoughts and the answer, however they come.
void OutputParser::trim() {
  const size_t text = held_.find_first_not_of(" \t\r\n");
  held_.erase(0, std::min(text, held_.size()));
  trims_ = held_.empty();
}

// A JSON call, or a list of them; false if it is none.
bool OutputParser::take_calls(const std::string& text) {
  Json json;
  try {
    json = parse_json(text, "call");
  } catch (const Error&) {
    return false;
  }
  if (!json.is_array()) json = Json::array({json});
  std::vector<ToolCall> found;
  for (Json& item : json) {
    if (item.is_object() && item.contains("function") && item["function"].is_object()) item = Json(item["function"]);
    if (!item.is_object() || !item.contains("name") || !item["name"].is_string()) return false;
    Json arguments = item.contains("arguments") ? item["arguments"] : item.contains("parameters") ? item["parameters"] : Json::object();
    if (arguments.is_string()) {
      try {
        arguments = parse_json(arguments.get<std::string>(), "arguments");
      } catch (const Error&) {
        return false;
      }
    }
    if (!arguments.is_object()) return false;
    found.push_back({item["name"].get<std::string>(), random_id("call_", 8), to_text(arguments)});
  }
  if (found.empty()) return false;
  calls_.insert(calls_.end(), found.begin(), found.end());
  return true;
}

void OutputParser::advance(ParsedText* out, bool end) {
  for (;;) {
    switch (state_) {
      case State::start: {
        if (trims_) trim();
        if (!options_.thinking && !options_.tools) {
          state_ = State::content;
          continue;
        }
        if (blank(held_) && !end) return;
        const std::string rest = blank(held_) ? "" : held_.substr(held_.find_first_not_of(" \t\r\n"));
        if (options_.thinking && rest.starts_with(kThink)) {
          held_ = rest.substr(7);
          state_ = State::thinking;
          continue;
        }
        if (options_.thinking && !end && std::string(kThink).starts_with(rest)) return;
        // An answer that is JSON from its first letter may be a call.
        if (options_.tools && (rest.starts_with('{') || rest.starts_with("[{"))) {
          state_ = State::whole;
          continue;
        }
        if (options_.tools && rest == "[" && !end) return;
        state_ = State::content;
        continue;
      }
      case State::thinking: {
        const size_t at = held_.find(kThinkEnd);
        if (at == std::string::npos) {
          const size_t keep = end ? 0 : partial(held_, kThinkEnd);
          out->thinking += held_.substr(0, held_.size() - keep);
          held_.erase(0, held_.size() - keep);
          return;
        }
        out->thinking += held_.substr(0, at);
        held_.erase(0, at + 8);
        trims_ = true;
        options_.thinking = false;
        state_ = options_.tools ? State::start : State::content;
        continue;
      }
      case State::content: {
        if (trims_) trim();
        // Blanks behind a call are shown only in front of something.
        if (after_call_ && blank(held_)) {
          if (end) held_.clear();
          return;
        }
        after_call_ = false;
        if (!options_.tools) {
          out->content += held_;
          held_.clear();
          return;
        }
        size_t first = std::string::npos, keep = 0;
        const Mark* found = nullptr;
        for (const Mark& mark : kCallMarks) {
          if (const size_t at = held_.find(mark.open); at < first) {
            first = at;
            found = &mark;
          }
          keep = std::max(keep, partial(held_, mark.open));
        }
        if (!found) {
          if (end) keep = 0;
          out->content += held_.substr(0, held_.size() - keep);
          held_.erase(0, held_.size() - keep);
          return;
        }
        if (!blank(held_.substr(0, first))) out->content += held_.substr(0, first);
        held_.erase(0, first + std::string(found->open).size());
        closing_ = found->close;
        state_ = State::call;
        continue;
      }
      case State::call: {
        const size_t at = closing_.empty() ? std::string::npos : held_.find(closing_);
        if (at == std::string::npos && !end) return;
        const std::string inside = held_.substr(0, at);
        if (!take_calls(inside)) out->content += inside;  // not what was taught: shown as it is
        held_.erase(0, at == std::string::npos ? held_.size() : at + closing_.size());
        state_ = State::content;
        after_call_ = true;
        continue;
      }
      case State::whole: {
        if (!end) return;
        if (!take_calls(held_)) out->content += held_;
        held_.clear();
        return;
      }
    }
  }
}

}  // namespace mynah::serve
