#include "assistant/assistant.h"

#include <algorithm>

#include "assistant/commands.h"
#include "assistant/sentences.h"
#include "base/require.h"
#include "bundle/bundle.h"
#include "mynah/json.h"
#include "serve/output_parser.h"
#include "text/template.h"

namespace mynah::assistant {
namespace {

constexpr int kMostRounds = 4;  // of tools and answers to one question
constexpr const char* kSystem =
    "You are mynah, a voice assistant. Answer in one to three short sentences of plain spoken language, without lists or headings.";

// Whether the template shows tools to the model: what it writes differs with them.
bool knows_tools(const bundle::Bundle& b, const Json& tools) {
  if (!b.chat_template) return false;
  const Json question = Json::array({{{"role", "user"}, {"content", "hello"}}});
  try {
    return bundle::render_chat(b, question, tools, true) != bundle::render_chat(b, question, nullptr, true);
  } catch (const Error&) {
    return false;
  }
}

std::string joined(const std::vector<std::string>& sentences) {
  std::string out;
  for (const std::string& s : sentences) out += (out.empty() ? "" : " ") + s;
  return out;
}

}  // namespace

Assistant::Assistant(const Model& model, GenerationConfig settings, Toolbox& tools, const std::string& system)
    : model_(model), session_(model), settings_(std::move(settings)), tools_(tools), calls_tools_(knows_tools(model.bundle(), tools.descriptions())) {
  require(model.tokenizer() != nullptr, "talk: {} comes without a tokenizer", model.bundle().name);
  messages_ = Json::array({{{"role", "system"}, {"content", system.empty() ? kSystem : system}}});
  // Some templates refuse what a system message says.
  if (model.bundle().chat_template) try {
      Json first = messages_;
      first.push_back({{"role", "user"}, {"content", "hello"}});
      bundle::render_chat(model.bundle(), first, nullptr, true);
    } catch (const Error&) {
      messages_ = Json::array();
    }
}

std::vector<int32_t> Assistant::prompt(const Json& messages, const Json& tools) const {
  const bundle::Bundle& b = model_.bundle();
  if (!b.chat_template) {
    std::vector<ChatMessage> plain;
    for (const Json& m : messages) plain.push_back({m["role"].get<std::string>(), m["content"].get<std::string>()});
    return chat_prompt(model_, plain);
  }
  return b.tokenizer->encode_ids(bundle::render_chat(b, messages, tools, true), false, true);
}

// The oldest exchange goes when the conversation outgrows the context.
std::vector<int32_t> Assistant::fitting_prompt(const Json& tools) {
  for (;;) {
    std::vector<int32_t> ids = prompt(messages_, tools);
    const int64_t context = model_.context_length(), answer = settings_.max_new_tokens.value_or(256);
    if (context <= 0 || static_cast<int64_t>(ids.size()) + std::min(answer, context / 4) <= context) return ids;
    // Up to the next thing that the user said.
    const size_t first = !messages_.empty() && messages_[0]["role"] == "system" ? 1 : 0;
    size_t end = first + 1;
    while (end < messages_.size() && messages_[end]["role"] != "user") ++end;
    require(end < messages_.size(), "talk: {} tokens do not fit the context of {}", ids.size(), context);
    for (size_t i = first; i < end; ++i) messages_.erase(first);
  }
}

void Assistant::generate(const std::vector<int32_t>& ids, Reply* reply, const std::function<bool(const std::string&)>& say, std::string* text, std::vector<ToolCall>* calls) {
  serve::OutputParser parser({.thinking = true, .tools = calls != nullptr});
  SentenceCutter cutter;
  const auto put = [&](const std::vector<std::string>& sentences) {
    for (const std::string& s : sentences) {
      if (!reply->complete) return false;
      reply->sentences.push_back(s);
      reply->complete = say(s);
    }
    return reply->complete;
  };
  session_.generate(ids, settings_, [&](const std::string& piece) {
    *text += piece;
    return put(cutter.push(parser.push(piece).content));
  });
  if (!reply->complete) return;
  put(cutter.push(parser.finish().content));
  put(cutter.finish());
  if (!calls) return;
  for (const serve::ToolCall& call : parser.calls()) calls->push_back({call.name, Json::parse(call.arguments), ""});
}

void Assistant::ask_model(Reply* reply, const std::function<bool(const std::string&)>& say) {
  const Json tools = calls_tools_ ? tools_.descriptions() : Json();
  for (int round = 0; round < kMostRounds; ++round) {
    std::string text;
    std::vector<ToolCall> calls;
    const bool last = round + 1 == kMostRounds;
    generate(fitting_prompt(tools), reply, say, &text, calls_tools_ && !last ? &calls : nullptr);
    if (calls.empty() || !reply->complete) return;
    Json wanted = Json::array();
    for (const ToolCall& call : calls) wanted.push_back({{"type", "function"}, {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
    messages_.push_back({{"role", "assistant"}, {"content", ""}, {"tool_calls", wanted}});
    for (ToolCall& call : calls) {
      call.result = tools_.call(call.name, call.arguments).text;
      messages_.push_back({{"role", "tool"}, {"name", call.name}, {"content", call.result}});
      reply->tools.push_back(std::move(call));
    }
  }
}

void Assistant::answer_from(const std::string& passages, const std::string& question, Reply* reply, const std::function<bool(const std::string&)>& say) {
  const int64_t context = model_.context_length(), answer = settings_.max_new_tokens.value_or(256);
  std::string shown = passages;
  std::vector<int32_t> ids;
  for (;;) {
    ids = prompt({{{"role", "system"},
                   {"content", "You answer questions from passages of the user's files, in one or two short spoken sentences. If they do not answer it, say so."}},
                  {{"role", "user"}, {"content", shown + "\nQuestion: " + question}}},
                 nullptr);
    if (context <= 0 || shown.empty() || static_cast<int64_t>(ids.size()) + std::min(answer, context / 4) <= context) break;
    shown.resize(shown.size() / 2);  // the best passages stand first
    while (!shown.empty() && (static_cast<unsigned char>(shown.back()) & 0xC0) == 0x80) shown.pop_back();
    if (!shown.empty() && static_cast<unsigned char>(shown.back()) >= 0xC0) shown.pop_back();
  }
  std::string text;
  generate(ids, reply, say, &text, nullptr);
}

Reply Assistant::answer(const std::string& heard, const std::function<bool(const std::string&)>& say) {
  Reply reply;
  const auto speak = [&](const std::string& text) {
    if (!reply.complete || text.empty()) return;
    reply.sentences.push_back(text);
    reply.complete = say(text);
  };
  const auto command = understand(heard);
  if (command && command->tool == "stop") return reply;
  if (command && command->tool == "repeat") {
    const std::vector<std::string> again = last_;
    for (const std::string& s : again) speak(s);
    return reply;
  }
  messages_.push_back({{"role", "user"}, {"content", heard}});
  try {
    if (!command) {
      ask_model(&reply, say);
    } else if (command->tool == "goodbye") {
      reply.goodbye = true;
      speak("Goodbye.");
    } else {
      const ToolAnswer answer = tools_.call(command->tool, command->arguments);
      reply.tools.push_back({command->tool, command->arguments, answer.text});
      if (answer.passages)
        answer_from(answer.text, heard, &reply, say);
      else
        speak(answer.text);
    }
  } catch (...) {
    while (!messages_.empty() && messages_.back()["role"] != "user") messages_.erase(messages_.size() - 1);
    messages_.erase(messages_.size() - 1);
    throw;
  }
  remember(reply);
  return reply;
}

void Assistant::remember(const Reply& reply) {
  last_ = reply.sentences;
  messages_.push_back({{"role", "assistant"}, {"content", joined(last_)}});
}

void Assistant::heard_only(size_t sentences) {
  if (sentences >= last_.size() || messages_.back()["role"] != "assistant") return;
  last_.resize(sentences);
  messages_.back()["content"] = joined(last_) + (sentences > 0 ? " ..." : "...");
}

}  // namespace mynah::assistant
