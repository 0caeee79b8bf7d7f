// OpenAI's POST /v1/responses, with GET and DELETE of kept ones.
#include <fmt/core.h>

#include <algorithm>

#include "serve/openai.h"

namespace mynah::serve {
namespace {

struct ResponseForm {
  Json head;      // the object as it is before there is output
  Json messages;  // the conversation that is answered
  Json input;     // the request's items
  std::string owner;
  bool stream = false, keep = true;
};

class ResponseAnswer : public Listener {
 public:
  ResponseAnswer(Service& service, ReplyPtr reply, ResponseForm form)
      : service_(service), events_(std::move(reply)), form_(std::move(form)) {}

  void on_delta(int, const ParsedText& text, const generation::TokenStep&) override {
    if (form_.stream) put(text);
  }

  void on_end(int, const ParsedText& rest, Outcome&& outcome) override {
    const Generated& g = outcome.ended.generated;
    const bool cut = outcome.calls.empty() && g.reason == FinishReason::length;
    if (form_.stream) put(rest);
    if (!outcome.thinking.empty()) think_done(outcome.thinking);
    if (!outcome.content.empty() || outcome.calls.empty()) message_done(outcome.content, cut);
    for (const auto& call : outcome.calls) call_done(call);
    Json response = form_.head;
    response["status"] = cut ? "incomplete" : "completed";
    response["completed_at"] = unix_time();
    if (cut) response["incomplete_details"] = {{"reason", "max_output_tokens"}};
    response["output"] = output_;
    response["usage"] = {{"input_tokens", g.prompt_tokens},
                         {"input_tokens_details", {{"cached_tokens", g.reused_tokens}}},
                         {"output_tokens", g.ids.size()},
                         {"output_tokens_details", {{"reasoning_tokens", 0}}},
                         {"total_tokens", g.prompt_tokens + static_cast<int64_t>(g.ids.size())}};
    if (form_.keep) store(response, outcome);
    if (!form_.stream) return events_.reply()->send({200, "application/json", to_text(response), {}});
    start();
    send(cut ? "response.incomplete" : "response.completed", {{"response", response}});
    events_.end();
  }

  void on_error(int, const ApiError& error) override {
    if (!events_.begun()) return events_.reply()->send(error_answer(Dialect::openai, error));
    Json response = form_.head;
    response["status"] = "failed";
    response["error"] = {{"code", "server_error"}, {"message", error.what()}};
    send("response.failed", {{"response", response}});
    events_.end();
  }

 private:
  void send(const char* type, const Json& fields) {
    Json json = {{"type", type}, {"sequence_number", number_++}};
    json.update(fields);
    events_.event(type, json);
  }
  void start() {
    if (std::exchange(started_, true)) return;
    send("response.created", {{"response", form_.head}});
    send("response.in_progress", {{"response", form_.head}});
  }
  size_t index() const { return output_.size(); }

  // The thought, told as its summary.
  void open_thought() {
    if (!thought_.empty()) return;
    start();
    thought_ = random_id("rs_", 24);
    send("response.output_item.added",
         {{"output_index", index()}, {"item", {{"id", thought_}, {"type", "reasoning"}, {"summary", Json::array()}}}});
    send("response.reasoning_summary_part.added", {{"item_id", thought_},
                                                   {"output_index", index()},
                                                   {"summary_index", 0},
                                                   {"part", {{"type", "summary_text"}, {"text", ""}}}});
  }
  void think_done(const std::string& text) {
    if (std::exchange(thought_done_, true)) return;
    const Json part = {{"type", "summary_text"}, {"text", text}};
    if (form_.stream) open_thought();
    const Json item = {{"id", form_.stream ? thought_ : random_id("rs_", 24)},
                       {"type", "reasoning"},
                       {"summary", Json::array({part})}};
    if (form_.stream) {
      send("response.reasoning_summary_text.done",
           {{"item_id", thought_}, {"output_index", index()}, {"summary_index", 0}, {"text", text}});
      send("response.reasoning_summary_part.done",
           {{"item_id", thought_}, {"output_index", index()}, {"summary_index", 0}, {"part", part}});
      send("response.output_item.done", {{"output_index", index()}, {"item", item}});
    }
    output_.push_back(item);
  }

  void open_message() {
    if (!message_.empty()) return;
    start();
    message_ = random_id("msg_", 24);
    send("response.output_item.added", {{"output_index", index()},
                                        {"item",
                                         {{"id", message_},
                                          {"type", "message"},
                                          {"role", "assistant"},
                                          {"status", "in_progress"},
                                          {"content", Json::array()}}}});
    send("response.content_part.added",
         {{"item_id", message_},
          {"output_index", index()},
          {"content_index", 0},
          {"part",
           {{"type", "output_text"}, {"text", ""}, {"annotations", Json::array()}, {"logprobs", Json::array()}}}});
  }
  void message_done(const std::string& text, bool cut) {
    if (form_.stream) open_message();
    const Json part = {
        {"type", "output_text"}, {"text", text}, {"annotations", Json::array()}, {"logprobs", Json::array()}};
    const Json item = {{"id", form_.stream ? message_ : random_id("msg_", 24)},
                       {"type", "message"},
                       {"role", "assistant"},
                       {"status", cut ? "incomplete" : "completed"},
                       {"content", Json::array({part})}};
    if (form_.stream) {
      send("response.output_text.done", {{"item_id", message_},
                                         {"output_index", index()},
                                         {"content_index", 0},
                                         {"text", text},
                                         {"logprobs", Json::array()}});
      send("response.content_part.done",
           {{"item_id", message_}, {"output_index", index()}, {"content_index", 0}, {"part", part}});
      send("response.output_item.done", {{"output_index", index()}, {"item", item}});
    }
    output_.push_back(item);
  }

  void call_done(const ToolCall& call) {
    const Json item = {{"id", random_id("fc_", 24)}, {"type", "function_call"}, {"status", "completed"},
                       {"call_id", call.id},         {"name", call.name},       {"arguments", call.arguments}};
    if (form_.stream) {
      start();
      Json begun = item;
      begun["arguments"] = "";
      begun["status"] = "in_progress";
      send("response.output_item.added", {{"output_index", index()}, {"item", begun}});
      send("response.function_call_arguments.delta",
           {{"item_id", item["id"]}, {"output_index", index()}, {"delta", call.arguments}});
      send("response.function_call_arguments.done",
           {{"item_id", item["id"]}, {"output_index", index()}, {"name", call.name}, {"arguments", call.arguments}});
      send("response.output_item.done", {{"output_index", index()}, {"item", item}});
    }
    output_.push_back(item);
  }

  void put(const ParsedText& text) {
    if (!text.thinking.empty()) {
      open_thought();
      thoughts_ += text.thinking;
      send("response.reasoning_summary_text.delta",
           {{"item_id", thought_}, {"output_index", index()}, {"summary_index", 0}, {"delta", text.thinking}});
    }
    if (text.content.empty()) return;
    if (!thoughts_.empty()) think_done(thoughts_);
    open_message();
    send("response.output_text.delta", {{"item_id", message_},
                                        {"output_index", index()},
                                        {"content_index", 0},
                                        {"delta", text.content},
                                        {"logprobs", Json::array()}});
  }
  void store(const Json& response, const Outcome& outcome) {
    Json messages = form_.messages;
    Json message = {{"role", "assistant"}, {"content", outcome.content}};
    for (const auto& call : outcome.calls)
      message["tool_calls"].push_back(
          {{"id", call.id},
           {"type", "function"},
           {"function", {{"name", call.name}, {"arguments", parse_json(call.arguments, "arguments")}}}});
    messages.push_back(std::move(message));
    service_.responses.keep({response["id"].get<std::string>(), form_.owner, response, std::move(messages), form_.input});
  }

  Service& service_;
  EventStream events_;
  ResponseForm form_;
  Json output_ = Json::array();
  std::string thought_, thoughts_, message_;
  int64_t number_ = 0;
  bool started_ = false, thought_done_ = false;
};

// The kept answer of this id under this key; throws 404.
std::list<StoredResponses::Entry>::iterator find(StoredResponses& all, const std::string& id,
                                                 const std::string& owner, const char* field = "") {
  const auto it = std::find_if(all.entries.begin(), all.entries.end(),
                               [&](const auto& e) { return e.id == id && e.owner == owner; });
  if (it == all.entries.end())
    throw ApiError(404, fmt::format("Response with id '{}' not found.", id), field);
  return it;
}

void add_input(const Fields& f, const std::string& model, Json* messages) {
  const Json* input = f.find("input");
  if (!input) throw ApiError(400, "\"input\" is missing", "input");
  if (input->is_string()) {
    messages->push_back({{"role", "user"}, {"content", *input}});
    return;
  }
  if (!input->is_array()) f.wrong("input", "string or array of items");
  for (size_t i = 0; i < input->size(); ++i) {
    const Json& item = (*input)[i];
    const std::string where = fmt::format("input[{}].", i);
    if (!item.is_object()) throw ApiError(400, fmt::format("\"input[{}]\" is not an object", i), "input");
    const Fields fields(item, where);
    const std::string type = fields.text_or("type", "message");
    if (type == "message") {
      std::string role = fields.text_or("role", "");
      if (role == "developer") role = "system";
      if (role != "user" && role != "assistant" && role != "system")
        throw ApiError(400,
                       fmt::format("\"{}role\" is \"{}\", expected user, assistant, system or developer", where, role),
                       "input");
      messages->push_back(
          {{"role", role}, {"content", item.contains("content") ? message_content(item["content"], where, model) : Json("")}});
    } else if (type == "function_call") {
      Json arguments = Json::object();
      try {
        arguments = parse_json(fields.text_or("arguments", "{}"), "arguments");
      } catch (const Error&) {
        throw ApiError(400, fmt::format("\"{}arguments\" is no JSON", where), "input");
      }
      // Calls made together belong to one message.
      if (messages->empty() || messages->back()["role"] != "assistant")
        messages->push_back({{"role", "assistant"}, {"content", ""}});
      messages->back()["tool_calls"].push_back(
          {{"id", fields.text_or("call_id", "")},
           {"type", "function"},
           {"function", {{"name", fields.text_or("name", "")}, {"arguments", arguments}}}});
    } else if (type == "function_call_output") {
      const auto output = item.find("output");
      messages->push_back({{"role", "tool"},
                           {"tool_call_id", fields.text_or("call_id", "")},
                           {"content", output == item.end() ? "" : content_text(*output, where, model)}});
    } else if (type != "reasoning") {
      throw ApiError(400, fmt::format("\"{}type\" is \"{}\", which is not supported", where, type), "input");
    }
  }
}

// The request's input as items with ids.
Json input_items(const Fields& f) {
  const Json& input = *f.find("input");
  Json items = Json::array();
  if (input.is_string())
    items.push_back({{"id", random_id("msg_", 24)},
                     {"type", "message"},
                     {"role", "user"},
                     {"status", "completed"},
                     {"content", Json::array({Json{{"type", "input_text"}, {"text", input}}})}});
  else
    for (Json item : input) {
      if (!item.contains("type")) item["type"] = "message";
      if (!item.contains("id")) item["id"] = random_id("item_", 24);
      if (const auto content = item.find("content"); content != item.end() && content->is_string())
        *content = Json::array(
            {Json{{"type", item["role"] == "assistant" ? "output_text" : "input_text"}, {"text", *content}}});
      items.push_back(std::move(item));
    }
  return items;
}

void responses_create(Call& call) {
  const Json body = call.body();
  const Fields f(body);
  const std::string name = model_name(call, f);
  ResponseForm form;
  form.stream = f.boolean("stream").value_or(false);
  form.keep = f.boolean("store").value_or(true);
  form.owner = call.request->owner;
  if (f.boolean("background").value_or(false)) throw ApiError(400, "\"background\" is not supported", "background");
  for (const char* field : {"conversation", "prompt"}) f.refuse(field, "this server does not have it");
  Json messages = Json::array();
  if (const auto before = f.text("previous_response_id")) {
    std::lock_guard lock(call.service.responses.mutex);
    messages = find(call.service.responses, *before, form.owner, "previous_response_id")->messages;
    for (size_t i = messages.size(); i-- > 0;)
      if (messages[i].value("role", "") == "system" && messages[i].value("instructions", false)) messages.erase(i);
  }
  if (const auto instructions = f.text("instructions"); instructions && !instructions->empty())
    messages.insert(messages.begin(), Json{{"role", "system"}, {"content", *instructions}, {"instructions", true}});
  add_input(f, name, &messages);
  form.input = input_items(f);
  auto lease = call.acquire(name, keep_alive_of(f));
  LoadedModel& model = *lease;
  require_generation(model, name);
  Json tools;
  if (const Json* list = f.array("tools"); list && !list->empty()) {
    tools = Json::array();
    for (const Json& tool : *list) {
      if (!tool.is_object() || Fields(tool, "tools.").text_or("type", "") != "function" || !tool.contains("name") ||
          !tool["name"].is_string())
        throw ApiError(400, "\"tools\" other than functions are not supported", "tools");
      tools.push_back(
          {{"type", "function"},
           {"function",
            {{"name", tool["name"]},
             {"description",
              tool.contains("description") && tool["description"].is_string() ? tool["description"] : Json("")},
             {"parameters", tool.contains("parameters") ? tool["parameters"] : Json::object()}}}});
    }
    require_tools(model, name);
  }
  OllamaSettings settings = openai_settings(model, f);
  if (const std::string cut = f.text_or("truncation", "disabled"); cut != "auto" && cut != "disabled")
    throw ApiError(400, "\"truncation\" must be auto or disabled", "truncation");
  if (f.integer("top_logprobs", 0, 20).value_or(0) > 0)
    throw ApiError(400, "\"top_logprobs\" is not supported here: /v1/chat/completions has it", "top_logprobs");
  if (const Json* include = f.array("include"))
    for (const Json& part : *include)
      if (part != "reasoning.encrypted_content")
        throw ApiError(400, "\"include\" asks for what this server does not have", "include");
  Plan plan;
  if (const Json* choice = f.find("tool_choice")) {
    const bool named = choice->is_object();
    if (named || *choice == "required") {
      if (tools.is_null())
        throw ApiError(400, "\"tool_choice\" asks for a call, but there are no \"tools\"", "tool_choice");
      settings.config.format = tool_format(tools, named ? Fields(*choice, "tool_choice.").text_or("name", "") : "");
      plan.parser.only_call = true;
    } else if (*choice == "none") {
      tools = nullptr;
    } else if (*choice != "auto") {
      throw ApiError(400, "\"tool_choice\" must be none, auto, required or a function", "tool_choice");
    }
  }
  if (const Json* text = f.object("text"); text && text->contains("format") && (*text)["format"].is_object()) {
    const Json& format = (*text)["format"];
    const std::string type = Fields(format, "text.format.").text_or("type", "text");
    if (type == "json_object")
      settings.config.format = json_format(nullptr);
    else if (type == "json_schema")
      settings.config.format = json_format(format.contains("schema") ? format["schema"] : Json());
    else if (type != "text")
      throw ApiError(400, "\"text.format.type\" must be text, json_object or json_schema", "text");
  }
  Json think = model.description.thinking ? Json(true) : Json();
  if (const Json* reasoning = f.object("reasoning"))
    if (const auto effort = Fields(*reasoning, "reasoning.").text("effort"))
      think = effort_of(*effort, "reasoning.effort", model, name);
  chat_prompt(model, messages, tools, think, &plan.job);
  plan.job.config = settings.config;
  plan.job.config.max_new_tokens =
      openai_limit(model, settings, static_cast<int64_t>(plan.job.prompt.size()), f.integer("max_output_tokens", 1));
  plan.job.penalties = settings.penalties;
  plan.parser.tools = !tools.is_null();
  plan.parser.thinking = think.is_string() || (think.is_boolean() && think.get<bool>());
  const auto given = [&](const char* field, Json otherwise) { return f.has(field) ? *f.find(field) : otherwise; };
  form.head = {{"id", random_id("resp_", 32)},
               {"object", "response"},
               {"created_at", unix_time()},
               {"completed_at", nullptr},
               {"status", "in_progress"},
               {"error", nullptr},
               {"incomplete_details", nullptr},
               {"instructions", given("instructions", nullptr)},
               {"max_output_tokens", given("max_output_tokens", nullptr)},
               {"model", f.text_or("model", name)},
               {"output", Json::array()},
               {"parallel_tool_calls", given("parallel_tool_calls", true)},
               {"previous_response_id", given("previous_response_id", nullptr)},
               {"reasoning", given("reasoning", Json{{"effort", nullptr}, {"summary", nullptr}})},
               {"store", form.keep},
               {"temperature", settings.config.temperature},
               {"text", given("text", Json{{"format", {{"type", "text"}}}})},
               {"tool_choice", given("tool_choice", "auto")},
               {"tools", given("tools", Json::array())},
               {"top_p", settings.config.top_p},
               {"truncation", given("truncation", "disabled")},
               {"usage", nullptr},
               {"user", given("user", nullptr)},
               {"metadata", given("metadata", Json::object())}};
  form.messages = std::move(messages);
  std::vector<Plan> plans;
  plans.push_back(std::move(plan));
  launch(call, std::move(lease), std::move(plans),
         std::make_shared<ResponseAnswer>(call.service, call.reply, std::move(form)));
}

void get(Call& call) {
  StoredResponses& all = call.service.responses;
  std::unique_lock lock(all.mutex);
  const Json response = find(all, call.path[0], call.request->owner)->response;
  lock.unlock();
  call.send_json(response);
}

void get_input(Call& call) {
  StoredResponses& all = call.service.responses;
  std::unique_lock lock(all.mutex);
  Json items = find(all, call.path[0], call.request->owner)->input;
  lock.unlock();
  if (call.request->query_value("order") != "asc") std::reverse(items.begin(), items.end());
  call.send_json({{"object", "list"},
                  {"data", items},
                  {"first_id", items.empty() ? Json() : items.front()["id"]},
                  {"last_id", items.empty() ? Json() : items.back()["id"]},
                  {"has_more", false}});
}

void cancel(Call& call) {
  StoredResponses& all = call.service.responses;
  {
    std::lock_guard lock(all.mutex);
    find(all, call.path[0], call.request->owner);
  }
  throw ApiError(400, "this response has ended: only one made in the background could be cancelled");
}

void responses_remove(Call& call) {
  StoredResponses& all = call.service.responses;
  {
    std::lock_guard lock(all.mutex);
    all.entries.erase(find(all, call.path[0], call.request->owner));
  }
  call.send_json({{"id", call.path[0]}, {"object", "response"}, {"deleted", true}});
}

}  // namespace

namespace {

size_t bytes_of(const Json& value) {
  size_t bytes = sizeof(Json);
  if (value.is_string()) bytes += value.get_ref<const std::string&>().size();
  else if (value.is_object())
    for (const auto& [key, item] : value.items()) bytes += key.size() + bytes_of(item);
  else if (value.is_array())
    for (const Json& item : value) bytes += bytes_of(item);
  return bytes;
}

}  // namespace

void StoredResponses::keep(Entry entry) {
  entry.bytes = bytes_of(entry.response) + bytes_of(entry.messages) + bytes_of(entry.input);
  std::lock_guard lock(mutex);
  entries.push_front(std::move(entry));
  size_t count = 0, bytes = 0;
  for (auto it = entries.begin(); it != entries.end();) {
    bytes += it->bytes;
    if (++count > kMost || bytes > kMostBytes) it = entries.erase(it);
    else ++it;
  }
}

std::span<const Route> responses_routes() {
  static const Route routes[] = {{"POST", "/v1/responses", responses_create},
                                 {"GET", "/v1/responses/{}", get},
                                 {"DELETE", "/v1/responses/{}", responses_remove},
                                 {"GET", "/v1/responses/{}/input_items", get_input},
                                 {"POST", "/v1/responses/{}/cancel", cancel}};
  return routes;
}

}  // namespace mynah::serve
