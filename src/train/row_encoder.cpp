#include "train/row_encoder.h"

#include <algorithm>

#include "base/log.h"
#include "base/require.h"
#include "base/unicode.h"
#include "data/rows.h"

namespace mynah::train {
namespace {

Json tools_of(const Json& row) {
  const auto it = row.find("tools");
  if (it == row.end()) return nullptr;
  return it->is_string() ? parse_json(it->get<std::string>(), "tools") : *it;
}

int64_t common_prefix(const std::vector<int32_t>& a, const std::vector<int32_t>& b) {
  return std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin();
}

void check_messages(const Json& messages, const std::string& where) {
  require(is_conversation(messages), "{}: messages are {}, expected a list of objects with role and content", where, messages.dump().substr(0, 80));
  for (const Json& m : messages)
    require(m.contains("content") || m.contains("tool_calls"), "{}: a message of {} has no content", where, m["role"].get<std::string>());
}

}  // namespace

Json messages_of_turns(const Json& turns) {
  if (!turns.is_array()) return turns;
  Json messages = Json::array();
  for (const Json& turn : turns) {
    if (!turn.is_object() || !turn.contains("from") || !turn["from"].is_string() || !turn.contains("value")) {
      messages.push_back(turn);
      continue;
    }
    const auto from = turn["from"].get<std::string>();
    messages.push_back({{"role", from == "human" ? "user" : from == "gpt" || from == "chatgpt" || from == "bot" ? "assistant" : from}, {"content", turn["value"]}});
  }
  return messages;
}

bool is_conversation(const Json& value) {
  return value.is_array() && !value.empty() && std::all_of(value.begin(), value.end(), [](const Json& m) {
           return m.is_object() && m.contains("role") && m["role"].is_string();
         });
}

Json joined(const Json& prompt, const Json& completion) {
  if (prompt.is_string()) return prompt.get<std::string>() + completion.get<std::string>();
  Json all = prompt;
  for (const Json& message : completion) all.push_back(message);
  return all;
}

// A space before the point where two texts part belongs to the completions.
Json extract_prompt(Json* chosen, Json* rejected) {
  if (chosen->is_array()) {
    Json prompt = Json::array();
    while (!chosen->empty() && !rejected->empty() && (*chosen)[0] == (*rejected)[0]) {
      prompt.push_back((*chosen)[0]);
      chosen->erase(0);
      rejected->erase(0);
    }
    return prompt;
  }
  const auto a = chosen->get<std::string>(), b = rejected->get<std::string>();
  auto at = static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
  while (at > 0 && at < a.size() && unicode::is_continuation(a[at])) --at;
  if (at > 0 && a[at - 1] == ' ') --at;
  *chosen = a.substr(at);
  *rejected = b.substr(at);
  return a.substr(0, at);
}

RowEncoder::RowEncoder(const bundle::Bundle& b) : b_(b) {
  require(b.tokenizer != nullptr, "{}: no tokenizer; rows of text need one", b.name);
  if (const auto eos = b.tokenizer->eos_id()) end_ = b.tokenizer->token_text(*eos);
}

int32_t RowEncoder::pad() const { return tokenizer().pad_id().value_or(tokenizer().eos_id().value_or(0)); }

std::string RowEncoder::with_end(const std::string& text) const { return text.ends_with(end_) ? text : text + end_; }

std::vector<int32_t> RowEncoder::text(const std::string& text, bool end) const { return tokenizer().encode_ids(end ? with_end(text) : text); }

// Where the text of all messages grows from message to message, an answer is what it adds to the text that asks for it. Line ends behind
// the answer's own end are the template's.
std::vector<std::pair<size_t, size_t>> RowEncoder::answers_in(const Json& messages, const Json& tools, const std::string& text) const {
  std::vector<std::pair<size_t, size_t>> spans;
  Json so_far = Json::array();
  for (const Json& message : messages) {
    if (message["role"] != "assistant") {
      so_far.push_back(message);
      continue;
    }
    std::string asking, answered;
    try {
      asking = bundle::render_chat(b_, so_far, tools, true);
      so_far.push_back(message);
      answered = bundle::render_chat(b_, so_far, tools, false);
    } catch (const Error&) {  // the template asks for what is not there yet
      return {};
    }
    if (!answered.starts_with(asking) || !text.starts_with(answered)) return {};
    size_t end = answered.size();
    while (end > asking.size() && (answered[end - 1] == '\n' || answered[end - 1] == ' ')) --end;
    spans.emplace_back(asking.size(), end);
  }
  return spans;
}

RowEncoder::Row RowEncoder::messages(const Json& messages, const Json& tools, bool generation_prompt, bool masks, const std::string& where) const {
  check_messages(messages, where);
  require(b_.chat_template != nullptr, "{}: messages, but {} has no chat template; put one into its folder as chat_template.jinja", where, b_.name);
  std::vector<std::pair<size_t, size_t>> spans;
  const std::string text = bundle::render_chat(b_, messages, tools, generation_prompt, &spans);
  Row row;
  if (masks && spans.empty()) spans = answers_in(messages, tools, text);
  if (!masks) {
    row.ids = tokenizer().encode_ids(text, false);
    return row;
  }
  const Encoding encoding = tokenizer().encode(text, false);
  row.ids = encoding.ids;
  row.assistant.assign(row.ids.size(), 0);
  for (const auto& [begin, end] : spans) {
    const auto first = static_cast<int64_t>(unicode::count_characters(std::string_view(text).substr(0, begin)));
    const auto last = first + static_cast<int64_t>(unicode::count_characters(std::string_view(text).substr(begin, end - begin)));
    for (size_t i = 0; i < row.ids.size(); ++i)
      if (encoding.offsets[i].second > first && encoding.offsets[i].first < last) row.assistant[i] = 1;
  }
  require(std::count(row.assistant.begin(), row.assistant.end(), 1) > 0,
          "{}: no token is the assistant's; --assistant-only-loss needs rows with answers, and a chat template with {{% generation %}} or one that writes a message the same whatever follows", where);
  return row;
}

std::vector<int32_t> RowEncoder::prompt_ids(const Json& row, const Json& prompt, const std::string& where) const {
  if (prompt.is_string()) return text(prompt.get<std::string>(), false);
  return messages(prompt, tools_of(row), true, false, where).ids;
}

RowEncoder::Row RowEncoder::prompt_completion(const Json& row, const Json& prompt, const Json& completion, bool masks, const std::string& where) const {
  Row out;
  if (prompt.is_string()) {
    require(completion.is_string(), "{}: the prompt is a string, the completion is {}, expected a string", where, completion.type_name());
    require(!completion.get_ref<const std::string&>().empty(), "{}: the completion is empty", where);
    out.ids = tokenizer().encode_ids(prompt.get<std::string>() + with_end(completion.get<std::string>()));
  } else {
    require(completion.is_array() && !completion.empty(), "{}: the completion is {}, expected messages", where, completion.type_name());
    check_messages(prompt, where);
    out = messages(joined(prompt, completion), tools_of(row), false, masks, where);
  }
  const std::vector<int32_t> before = prompt_ids(row, prompt, where);
  out.prompt = common_prefix(before, out.ids);
  if (out.prompt < static_cast<int64_t>(before.size())) {
    static bool said = false;
    if (!said) warn("{}: the tokens of prompt and prompt + completion part before the prompt ends; the completion starts there", where);
    said = true;
  }
  return out;
}

}  // namespace mynah::train
