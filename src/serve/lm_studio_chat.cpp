// LM Studio's REST API, version 1: chat with kept conversations, models that are loaded and given up by name.
#include <fmt/core.h>

#include <algorithm>

#include "serve/openai.h"

namespace mynah::serve {
namespace {

struct LmStudioForm {
  std::string model, owner;
  Json messages;
  bool stream = false, keep = true;
  double load_seconds = 0;
};

class LmStudioAnswer : public Listener {
 public:
  LmStudioAnswer(Service& service, ReplyPtr reply, LmStudioForm form)
      : service_(service), events_(std::move(reply)), form_(std::move(form)), id_(random_id("resp_", 32)) {}

  void on_delta(int, const ParsedText& text, const generation::TokenStep&) override {
    if (form_.stream) put(text);
  }

  void on_end(int, const ParsedText& rest, Outcome&& outcome) override {
    const generation::Ended& e = outcome.ended;
    Json output = Json::array();
    if (!outcome.thinking.empty()) output.push_back({{"type", "reasoning"}, {"content", outcome.thinking}});
    if (!outcome.content.empty() || outcome.calls.empty())
      output.push_back({{"type", "message"}, {"content", outcome.content}});
    const double seconds = e.generated.decode_seconds;
    Json result = {{"model_instance_id", form_.model},
                   {"output", output},
                   {"stats",
                    {{"input_tokens", e.generated.prompt_tokens},
                     {"total_output_tokens", e.generated.ids.size()},
                     {"reasoning_output_tokens", 0},
                     {"tokens_per_second", seconds > 0 ? static_cast<double>(e.generated.ids.size()) / seconds : 0.0},
                     {"time_to_first_token_seconds", e.first_token_seconds}}}};
    if (form_.load_seconds > 0.01) result["stats"]["model_load_time_seconds"] = form_.load_seconds;
    if (form_.keep) {
      result["response_id"] = id_;
      keep(outcome.content);
    }
    if (!form_.stream) return events_.reply()->send({200, "application/json", to_text(result), {}});
    put(rest);
    open("");
    start();
    events_.event("chat.end", {{"type", "chat.end"}, {"result", result}});
    events_.end();
  }

  void on_error(int, const ApiError& error) override {
    if (!events_.begun()) return events_.reply()->send(error_answer(Dialect::lm_studio, error));
    events_.event(
        "error",
        {{"type", "error"},
         {"error", {{"type", error.status < 500 ? "invalid_request" : "internal_error"}, {"message", error.what()}}}});
    events_.end();
  }

 private:
  void start() {
    if (std::exchange(started_, true)) return;
    events_.event("chat.start", {{"type", "chat.start"}, {"model_instance_id", form_.model}});
    for (const char* type : {"prompt_processing.start", "prompt_processing.end"}) events_.event(type, {{"type", type}});
  }
  // Makes "reasoning" or "message" the open part; "" closes it.
  void open(const std::string& kind) {
    if (kind == open_) return;
    if (!open_.empty()) event(open_ + ".end", {});
    open_ = kind;
    if (kind.empty()) return;
    start();
    event(kind + ".start", {});
  }
  void event(const std::string& type, const Json& more) {
    Json json = {{"type", type}};
    if (more.is_object()) json.update(more);
    events_.event(type.c_str(), json);
  }
  void put(const ParsedText& text) {
    for (const auto& [kind, piece] :
         {std::pair<const char*, const std::string&>{"reasoning", text.thinking}, {"message", text.content}}) {
      if (piece.empty()) continue;
      open(kind);
      event(std::string(kind) + ".delta", {{"content", piece}});
    }
  }
  void keep(const std::string& content) {
    form_.messages.push_back({{"role", "assistant"}, {"content", content}});
    service_.responses.keep({id_, form_.owner, Json::object(), std::move(form_.messages), Json::array()});
  }

  Service& service_;
  EventStream events_;
  LmStudioForm form_;
  std::string id_, open_;
  bool started_ = false;
};

// The content of the message that `input` is: a text, or texts and pictures in their order.
Json input_content(const Fields& f, const std::string& model) {
  const Json* input = f.find("input");
  if (!input) throw ApiError(400, "\"input\" is missing", "input");
  if (input->is_string()) return *input;
  if (!input->is_array()) f.wrong("input", "string or array of parts");
  std::string text;
  Json parts = Json::array();
  bool pictures = false;
  for (const Json& part : *input) {
    if (!part.is_object()) throw ApiError(400, "\"input\" holds what is no part", "input");
    const Fields p(part, "input.");
    const std::string type = p.text_or("type", "");
    if (type == "image") {
      parts.push_back({{"type", "image"}, {"url", p.text_or("data_url", "")}});
      pictures = true;
      continue;
    }
    if (type != "message" && type != "text")
      throw ApiError(400, fmt::format("\"input\" holds a part of type \"{}\"", type.substr(0, 40)), "input");
    text += (text.empty() ? "" : "\n") + p.text_or("content", "");
    parts.push_back({{"type", "text"}, {"text", p.text_or("content", "")}});
  }
  return pictures ? message_content(parts, "input.", model) : Json(text);
}

void lm_studio_chat(Call& call) {
  const Json body = call.body();
  const Fields f(body);
  const std::string name = model_name(call, f);
  LmStudioForm form;
  form.model = name;
  form.owner = call.request->owner;
  form.stream = f.boolean("stream").value_or(false);
  form.keep = f.boolean("store").value_or(true);
  if (const Json* all = f.array("integrations"); all && !all->empty())
    throw ApiError(400, "\"integrations\" are not supported: this server calls no tools by itself", "integrations");
  form.messages = Json::array();
  if (const auto before = f.text("previous_response_id")) {
    std::lock_guard lock(call.service.responses.mutex);
    for (const auto& entry : call.service.responses.entries)
      if (entry.id == *before && entry.owner == form.owner) form.messages = entry.messages;
    if (form.messages.empty())
      throw ApiError(404, fmt::format("Response with id '{}' not found.", before->substr(0, 80)),
                     "previous_response_id");
  }
  if (const auto system = f.text("system_prompt"); system && !system->empty())
    form.messages.insert(form.messages.begin(), Json{{"role", "system"}, {"content", *system}});
  form.messages.push_back({{"role", "user"}, {"content", input_content(f, name)}});
  auto lease = call.acquire(name, keep_alive_of(f));
  LoadedModel& model = *lease;
  require_generation(model, name);
  OllamaSettings settings = openai_settings(model, f);
  if (const auto context = f.integer("context_length", 4)) {
    const int64_t most = model.model.context_length();
    settings.num_ctx = most > 0 ? std::min(most, *context) : *context;
  }
  Json think = model.description.thinking ? Json(true) : Json();
  if (const auto word = f.text("reasoning")) {
    if (*word != "off" && *word != "on" && *word != "low" && *word != "medium" && *word != "high")
      throw ApiError(400, "\"reasoning\" must be off, low, medium, high or on", "reasoning");
    if (*word != "off" && !model.description.thinking)
      throw ApiError(400, fmt::format("\"{}\" does not support thinking: \"reasoning\" cannot be honoured", name),
                     "reasoning");
    think = *word == "off"  ? (model.description.thinking ? Json(false) : Json())
            : *word == "on" ? Json(true)
                            : Json(*word);
  }
  Plan plan;
  chat_prompt(model, form.messages, nullptr, think, &plan.job);
  plan.job.config = settings.config;
  plan.job.config.max_new_tokens =
      openai_limit(model, settings, static_cast<int64_t>(plan.job.prompt.size()), f.integer("max_output_tokens", 1));
  plan.job.penalties = settings.penalties;
  plan.parser.thinking = think.is_string() || (think.is_boolean() && think.get<bool>());
  form.load_seconds = lease.load_seconds;
  std::vector<Plan> plans;
  plans.push_back(std::move(plan));
  launch(call, std::move(lease), std::move(plans),
         std::make_shared<LmStudioAnswer>(call.service, call.reply, std::move(form)));
}

Json lm_studio_v1_model_json(const Call& call, const KnownModel& known, const Description& d) {
  Json instances = Json::array();
  for (const auto& m : call.service.models.loaded())
    if (m.path == known.path)
      instances.push_back({{"id", known.name},
                           {"config",
                            {{"context_length", m.context},
                             {"parallel", call.service.models.options().scheduler.slots},
                             {"flash_attention", true}}}});
  const auto slash = known.name.find('/');
  return {{"type", d.generates ? "llm" : "embedding"},
          {"publisher", slash == std::string::npos ? "" : known.name.substr(0, slash)},
          {"key", known.name},
          {"display_name", known.name},
          {"architecture", d.family},
          {"quantization", {{"name", d.quantisation}, {"bits_per_weight", nullptr}}},
          {"size_bytes", known.stored ? known.stored->size_bytes() : 0},
          {"params_string", parameter_size(d.parameters)},
          {"loaded_instances", instances},
          {"max_context_length", d.context_length},
          {"format", d.format},
          {"capabilities", {{"vision", d.sees}, {"trained_for_tool_use", d.tools}}},
          {"description", nullptr}};
}

void lm_studio_v1_models(Call& call) {
  Json all = Json::array();
  call.service.models.each_described([&](const KnownModel& known, const Description& d) {
    if (d.knows_language()) all.push_back(lm_studio_v1_model_json(call, known, d));
  });
  call.send_json({{"models", all}});
}

void load(Call& call) {
  const Json body = call.body();
  const Fields f(body);
  const std::string name = model_name(call, f);
  for (const char* field : {"eval_batch_size", "num_experts", "context_length"}) f.integer(field, 1);
  for (const char* field : {"flash_attention", "offload_kv_cache_to_gpu"}) f.boolean(field);
  const bool echo = f.boolean("echo_load_config").value_or(false);
  const auto lease = call.acquire(name, keep_alive_of(f));
  Json json = {{"type", lease->scheduler ? "llm" : "embedding"},
               {"instance_id", name},
               {"load_time_seconds", lease.load_seconds},
               {"status", "loaded"}};
  if (echo) json["load_config"] = {{"context_length", lease->context()}};
  call.send_json(json);
}

void unload(Call& call) {
  const Json body = call.body();
  const std::string name = Fields(body).text_or("instance_id", "");
  if (name.empty()) throw ApiError(400, "\"instance_id\" is missing", "instance_id");
  call.note_model(name);
  if (!call.service.models.unload(name))
    throw ApiError(404, fmt::format("model '{}' is not loaded", name), "instance_id");
  call.send_json({{"instance_id", name}});
}

}  // namespace

std::span<const Route> lm_studio_chat_routes() {
  static const Route routes[] = {{"POST", "/api/v1/chat", lm_studio_chat},
                                 {"GET", "/api/v1/models", lm_studio_v1_models, Scope::any},
                                 {"POST", "/api/v1/models/load", load, Scope::manage},
                                 {"POST", "/api/v1/models/unload", unload, Scope::manage}};
  return routes;
}

}  // namespace mynah::serve
