// Anthropic's POST /v1/messages and /v1/messages/count_tokens.
#include <fmt/core.h>

#include <algorithm>

#include "serve/openai.h"

namespace mynah::serve {
namespace {

struct MessageForm {
  std::string model;
  bool stream = false;
  int64_t prompt_tokens = 0;
};

const char* stop_reason(const Outcome& outcome) {
  if (!outcome.calls.empty()) return "tool_use";
  if (outcome.ended.generated.reason == FinishReason::length) return "max_tokens";
  return outcome.ended.stop.empty() ? "end_turn" : "stop_sequence";
}

Json tool_block(const ToolCall& call) {
  return {{"type", "tool_use"},
          {"id", "toolu_" + call.id},
          {"name", call.name},
          {"input", parse_json(call.arguments, "arguments")}};
}

class MessageAnswer : public Listener {
 public:
  MessageAnswer(ReplyPtr reply, MessageForm form)
      : events_(std::move(reply)), form_(std::move(form)), id_(random_id("msg_", 24)) {}

  void on_delta(int, const ParsedText& text, const generation::TokenStep&) override {
    if (form_.stream) put(text);
  }

  void on_end(int, const ParsedText& rest, Outcome&& outcome) override {
    const Generated& g = outcome.ended.generated;
    const Json stop = outcome.ended.stop.empty() ? Json() : Json(outcome.ended.stop);
    if (!form_.stream) {
      Json content = Json::array();
      if (!outcome.thinking.empty())
        content.push_back({{"type", "thinking"}, {"thinking", outcome.thinking}, {"signature", ""}});
      if (!outcome.content.empty() || outcome.calls.empty())
        content.push_back({{"type", "text"}, {"text", outcome.content}});
      for (const auto& call : outcome.calls) content.push_back(tool_block(call));
      Json json = message(std::move(content), stop_reason(outcome), stop);
      json["usage"] = usage(g, static_cast<int64_t>(g.ids.size()));
      return events_.reply()->send({200, "application/json", to_text(json), {}});
    }
    put(rest);
    open("");
    for (const auto& call : outcome.calls) {
      Json block = tool_block(call);
      block["input"] = Json::object();
      start_message();
      events_.event("content_block_start",
                    {{"type", "content_block_start"}, {"index", index_}, {"content_block", block}});
      events_.event("content_block_delta",
                    {{"type", "content_block_delta"},
                     {"index", index_},
                     {"delta", {{"type", "input_json_delta"}, {"partial_json", call.arguments}}}});
      events_.event("content_block_stop", {{"type", "content_block_stop"}, {"index", index_++}});
    }
    start_message();
    events_.event("message_delta", {{"type", "message_delta"},
                                    {"delta", {{"stop_reason", stop_reason(outcome)}, {"stop_sequence", stop}}},
                                    {"usage", usage(g, static_cast<int64_t>(g.ids.size()))}});
    events_.event("message_stop", {{"type", "message_stop"}});
    events_.end();
  }

  void on_error(int, const ApiError& error) override {
    if (!events_.begun()) return events_.reply()->send(error_answer(Dialect::anthropic, error));
    events_.event("error", error_json(Dialect::anthropic, error));
    events_.end();
  }

 private:
  Json message(Json content, const Json& reason, const Json& stop) const {
    return {{"id", id_},
            {"type", "message"},
            {"role", "assistant"},
            {"model", form_.model},
            {"content", std::move(content)},
            {"stop_reason", reason},
            {"stop_sequence", stop}};
  }
  Json usage(const Generated& g, int64_t output) const {
    return {{"input_tokens", form_.prompt_tokens - g.reused_tokens},
            {"cache_creation_input_tokens", 0},
            {"cache_read_input_tokens", g.reused_tokens},
            {"output_tokens", output}};
  }
  void start_message() {
    if (std::exchange(started_, true)) return;
    Json json = message(Json::array(), nullptr, nullptr);
    Generated none;
    json["usage"] = usage(none, 0);
    events_.event("message_start", {{"type", "message_start"}, {"message", json}});
    events_.event("ping", {{"type", "ping"}});
  }
  // Makes `kind` ("text", "thinking") the open block; "" closes it.
  void open(const std::string& kind) {
    if (open_ == kind) return;
    if (!open_.empty()) events_.event("content_block_stop", {{"type", "content_block_stop"}, {"index", index_++}});
    open_ = kind;
    if (kind.empty()) return;
    start_message();
    events_.event(
        "content_block_start",
        {{"type", "content_block_start"}, {"index", index_}, {"content_block", {{"type", kind}, {kind, ""}}}});
  }
  void put(const ParsedText& text) {
    for (const auto& [kind, piece] :
         {std::pair<const char*, const std::string&>{"thinking", text.thinking}, {"text", text.content}}) {
      if (piece.empty()) continue;
      open(kind);
      events_.event("content_block_delta", {{"type", "content_block_delta"},
                                            {"index", index_},
                                            {"delta", {{"type", std::string(kind) + "_delta"}, {kind, piece}}}});
    }
  }

  EventStream events_;
  MessageForm form_;
  std::string id_, open_;
  int64_t index_ = 0;
  bool started_ = false;
};

Json messages_of(const Fields& f, const std::string& model) {
  Json out = Json::array();
  if (const Json* system = f.find("system")) {
    const std::string text = content_text(*system, "system.", model);
    if (!text.empty()) out.push_back({{"role", "system"}, {"content", text}});
  }
  const Json* list = f.array("messages");
  if (!list) throw ApiError(400, "messages: field required", "messages");
  if (list->empty()) throw ApiError(400, "messages: at least one message is required", "messages");
  for (size_t i = 0; i < list->size(); ++i) {
    const Json& m = (*list)[i];
    const std::string where = fmt::format("messages.{}.", i),
                      role = m.is_object() ? Fields(m, where).text_or("role", "") : "";
    if (role != "user" && role != "assistant" && role != "system")
      throw ApiError(400, fmt::format("{}role: must be user or assistant", where), "messages");
    const auto content = m.find("content");
    if (content == m.end()) throw ApiError(400, where + "content: field required", "messages");
    if (!content->is_array()) {
      out.push_back({{"role", role}, {"content", content_text(*content, where, model)}});
      continue;
    }
    Json rest = Json::array(), calls = Json::array();
    for (const Json& block : *content) {
      if (!block.is_object()) throw ApiError(400, where + "content: a block that is no object", "messages");
      const Fields b(block, where + "content.");
      const std::string type = b.text_or("type", "");
      if (type == "tool_use") {
        calls.push_back({{"id", b.text_or("id", "")},
                         {"type", "function"},
                         {"function",
                          {{"name", b.text_or("name", "")},
                           {"arguments", block.contains("input") ? block["input"] : Json::object()}}}});
      } else if (type == "tool_result") {
        const auto inner = block.find("content");
        out.push_back({{"role", "tool"},
                       {"tool_call_id", b.text_or("tool_use_id", "")},
                       {"content", inner == block.end() ? "" : content_text(*inner, where, model)}});
      } else if (type != "thinking" && type != "redacted_thinking") {
        rest.push_back(block);
      }
    }
    if (rest.empty() && calls.empty()) continue;
    Json message = {{"role", role}, {"content", message_content(rest, where, model)}};
    if (!calls.empty()) message["tool_calls"] = calls;
    out.push_back(std::move(message));
  }
  return out;
}

// Tools in the form of chat templates.
Json tools_of(const Fields& f) {
  const Json* list = f.array("tools");
  if (!list || list->empty()) return nullptr;
  Json out = Json::array();
  for (const Json& tool : *list) {
    if (!tool.is_object() || !tool.contains("name") || !tool["name"].is_string())
      throw ApiError(400, "tools: a tool without name", "tools");
    if (!tool.contains("input_schema"))
      throw ApiError(400,
                     fmt::format("tools: \"{}\" is no tool of the client's own, which this server does not have",
                                 tool["name"].get<std::string>()),
                     "tools");
    out.push_back({{"type", "function"},
                   {"function",
                    {{"name", tool["name"]},
                     {"description", Fields(tool, "tools.").text_or("description", "")},
                     {"parameters", tool["input_schema"]}}}});
  }
  return out;
}

void anthropic_messages(Call& call) {
  const Json body = call.body();
  const Fields f(body);
  const std::string name = model_name(call, f);
  const auto most = f.integer("max_tokens", 1);
  if (!most) throw ApiError(400, "max_tokens: field required", "max_tokens");
  Json messages = messages_of(f, name);
  MessageForm form;
  form.stream = f.boolean("stream").value_or(false);
  form.model = f.text_or("model", name);
  auto lease = call.acquire(name);
  LoadedModel& model = *lease;
  require_generation(model, name);
  Json tools = tools_of(f);
  if (!tools.is_null()) require_tools(model, name);
  OllamaSettings settings = openai_settings(model, Fields(Json::object()));
  settings.config.temperature = static_cast<float>(f.number("temperature", 0, 1).value_or(settings.config.temperature));
  settings.config.top_p = static_cast<float>(f.number("top_p", 0, 1).value_or(settings.config.top_p));
  settings.config.top_k = f.integer("top_k", 0).value_or(settings.config.top_k);
  settings.config.do_sample = settings.config.temperature > 0;
  if (const auto stops = f.texts("stop_sequences")) {
    settings.config.stop_strings.clear();
    for (const auto& stop : *stops)
      if (!stop.empty()) settings.config.stop_strings.push_back(stop);
  }
  for (const char* field : {"mcp_servers", "container"}) f.refuse(field, "this server does not have it");
  const Json* output = f.object("output_config");
  const Json* shape = output ? Fields(*output, "output_config.").object("format") : f.object("output_format");
  if (shape) {
    const Fields s(*shape, "output_config.format.");
    const Json* schema = s.object("schema");
    if (s.text_or("type", "") != "json_schema" || !schema)
      throw ApiError(400, "output_config.format: expected {\"type\": \"json_schema\", \"schema\": {...}}",
                     "output_config");
    settings.config.format = json_format(*schema);
  }
  Json think = model.description.thinking ? Json(false) : Json();
  if (const Json* thinking = f.object("thinking");
      thinking && Fields(*thinking, "thinking.").text_or("type", "") == "enabled") {
    if (!model.description.thinking)
      throw ApiError(400, fmt::format("\"{}\" does not support thinking", name), "thinking");
    think = true;
  }
  Plan plan;
  if (const Json* choice = f.object("tool_choice")) {
    const std::string type = Fields(*choice, "tool_choice.").text_or("type", "");
    if (type == "none") tools = nullptr;
    if (type == "any" || type == "tool") {
      if (tools.is_null()) throw ApiError(400, "tool_choice asks for a call, but there are no tools", "tool_choice");
      const std::string wanted = type == "tool" ? Fields(*choice, "tool_choice.").text_or("name", "") : "";
      settings.config.format = tool_format(tools, wanted);
      plan.parser.only_call = true;
    } else if (type != "auto" && type != "none") {
      throw ApiError(400, "tool_choice.type: must be auto, any, tool or none", "tool_choice");
    }
  }
  chat_prompt(model, std::move(messages), tools, think, &plan.job);
  form.prompt_tokens = static_cast<int64_t>(plan.job.prompt.size());
  plan.job.config = settings.config;
  plan.job.config.max_new_tokens = openai_limit(model, settings, form.prompt_tokens, most);
  plan.job.penalties = settings.penalties;
  plan.parser.tools = !tools.is_null();
  plan.parser.thinking = think.is_boolean() && think.get<bool>();
  std::vector<Plan> plans;
  plans.push_back(std::move(plan));
  launch(call, std::move(lease), std::move(plans),
         std::make_shared<MessageAnswer>(call.reply, std::move(form)));
}

void count_tokens(Call& call) {
  const Json body = call.body();
  const Fields f(body);
  const std::string name = model_name(call, f);
  Json messages = messages_of(f, name);
  auto lease = call.acquire(name);
  require_generation(*lease, name);
  call.send_json({{"input_tokens", chat_ids(*lease, std::move(messages), tools_of(f)).size()}});
}

}  // namespace

std::span<const Route> anthropic_routes() {
  static const Route routes[] = {{"POST", "/v1/messages", anthropic_messages}, {"POST", "/v1/messages/count_tokens", count_tokens}};
  return routes;
}

}  // namespace mynah::serve
