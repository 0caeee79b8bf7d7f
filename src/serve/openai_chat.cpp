// OpenAI's POST /v1/chat/completions, GET /v1/models.
#include <fmt/core.h>

#include <algorithm>

#include "serve/openai.h"
#include "store/names.h"

namespace mynah::serve {
namespace {

struct OpenAiChatForm {
  std::string model;
  bool stream = false, usage = false, log_probabilities = false;
  int choices = 1;
  std::shared_ptr<const Tokenizer> tokenizer;
  bool lm_studio = false;
  Json model_info;
};

// The answers to one chat.
class OpenAiChatAnswer : public Listener {
 public:
  OpenAiChatAnswer(ReplyPtr reply, OpenAiChatForm form)
      : events_(std::move(reply)),
        form_(std::move(form)),
        id_(random_id("chatcmpl-", 24)),
        created_(unix_time()),
        choices_(static_cast<size_t>(form_.choices)) {}

  void on_delta(int choice, const ParsedText& text, const generation::TokenStep& step) override {
    Choice& c = choices_[static_cast<size_t>(choice)];
    if (form_.log_probabilities) c.scores.push_back(log_probability_json(*form_.tokenizer, step.score));
    if (!form_.stream) return;
    open(choice);
    put(choice, text);
  }

  void on_end(int choice, const ParsedText& rest, Outcome&& outcome) override {
    Choice& c = choices_[static_cast<size_t>(choice)];
    usage_.add(outcome.ended.generated);
    if (form_.stream) {
      open(choice);
      put(choice, rest);
      for (size_t i = 0; i < outcome.calls.size(); ++i) {
        const ToolCall& call = outcome.calls[i];
        chunk(choice,
              {{"tool_calls", Json::array({Json{{"index", i},
                                                {"id", call.id},
                                                {"type", "function"},
                                                {"function", {{"name", call.name}, {"arguments", call.arguments}}}}})}},
              nullptr, nullptr);
      }
      chunk(choice, Json::object(), outcome.reason(), nullptr);
    } else {
      Json message = {{"role", "assistant"},
                      {"content", outcome.content.empty() && !outcome.calls.empty() ? Json() : Json(outcome.content)},
                      {"refusal", nullptr}};
      if (!outcome.thinking.empty()) message["reasoning_content"] = outcome.thinking;
      if (!outcome.calls.empty()) {
        message["tool_calls"] = Json::array();
        for (const ToolCall& call : outcome.calls)
          message["tool_calls"].push_back({{"id", call.id},
                                           {"type", "function"},
                                           {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
      }
      c.whole = {{"index", choice},
                 {"message", message},
                 {"logprobs", form_.log_probabilities ? Json{{"content", c.scores}, {"refusal", nullptr}} : Json()},
                 {"finish_reason", outcome.reason()}};
    }
    if (choice == 0) first_ = std::move(outcome.ended);
    if (++ended_ == form_.choices) finish();
  }

  void on_error(int, const ApiError& error) override {
    if (std::exchange(failed_, true)) return;
    if (!events_.begun()) return events_.reply()->send(error_answer(Dialect::openai, error));
    events_.data(error_json(Dialect::openai, error));
    events_.done();
  }

 private:
  struct Choice {
    bool opened = false;
    Json scores = Json::array(), whole;
  };

  Json head(const char* object) const {
    return {{"id", id_},
            {"object", object},
            {"created", created_},
            {"model", form_.model},
            {"system_fingerprint", "fp_mynah"}};
  }
  void chunk(int choice, const Json& delta, const Json& reason, const Json& scores) {
    if (failed_) return;
    Json json = head("chat.completion.chunk");
    json["choices"] =
        Json::array({Json{{"index", choice}, {"delta", delta}, {"logprobs", scores}, {"finish_reason", reason}}});
    if (form_.usage) json["usage"] = nullptr;
    events_.data(json);
  }
  void open(int choice) {
    if (std::exchange(choices_[static_cast<size_t>(choice)].opened, true)) return;
    chunk(choice, {{"role", "assistant"}, {"content", ""}}, nullptr, nullptr);
  }
  void put(int choice, const ParsedText& text) {
    Choice& c = choices_[static_cast<size_t>(choice)];
    if (!text.thinking.empty()) chunk(choice, {{"reasoning_content", text.thinking}}, nullptr, nullptr);
    if (text.content.empty() && c.scores.empty()) return;
    const Json scores = form_.log_probabilities
                            ? Json{{"content", std::exchange(c.scores, Json::array())}, {"refusal", nullptr}}
                            : Json();
    chunk(choice, {{"content", text.content}}, nullptr, scores);
  }
  Json stats() const {
    const Generated& g = first_.generated;
    const double seconds = g.decode_seconds;
    return {{"tokens_per_second", seconds > 0 ? static_cast<double>(g.ids.size()) / seconds : 0.0},
            {"time_to_first_token", first_.first_token_seconds},
            {"generation_time", seconds},
            {"stop_reason", g.reason == FinishReason::length ? "maxPredictedTokensReached" : "eosFound"}};
  }
  void finish() {
    if (failed_) return;
    if (!form_.stream) {
      Json json = head("chat.completion");
      json["choices"] = Json::array();
      for (Choice& c : choices_) json["choices"].push_back(std::move(c.whole));
      json["usage"] = usage_.json();
      if (form_.lm_studio) {
        json["stats"] = stats();
        json["model_info"] = form_.model_info;
        json["runtime"] = {{"name", "mynah"}, {"version", "0.1.0"}, {"supported_formats", {"gguf", "safetensors"}}};
      }
      return events_.reply()->send({200, "application/json", to_text(json), {}});
    }
    if (form_.usage) {
      Json json = head("chat.completion.chunk");
      json["choices"] = Json::array();
      json["usage"] = usage_.json();
      events_.data(json);
    }
    events_.done();
  }

  EventStream events_;
  OpenAiChatForm form_;
  std::string id_;
  int64_t created_;
  std::vector<Choice> choices_;
  Usage usage_;
  generation::Ended first_;
  int ended_ = 0;
  bool failed_ = false;
};

// Which tools may or must be called.
struct ToolChoice {
  Json tools;  // null: none
  bool forced = false;
  std::string name;
};
ToolChoice tool_choice(const Fields& f, const LoadedModel& model, const std::string& name) {
  ToolChoice out;
  const Json* tools = f.array("tools");
  const Json* choice = f.find("tool_choice");
  if (tools && !tools->empty()) {
    check_tools(*tools);
    require_tools(model, name);
    out.tools = *tools;
  }
  if (!choice) return out;
  if (choice->is_string()) {
    const auto word = choice->get<std::string>();
    if (word == "none")
      out.tools = nullptr;
    else if (word == "required")
      out.forced = true;
    else if (word != "auto")
      throw ApiError(400, "\"tool_choice\" must be none, auto, required or a function", "tool_choice");
  } else if (choice->is_object() && choice->contains("function") && (*choice)["function"].is_object()) {
    out.forced = true;
    out.name = Fields((*choice)["function"], "tool_choice.function.").text_or("name", "");
  } else {
    f.wrong("tool_choice", "string or object");
  }
  if (!out.forced) return out;
  if (out.tools.is_null())
    throw ApiError(400, "\"tool_choice\" asks for a call, but there are no \"tools\"", "tool_choice");
  if (!out.name.empty() && std::none_of(out.tools.begin(), out.tools.end(),
                                        [&](const Json& t) { return t["function"]["name"] == out.name; }))
    throw ApiError(400,
                   fmt::format("\"tool_choice\" names the function \"{}\", which is not among \"tools\"", out.name),
                   "tool_choice");
  return out;
}

Json openai_model_json(const std::string& id, const std::string& pulled_at) {
  std::tm utc{};
  const bool known = strptime(pulled_at.c_str(), "%Y-%m-%dT%H:%M:%S", &utc) != nullptr;
  return {{"id", id},
          {"object", "model"},
          {"created", known ? static_cast<int64_t>(timegm(&utc)) : 0},
          {"owned_by", "library"}};
}

void openai_models(Call& call) {
  Json all = Json::array();
  for (const auto& known : call.service.models.served())
    if (!known.stored) all.push_back(openai_model_json(known.name, ""));
  for (const auto& m : call.service.models.store().list()) all.push_back(openai_model_json(tagged_name(m.name), m.pulled_at));
  call.send_json({{"object", "list"}, {"data", all}});
}

void openai_model(Call& call) {
  const std::string& name = call.path[0];
  const KnownModel known = call.service.models.find(name);
  call.send_json(openai_model_json(name, known.stored ? known.stored->pulled_at : ""));
}

}  // namespace

int64_t unix_time() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

Json Usage::json() const {
  return {{"prompt_tokens", prompt},
          {"completion_tokens", completion},
          {"total_tokens", prompt + completion},
          {"prompt_tokens_details", {{"cached_tokens", cached}}},
          {"completion_tokens_details", {{"reasoning_tokens", 0}}}};
}

std::string model_name(const Call& call, const Fields& fields, bool required) {
  if (!call.path.empty()) return call.path[0];
  const std::string name = fields.text_or("model", ""), usual = call.service.models.default_name();
  const bool placeholder = name == "dummy" || name == "tgi" || name == "default" || name.starts_with("http://") ||
                           name.starts_with("https://");
  if (placeholder && !usual.empty()) return usual;
  if (name.empty()) {
    if (!required && !usual.empty()) return usual;
    throw ApiError(400, "you must provide a model parameter: model is required", "model");
  }
  return name;
}

OllamaSettings openai_settings(const LoadedModel& model, const Fields& f) {
  OllamaSettings s;
  s.config = base_config(model);
  s.config.temperature = 1;
  s.config.seed = random_seed();
  s.penalties.answer_only = true;
  const auto& own = model.settings.parameters;
  if (own.is_object())
    for (const auto& [name, value] : own.items())
      if (!value.is_null()) set_ollama_option(Fields(own), name, &s);
  if (const Json* options = f.object("options"))
    for (const auto& [name, value] : options->items())
      if (!value.is_null()) set_ollama_option(Fields(*options), name, &s);
  GenerationConfig& c = s.config;
  c.temperature = static_cast<float>(f.number("temperature", 0, 2).value_or(c.temperature));
  c.top_p = static_cast<float>(f.number("top_p", 0, 1).value_or(c.top_p));
  c.top_k = std::max<int64_t>(0, f.integer("top_k").value_or(c.top_k));
  c.min_p = static_cast<float>(f.number("min_p", 0, 1).value_or(c.min_p));
  s.penalties.presence = static_cast<float>(f.number("presence_penalty", -2, 2).value_or(s.penalties.presence));
  s.penalties.frequency = static_cast<float>(f.number("frequency_penalty", -2, 2).value_or(s.penalties.frequency));
  for (const char* name : {"repeat_penalty", "repetition_penalty"})
    if (const auto value = f.number(name, 1e-6, 1e6)) {
      s.penalties.repeat = static_cast<float>(*value);
      s.penalties.answer_only = false;
    }
  if (const auto context = f.integer("num_ctx", 4)) s.num_ctx = *context;
  if (const auto seed = f.integer("seed")) c.seed = static_cast<uint64_t>(*seed);
  if (const auto stops = f.texts("stop")) {
    c.stop_strings.clear();
    for (const auto& stop : *stops) {
      if (stop.size() > 256) throw ApiError(400, "\"stop\" holds a text of more than 256 bytes", "stop");
      if (!stop.empty()) c.stop_strings.push_back(stop);
    }
    if (c.stop_strings.size() > 16) throw ApiError(400, "\"stop\" holds more than 16 texts", "stop");
  }
  if (const Json* bias = f.object("logit_bias"))
    for (const auto& [id, value] : bias->items()) {
      char* end = nullptr;
      const long token = std::strtol(id.c_str(), &end, 10);
      if (id.empty() || *end != 0 || token < 0 || token >= model.model.tokenizer()->vocab_size() ||
          !value.is_number() || std::abs(value.get<double>()) > 100)
        throw ApiError(400, "\"logit_bias\" is not an object of token ids and numbers from -100 to 100", "logit_bias");
      c.sequence_bias.emplace_back(std::vector<int32_t>{static_cast<int32_t>(token)}, value.get<float>());
    }
  c.do_sample = c.temperature > 0;
  const int64_t most = model.model.context_length();
  if (most > 0 && (s.num_ctx <= 0 || s.num_ctx > most)) s.num_ctx = most;
  for (const char* name :
       {"audio", "functions", "function_call", "prediction", "web_search_options", "grammar", "adapter_id", "adapters"})
    f.refuse(name, "this server does not have it");
  for (const char* name : {"draft_model", "preset"}) f.refuse(name, "this server does not have it");
  // These change nothing here, but are what they should be.
  for (const char* name : {"store", "parallel_tool_calls"}) f.boolean(name);
  for (const char* name : {"user", "service_tier", "verbosity", "safety_identifier", "prompt_cache_key"}) f.text(name);
  f.object("metadata");
  if (const Json* modalities = f.array("modalities"))
    for (const Json& m : *modalities)
      if (m != "text") throw ApiError(400, "\"modalities\" other than text are not supported", "modalities");
  return s;
}

namespace {
bool is_picture(const std::string& type) { return type == "image_url" || type == "image" || type == "input_image"; }
}  // namespace

std::string content_text(const Json& content, const std::string& where, const std::string& model) {
  if (content.is_null()) return "";
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array())
    throw ApiError(400, fmt::format("\"{}content\" is neither a string nor an array of parts", where), "messages");
  std::string text;
  for (const Json& part : content) {
    const std::string type = part.is_object() ? Fields(part, where + "content.").text_or("type", "") : "";
    if (type == "text" || type == "input_text" || type == "output_text" || type == "refusal") {
      const auto it = part.find(type == "refusal" ? "refusal" : "text");
      if (it == part.end() || !it->is_string())
        throw ApiError(400, fmt::format("\"{}content\" holds a text part without text", where), "messages");
      text += it->get<std::string>();
    } else if (is_picture(type)) {
      throw ApiError(400, fmt::format("\"{}\" does not support vision: \"{}content\" holds an image", model, where),
                     "messages");
    } else {
      throw ApiError(
          400,
          fmt::format("\"{}content\" holds a part of type \"{}\", which \"{}\" does not support", where, type, model),
          "messages");
    }
  }
  return text;
}

namespace {

// The picture of a part in base64; null if it is none.
Json picture_of(const Json& part, const std::string& type, const std::string& where) {
  if (!is_picture(type)) return nullptr;
  Json data;
  if (const auto source = part.find("source"); source != part.end() && source->is_object()) {
    data = source->value("data", source->value("url", Json()));
  } else {
    for (const char* key : {"image_url", "image", "data", "url"})
      if (const auto it = part.find(key); data.is_null() && it != part.end())
        data = it->is_object() ? it->value("url", Json()) : *it;
  }
  if (!data.is_string())
    throw ApiError(400, fmt::format("\"{}content\" holds an image without its bytes in base64", where), "messages");
  const auto& text = data.get_ref<const std::string&>();
  if (text.starts_with("http://") || text.starts_with("https://"))
    throw ApiError(400,
                   fmt::format("\"{}content\" names an image by its address, expected its bytes in base64 (a data: URL): "
                               "this server fetches nothing",
                               where),
                   "messages");
  return data;
}

}  // namespace

Json message_content(const Json& content, const std::string& where, const std::string& model) {
  Json parts = Json::array();
  bool any = false;
  if (content.is_array())
    for (const Json& part : content) {
      const std::string type = part.is_object() ? Fields(part, where + "content.").text_or("type", "") : "";
      const Json picture = picture_of(part, type, where);
      any = any || !picture.is_null();
      if (picture.is_null())
        parts.push_back({{"type", "text"}, {"text", content_text(Json::array({part}), where, model)}});
      else
        parts.push_back({{"type", "image"}, {"data", picture}});
    }
  return any ? parts : Json(content_text(content, where, model));
}

Json openai_messages(const Json& list, const std::string& model) {
  Json out = Json::array();
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string where = fmt::format("messages[{}].", i);
    if (!list[i].is_object()) throw ApiError(400, fmt::format("\"messages[{}]\" is not an object", i), "messages");
    const Fields m(list[i], where);
    std::string role = m.text_or("role", "");
    if (role == "developer") role = "system";
    if (role == "function") role = "tool";
    if (role != "system" && role != "user" && role != "assistant" && role != "tool")
      throw ApiError(400, fmt::format("\"{}role\" is \"{}\", expected system, user, assistant or tool", where, role),
                     "messages");
    const auto content = list[i].find("content");
    Json message = {{"role", role}, {"content", content == list[i].end() ? Json("") : message_content(*content, where, model)}};
    if (const auto name = m.text("name")) message["name"] = *name;
    if (const auto id = m.text("tool_call_id")) message["tool_call_id"] = *id;
    if (const auto thinking = m.text("reasoning_content")) message["reasoning_content"] = *thinking;
    if (const Json* calls = m.array("tool_calls"); calls && !calls->empty()) {
      message["tool_calls"] = Json::array();
      for (const Json& call : *calls) {
        if (!call.is_object() || !call.contains("function") || !call["function"].is_object())
          throw ApiError(400, fmt::format("\"{}tool_calls\" holds what is no call of a function", where), "messages");
        const Fields function(call["function"], where + "tool_calls.function.");
        Json arguments = Json::object();
        if (const Json* given = function.find("arguments")) {
          try {
            arguments = given->is_string() ? parse_json(given->get<std::string>(), "arguments") : *given;
          } catch (const Error&) {
            arguments = *given;
          }
        }
        message["tool_calls"].push_back(
            {{"id", Fields(call, where + "tool_calls.").text_or("id", "")},
             {"type", "function"},
             {"function", {{"name", function.text_or("name", "")}, {"arguments", arguments}}}});
      }
    }
    out.push_back(std::move(message));
  }
  return out;
}

std::string response_format(const Fields& f) {
  const Json* format = f.object("response_format");
  if (!format) return "";
  const Fields r(*format, "response_format.");
  const std::string type = r.text_or("type", "");
  if (type == "text") return "";
  if (type == "json_object" || type == "json") {
    const Json* value = r.object("value");
    return json_format(value ? *value : Json());
  }
  if (type == "json_schema") {
    if (const Json* named = r.object("json_schema")) {
      const Json* schema = Fields(*named, "response_format.json_schema.").object("schema");
      return json_format(schema ? *schema : Json());
    }
    if (const Json* value = r.object("value")) {
      const auto inner = value->find("schema");
      return json_format(inner != value->end() && inner->is_object() ? *inner : *value);
    }
  }
  throw ApiError(
      400,
      fmt::format("\"response_format.type\" is \"{}\", expected text, json_object or json_schema with a schema", type),
      "response_format");
}

int64_t openai_limit(const LoadedModel& model, const OllamaSettings& settings, int64_t prompt,
                     std::optional<int64_t> wanted) {
  const bool seq2seq = model.model.bundle().network->seq2seq_lm() != nullptr;
  if (!seq2seq && settings.num_ctx > 0 && prompt + (wanted == 0 ? 0 : 1) > settings.num_ctx)
    throw ApiError(400,
                   fmt::format("this model's maximum context length is {} tokens, but the messages are {} tokens long",
                               settings.num_ctx, prompt),
                   "messages");
  return limit_tokens(model, prompt, settings.num_ctx, wanted ? *wanted : settings.num_predict);
}

Json asked_to_think(const Fields& f, const LoadedModel& model, const std::string& name) {
  Json think = f.has("think") ? think_of(f, model, name) : model.description.thinking ? Json(true) : Json();
  if (const auto effort = f.text("reasoning_effort")) think = effort_of(*effort, "reasoning_effort", model, name);
  if (const Json* extra = f.object("chat_template_kwargs"))
    if (const auto wanted = Fields(*extra, "chat_template_kwargs.").boolean("enable_thinking");
        wanted && model.description.thinking)
      think = *wanted;
  return think;
}

Json effort_of(const std::string& effort, const char* field, const LoadedModel& model, const std::string& name) {
  constexpr std::string_view kWords[] = {"none", "minimal", "low", "medium", "high", "xhigh", "max"};
  if (std::find(std::begin(kWords), std::end(kWords), effort) == std::end(kWords))
    throw ApiError(400,
                   fmt::format("\"{}\" is \"{}\", expected none, minimal, low, medium, high, xhigh or max", field,
                               effort.substr(0, 40)),
                   field);
  if (effort == "none") return model.description.thinking ? Json(false) : Json();
  if (!model.description.thinking)
    throw ApiError(400, fmt::format("\"{}\" does not support thinking: \"{}\" cannot be honoured", name, field), field);
  return effort;
}

void openai_chat(Call& call) {
  const Json body = call.body();
  const Fields f(body);
  const std::string name = model_name(call, f);
  const Json* list = f.array("messages");
  if (!list) throw ApiError(400, "\"messages\" is missing", "messages");
  if (list->empty()) throw ApiError(400, "[] is too short - 'messages'", "messages");
  const Json messages = openai_messages(*list, name);
  OpenAiChatForm form;
  form.stream = f.boolean("stream").value_or(false);
  if (const Json* options = f.object("stream_options"))
    form.usage = Fields(*options, "stream_options.").boolean("include_usage").value_or(false);
  form.choices = static_cast<int>(f.integer("n", 1, 128).value_or(1));
  form.log_probabilities = f.boolean("logprobs").value_or(false);
  const auto top = f.integer("top_logprobs", 0, 20);
  if (top && *top > 0 && !form.log_probabilities)
    throw ApiError(400, "\"top_logprobs\" needs \"logprobs\": true", "top_logprobs");
  auto wanted = f.integer("max_completion_tokens", 1);
  if (!wanted) wanted = f.integer("max_tokens", -1);
  if (wanted && *wanted <= 0) {
    if (*wanted == 0) throw ApiError(400, "\"max_tokens\" is 0, expected at least 1", "max_tokens");
    wanted.reset();
  }
  auto lease = call.acquire(name, keep_alive_of(f));
  LoadedModel& model = *lease;
  require_generation(model, name);
  const ToolChoice tools = tool_choice(f, model, name);
  OllamaSettings settings = openai_settings(model, f);
  settings.config.format = tools.forced ? tool_format(tools.tools, tools.name) : response_format(f);
  Json think = asked_to_think(f, model, name);
  if (tools.forced) think = model.description.thinking ? Json(false) : Json();
  generation::Job prompt;
  chat_prompt(model, messages, tools.tools, think, &prompt);
  const std::vector<int32_t>& ids = prompt.prompt;
  const int64_t limit = openai_limit(model, settings, static_cast<int64_t>(ids.size()), wanted);
  std::vector<Plan> plans;
  for (int i = 0; i < form.choices; ++i) {
    Plan plan;
    plan.job.prompt = ids;
    plan.job.media = prompt.media;
    plan.job.config = settings.config;
    plan.job.config.max_new_tokens = limit;
    plan.job.penalties = settings.penalties;
    plan.job.stream = static_cast<uint64_t>(i);
    plan.job.top_scores = form.log_probabilities ? static_cast<int>(top.value_or(0)) : -1;
    plan.parser.thinking = think.is_string() || (think.is_boolean() && think.get<bool>());
    plan.parser.tools = !tools.tools.is_null();
    plan.parser.only_call = tools.forced;
    plans.push_back(std::move(plan));
  }
  form.model = call.path.empty() ? f.text_or("model", name) : name;
  form.tokenizer = model.model.tokenizer();
  form.lm_studio = call.dialect == Dialect::lm_studio;
  form.model_info = {{"arch", model.description.family},
                     {"quant", model.description.quantisation},
                     {"format", model.description.format},
                     {"context_length", model.context()}};
  launch(call, std::move(lease), std::move(plans),
         std::make_shared<OpenAiChatAnswer>(call.reply, std::move(form)));
}

std::span<const Route> openai_routes() {
  static const Route routes[] = {{"GET", "/v1/models", openai_models, Scope::any},
                                 {"GET", "/v1/models/{...}", openai_model, Scope::any},
                                 {"POST", "/v1/chat/completions", openai_chat},
                                 {"POST", "/v1/completions", openai_completions}};
  return routes;
}

}  // namespace mynah::serve
