// Ollama's POST /api/generate and /api/chat.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "base/log.h"
#include "generate/picture_chat.h"
#include "serve/ollama.h"

namespace mynah::serve {
namespace {

using Milliseconds = std::chrono::milliseconds;

// Go's time.ParseDuration.
std::optional<Milliseconds> parse_duration(std::string_view text) {
  double sign = 1, total = 0;
  if (text.starts_with('-') || text.starts_with('+')) {
    sign = text[0] == '-' ? -1 : 1;
    text.remove_prefix(1);
  }
  if (text == "0") return Milliseconds(0);
  if (text.empty()) return std::nullopt;
  while (!text.empty()) {
    size_t n = 0;
    while (n < text.size() && ((text[n] >= '0' && text[n] <= '9') || text[n] == '.')) ++n;
    if (n == 0 || n > 15) return std::nullopt;
    const double value = std::strtod(std::string(text.substr(0, n)).c_str(), nullptr);
    text.remove_prefix(n);
    double unit = 0;
    for (const auto& [name, ms] : {std::pair<std::string_view, double>{"ms", 1},
                                   {"us", 1e-3},
                                   {"ns", 1e-6},
                                   {"h", 3600e3},
                                   {"m", 60e3},
                                   {"s", 1e3}})
      if (text.starts_with(name)) {
        unit = ms;
        text.remove_prefix(name.size());
        break;
      }
    if (unit == 0) return std::nullopt;
    total += value * unit;
  }
  return Milliseconds(static_cast<int64_t>(std::clamp(sign * total, -1e15, 1e15)));
}

int64_t nanoseconds(double seconds) { return static_cast<int64_t>(seconds * 1e9); }

// One answer, streamed or whole, of generate or chat.
class OllamaAnswer : public Listener {
 public:
  struct Form {
    std::string model;
    bool chat = false, stream = true, log_probabilities = false, give_context = false;
    double load_seconds = 0;
    std::vector<int32_t> prompt;
    std::shared_ptr<const Tokenizer> tokenizer;
  };
  OllamaAnswer(ReplyPtr reply, Form form, Headers headers)
      : reply_(std::move(reply)),
        form_(std::move(form)),
        headers_(std::move(headers)),
        start_(std::chrono::steady_clock::now()) {}

  void on_delta(int, const ParsedText& text, const generation::TokenStep& step) override {
    if (form_.log_probabilities) scores_.push_back(log_probability_json(*form_.tokenizer, step.score));
    if (!form_.stream) return;
    if (text.empty() && scores_.empty()) return;
    put(text);
  }

  void on_end(int, const ParsedText& rest, Outcome&& outcome) override {
    const generation::Ended& e = outcome.ended;
    const Generated& g = e.generated;
    if (form_.stream && (!rest.empty() || !scores_.empty())) put(rest);
    if (form_.stream && !outcome.calls.empty()) {
      Json record = head();
      fill(&record, {}, &outcome.calls);
      record["done"] = false;
      write(record);
    }
    Json record = head();
    fill(&record, form_.stream ? ParsedText{} : ParsedText{outcome.thinking, outcome.content},
         form_.stream ? nullptr : &outcome.calls);
    record["done"] = true;
    record["done_reason"] = g.reason == FinishReason::length ? "length" : "stop";
    if (form_.give_context) {
      Json context = Json::array();
      for (const int32_t id : form_.prompt) context.push_back(id);
      for (const int32_t id : g.ids) context.push_back(id);
      record["context"] = std::move(context);
    }
    if (!form_.stream && form_.log_probabilities) record["logprobs"] = scores_;
    const double total =
        form_.load_seconds + std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    record["total_duration"] = nanoseconds(total);
    record["load_duration"] = nanoseconds(form_.load_seconds);
    record["prompt_eval_count"] = g.prompt_tokens;
    record["prompt_eval_duration"] = nanoseconds(g.prompt_seconds);
    record["eval_count"] = g.ids.size();
    record["eval_duration"] = nanoseconds(g.decode_seconds);
    if (form_.stream) {
      write(record);
      reply_->end();
    } else {
      reply_->send({200, "application/json", to_text(record), headers_});
    }
  }

  void on_error(int, const ApiError& error) override {
    if (reply_->begun()) {
      reply_->write(to_text(error_json(Dialect::ollama, error)) + "\n");
      reply_->end();
    } else {
      reply_->send(error_answer(Dialect::ollama, error));
    }
  }

 private:
  Json head() const { return {{"model", form_.model}, {"created_at", utc_time(std::chrono::system_clock::now())}}; }

  void fill(Json* record, const ParsedText& text, const std::vector<ToolCall>* calls) const {
    Json list = Json::array();
    if (calls)
      for (size_t i = 0; i < calls->size(); ++i)
        list.push_back({{"id", (*calls)[i].id},
                        {"function",
                         {{"index", i},
                          {"name", (*calls)[i].name},
                          {"arguments", parse_json((*calls)[i].arguments, "arguments")}}}});
    if (form_.chat) {
      Json message = {{"role", "assistant"}, {"content", text.content}};
      if (!text.thinking.empty()) message["thinking"] = text.thinking;
      if (!list.empty()) message["tool_calls"] = std::move(list);
      (*record)["message"] = std::move(message);
    } else {
      (*record)["response"] = text.content;
      if (!text.thinking.empty()) (*record)["thinking"] = text.thinking;
      if (!list.empty()) (*record)["tool_calls"] = std::move(list);
    }
  }

  void put(const ParsedText& text) {
    Json record = head();
    fill(&record, text, nullptr);
    record["done"] = false;
    if (!scores_.empty()) record["logprobs"] = std::exchange(scores_, Json::array());
    write(record);
  }

  void write(const Json& record) {
    if (!reply_->begun()) reply_->begin(200, "application/x-ndjson", headers_);
    reply_->write(to_text(record) + "\n");
  }

  ReplyPtr reply_;
  Form form_;
  Headers headers_;
  Json scores_ = Json::array();
  std::chrono::steady_clock::time_point start_;
};

// The pictures of a request or a message in base64.
std::vector<std::string> images_of(const Fields& fields) {
  std::vector<std::string> all;
  if (const Json* images = fields.array("images"))
    for (const Json& image : *images) {
      if (!image.is_string()) fields.wrong("images", "array of base64 strings");
      all.push_back(image.get<std::string>());
    }
  return all;
}

void require_vision(const LoadedModel& model, const std::string& name) {
  if (!generation::sees(model.model))
    throw ApiError(400, fmt::format("\"{}\" does not support vision: it takes no image", name), "images");
}

// A message's content with its pictures before the text.
Json content_with(const std::vector<std::string>& images, const std::string& text) {
  if (images.empty()) return text;
  Json parts = Json::array();
  for (const std::string& image : images) parts.push_back({{"type", "image"}, {"data", image}});
  parts.push_back({{"type", "text"}, {"text", text}});
  return parts;
}

int top_scores_of(const Fields& fields) {
  const auto top = fields.integer("top_logprobs");
  if (top && (*top < 0 || *top > 20)) throw ApiError(400, "top_logprobs must be between 0 and 20", "top_logprobs");
  return fields.boolean("logprobs").value_or(false) ? static_cast<int>(top.value_or(0)) : -1;
}

std::string format_of(const Fields& fields) {
  const Json* format = fields.find("format");
  if (!format || (format->is_string() && format->get<std::string>().empty())) return "";
  if (format->is_string() && format->get<std::string>() == "json") return json_format(nullptr);
  if (format->is_object()) return json_format(*format);
  throw ApiError(400, "invalid format: expected \"json\" or a JSON schema", "format");
}

// The answer to a request that only loads or unloads.
void answer_loaded(const Call& call, const std::string& name, bool chat, bool unload) {
  Json record = {{"model", name}, {"created_at", utc_time(std::chrono::system_clock::now())}};
  if (chat)
    record["message"] = {{"role", "assistant"}, {"content", ""}};
  else
    record["response"] = "";
  record["done"] = true;
  record["done_reason"] = unload ? "unload" : "load";
  call.send_json(record);
}

// The answer to a request that only wants to see its prompt.
void answer_rendered(const Call& call, const LoadedModel& model, const std::string& name,
                     const std::vector<int32_t>& ids) {
  call.send_json(
      {{"model", name},
       {"created_at", utc_time(std::chrono::system_clock::now())},
       {"_debug_info", {{"rendered_template", model.model.tokenizer()->decode(ids, false)}, {"image_count", 0}}}});
}

Plan plan_of(const LoadedModel& model, const OllamaSettings& settings, std::vector<int32_t> prompt) {
  Plan plan;
  plan.job.config = settings.config;
  plan.job.penalties = settings.penalties;
  const int64_t limit =
      limit_tokens(model, static_cast<int64_t>(prompt.size()), settings.num_ctx, settings.num_predict);
  plan.job.config.max_new_tokens = limit;
  plan.job.prompt = std::move(prompt);
  return plan;
}

// Cuts the middle out of a prompt that outgrows the context, or refuses it.
Headers fit_prompt(const Fields& fields, const OllamaSettings& settings, int64_t context, std::vector<int32_t>* ids) {
  if (context <= 0 || static_cast<int64_t>(ids->size()) < context) return {};
  if (!fields.boolean("truncate").value_or(true) || !fields.boolean("shift").value_or(true))
    throw ApiError(400,
                   fmt::format("the prompt is longer than the context length currently available to the model; it has "
                               "{} tokens, the context {}",
                               ids->size(), context),
                   "prompt");
  const int64_t keep = std::clamp<int64_t>(settings.num_keep, 0, context / 2), tail = (context - keep) / 2;
  const auto cut = static_cast<int64_t>(ids->size()) - keep - tail;
  ids->erase(ids->begin() + keep, ids->begin() + keep + cut);
  warn("serve: a prompt outgrew the context of {} tokens, {} were cut from its middle", context, cut);
  return {{"X-Truncated-Tokens", std::to_string(cut)}};
}

// The prompt by a template of the request's own.
std::vector<int32_t> ids_by_template(const LoadedModel& model, const std::string& text, const Json& messages,
                                     const Json& think) {
  const auto& tokenizer = *model.model.tokenizer();
  try {
    if (!is_jinja(text))
      return tokenizer.encode_ids(GoTemplate::parse(text, "template")->prompt(messages, nullptr, think), true, true);
    return tokenizer.encode_ids(
        ChatTemplate::parse(text, "template")->render({{"messages", messages}, {"add_generation_prompt", true}}), false,
        true);
  } catch (const Error& error) {
    throw ApiError(400, error.what(), "template");
  }
}

void generate(Call& call) {
  const Json body = call.body();
  const Fields f(body);
  const std::string name = f.text_or("model", "");
  if (name.empty()) throw ApiError(400, "model is required", "model");
  f.boolean("stream");
  const auto keep_alive = keep_alive_of(f);
  const std::string prompt = f.text_or("prompt", ""), suffix = f.text_or("suffix", "");
  const bool raw = f.boolean("raw").value_or(false);
  const Json* context = f.array("context");
  if (raw && (!f.text_or("template", "").empty() || !f.text_or("system", "").empty() || context))
    throw ApiError(400, "raw mode does not support template, system, or context");
  const int top = top_scores_of(f);
  for (const char* field : {"truncate", "shift"}) f.boolean(field);
  if (prompt.empty() && suffix.empty() && images_of(f).empty()) {
    if (keep_alive && keep_alive->count() == 0) {
      call.service.models.find(name);
      call.service.models.unload(name);
      return answer_loaded(call, name, false, true);
    }
    call.acquire(name, keep_alive);
    return answer_loaded(call, name, false, false);
  }
  auto lease = call.acquire(name, keep_alive);
  LoadedModel& model = *lease;
  require_generation(model, name);
  if (!suffix.empty() && !model.description.fills_in)
    throw ApiError(400, fmt::format("\"{}\" does not support insert", name), "suffix");
  const std::vector<std::string> images = images_of(f);
  if (!images.empty()) require_vision(model, name);
  const OllamaSettings settings = ollama_settings(model, call.service.models, f.object("options"));
  const Json think = think_of(f, model, name);
  generation::Job job;
  std::vector<int32_t> ids;
  if (raw) {
    plain_prompt(model, prompt, images, &job);
    ids = std::move(job.prompt);
  } else if (!suffix.empty()) {
    ids = model.model.tokenizer()->encode_ids(model.go_template->fill_in(prompt, suffix), true, true);
  } else {
    Json messages = Json::array();
    const std::string system = f.text_or("system", "");
    if (!system.empty()) messages.push_back({{"role", "system"}, {"content", system}});
    messages.push_back({{"role", "user"}, {"content", content_with(images, prompt)}});
    if (const std::string own = f.text_or("template", ""); !own.empty()) {
      ids = ids_by_template(model, own, messages, think);
    } else {
      chat_prompt(model, messages, nullptr, think, &job);
      ids = std::move(job.prompt);
    }
  }
  if (context) {
    std::vector<int32_t> before;
    for (const Json& id : *context) {
      if (!id.is_number_integer()) f.wrong("context", "array of integers");
      before.push_back(id.get<int32_t>());
    }
    ids.insert(ids.begin(), before.begin(), before.end());
  }
  if (f.boolean("_debug_render_only").value_or(false)) return answer_rendered(call, model, name, ids);
  // A prompt with pictures is not cut: its tokens belong to them.
  Headers headers = job.media.empty() ? fit_prompt(f, settings, settings.num_ctx, &ids) : Headers();
  Plan plan = plan_of(model, settings, ids);
  plan.job.media = std::move(job.media);
  plan.job.top_scores = top;
  plan.job.config.format = format_of(f);
  plan.parser.thinking = !raw && think.is_boolean() ? think.get<bool>() : !raw && think.is_string();
  OllamaAnswer::Form form{name,
                          false,
                          f.boolean("stream").value_or(true),
                          top >= 0,
                          !raw,
                          lease.load_seconds,
                          std::move(ids),
                          model.model.tokenizer()};
  auto listener = std::make_shared<OllamaAnswer>(call.reply, std::move(form), std::move(headers));
  std::vector<Plan> plans;
  plans.push_back(std::move(plan));
  launch(call, std::move(lease), std::move(plans), listener);
}

// Ollama's messages in the form of chat templates.
Json messages_of(const Json& list, const LoadedModel& model, const std::string& name) {
  Json out = Json::array();
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string where = fmt::format("messages[{}].", i);
    if (!list[i].is_object()) throw ApiError(400, fmt::format("\"messages[{}]\" is not an object", i), "messages");
    const Fields m(list[i], where);
    std::string role = m.text_or("role", "");
    std::transform(role.begin(), role.end(), role.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    if (role != "system" && role != "user" && role != "assistant" && role != "tool" && role != "developer")
      throw ApiError(400, fmt::format("\"{}role\" is \"{}\", expected system, user, assistant or tool", where, role),
                     "messages");
    if (role == "developer") role = "system";
    const std::vector<std::string> images = images_of(m);
    if (!images.empty()) require_vision(model, name);
    Json message = {{"role", role}, {"content", content_with(images, m.text_or("content", ""))}};
    if (const auto thinking = m.text("thinking"); thinking && !thinking->empty())
      message["reasoning_content"] = *thinking;
    if (const Json* calls = m.array("tool_calls"); calls && !calls->empty()) {
      Json all = Json::array();
      for (const Json& call : *calls) {
        if (!call.is_object() || !call.contains("function") || !call["function"].is_object())
          throw ApiError(400, fmt::format("\"{}tool_calls\": a call without function", where), "messages");
        const Fields function(call["function"], where + "tool_calls.function.");
        Json one = {{"type", "function"},
                    {"function",
                     {{"name", function.text_or("name", "")},
                      {"arguments", function.object("arguments") ? *function.object("arguments") : Json::object()}}}};
        if (call.contains("id") && call["id"].is_string()) one["id"] = call["id"];
        all.push_back(std::move(one));
      }
      message["tool_calls"] = std::move(all);
    }
    if (const auto tool = m.text("tool_name")) message["name"] = *tool;
    if (const auto id = m.text("tool_call_id")) message["tool_call_id"] = *id;
    out.push_back(std::move(message));
  }
  return out;
}

void ollama_chat(Call& call) {
  const Json body = call.body();
  const Fields f(body);
  const std::string name = f.text_or("model", "");
  if (name.empty()) throw ApiError(400, "model is required", "model");
  f.boolean("stream");
  const auto keep_alive = keep_alive_of(f);
  const Json* list = f.array("messages");
  const int top = top_scores_of(f);
  for (const char* field : {"truncate", "shift"}) f.boolean(field);
  if (!list || list->empty()) {
    if (keep_alive && keep_alive->count() == 0) {
      call.service.models.find(name);
      call.service.models.unload(name);
      return answer_loaded(call, name, true, true);
    }
    call.acquire(name, keep_alive);
    return answer_loaded(call, name, true, false);
  }
  auto lease = call.acquire(name, keep_alive);
  LoadedModel& model = *lease;
  require_generation(model, name);
  Json messages = messages_of(*list, model, name);
  const Json* tools = f.array("tools");
  if (tools && !tools->empty()) {
    require_tools(model, name);
    check_tools(*tools);
  }
  const OllamaSettings settings = ollama_settings(model, call.service.models, f.object("options"));
  const Json think = think_of(f, model, name);
  const Json given_tools = tools ? *tools : Json();
  generation::Job job;
  chat_prompt(model, messages, given_tools, think, &job);
  std::vector<int32_t> ids = std::move(job.prompt);
  if (f.boolean("_debug_render_only").value_or(false)) return answer_rendered(call, model, name, ids);
  Headers headers;
  if (job.media.empty() && settings.num_ctx > 0 && static_cast<int64_t>(ids.size()) >= settings.num_ctx &&
      f.boolean("truncate").value_or(true)) {
    // The oldest messages go, system ones and the last stay.
    int dropped = 0;
    while (static_cast<int64_t>(ids.size()) >= settings.num_ctx) {
      size_t first = 0;
      while (first + 1 < messages.size() && messages[first]["role"] == "system") ++first;
      if (first + 1 >= messages.size()) break;
      messages.erase(first);
      ++dropped;
      ids = chat_ids(model, messages, given_tools, think);
    }
    headers.emplace_back("X-Truncated-Messages", std::to_string(dropped));
    warn("serve: a chat outgrew the context of {} tokens, its {} oldest messages were dropped", settings.num_ctx,
         dropped);
  }
  const Headers cut = job.media.empty() ? fit_prompt(f, settings, settings.num_ctx, &ids) : Headers();
  headers.insert(headers.end(), cut.begin(), cut.end());
  Plan plan = plan_of(model, settings, ids);
  plan.job.media = std::move(job.media);
  plan.job.top_scores = top;
  plan.job.config.format = format_of(f);
  plan.parser.thinking = think.is_boolean() ? think.get<bool>() : think.is_string();
  plan.parser.tools = tools && !tools->empty();
  OllamaAnswer::Form form{
      name, true, f.boolean("stream").value_or(true), top >= 0, false, lease.load_seconds, {}, model.model.tokenizer()};
  auto listener = std::make_shared<OllamaAnswer>(call.reply, std::move(form), std::move(headers));
  std::vector<Plan> plans;
  plans.push_back(std::move(plan));
  launch(call, std::move(lease), std::move(plans), listener);
}

}  // namespace

Json think_of(const Fields& fields, const LoadedModel& model, const std::string& name) {
  const Json* think = fields.find("think");
  if (!think) return model.description.thinking ? Json(true) : Json();
  if (think->is_string()) {
    const auto level = think->get<std::string>();
    if (level != "low" && level != "medium" && level != "high" && level != "max")
      throw ApiError(400,
                     "invalid think value: \"" + level + "\" (must be \"high\", \"medium\", \"low\", true, or false)",
                     "think");
  } else if (!think->is_boolean()) {
    fields.wrong("think", "boolean or string");
  }
  if (!(think->is_boolean() && !think->get<bool>()) && !model.description.thinking)
    throw ApiError(400, fmt::format("\"{}\" does not support thinking", name), "think");
  return *think;
}

std::optional<Milliseconds> keep_alive_of(const Fields& fields) {
  const Json* v = fields.find("keep_alive");
  if (!v) {
    const auto ttl = fields.integer("ttl", 0, int64_t{1} << 40);  // LM Studio's word
    return ttl ? std::optional(Milliseconds(*ttl * 1000)) : std::nullopt;
  }
  if (v->is_number()) {
    const double seconds = v->get<double>();
    return Milliseconds(seconds < 0 ? -1 : static_cast<int64_t>(std::min(seconds, 1e12) * 1000));
  }
  if (v->is_string()) {
    const std::string text = v->get<std::string>();
    if (const auto duration = parse_duration(text)) return duration->count() < 0 ? Milliseconds(-1) : *duration;
    throw ApiError(400, fmt::format("keep_alive: time: invalid duration \"{}\"", text), "keep_alive");
  }
  fields.wrong("keep_alive", "number of seconds or duration");
}

bool set_ollama_option(const Fields& o, const std::string& n, OllamaSettings* s) {
  GenerationConfig& c = s->config;
  if (n == "temperature")
    c.temperature = static_cast<float>(o.number(n, 0, 1e6).value_or(c.temperature));
  else if (n == "top_k")
    c.top_k = std::max<int64_t>(0, o.integer(n).value_or(c.top_k));
  else if (n == "top_p")
    c.top_p = static_cast<float>(o.number(n, 0, 1e6).value_or(c.top_p));
  else if (n == "min_p")
    c.min_p = static_cast<float>(o.number(n, 0, 1).value_or(c.min_p));
  else if (n == "typical_p")
    c.typical_p = static_cast<float>(o.number(n, 0, 1).value_or(c.typical_p));
  else if (n == "seed") {
    if (const auto seed = o.integer(n)) c.seed = *seed == -1 ? random_seed() : static_cast<uint64_t>(*seed);
  } else if (n == "num_predict")
    s->num_predict = o.integer(n).value_or(s->num_predict);
  else if (n == "num_ctx")
    s->num_ctx = std::max<int64_t>(4, o.integer(n, 0).value_or(s->num_ctx));
  else if (n == "num_keep")
    s->num_keep = o.integer(n).value_or(s->num_keep);
  else if (n == "repeat_last_n")
    s->penalties.last_n = o.integer(n, -1).value_or(s->penalties.last_n);
  else if (n == "repeat_penalty")
    s->penalties.repeat = static_cast<float>(o.number(n, 1e-6, 1e6).value_or(s->penalties.repeat));
  else if (n == "presence_penalty")
    s->penalties.presence = static_cast<float>(o.number(n, -100, 100).value_or(s->penalties.presence));
  else if (n == "frequency_penalty")
    s->penalties.frequency = static_cast<float>(o.number(n, -100, 100).value_or(s->penalties.frequency));
  else if (n == "stop") {
    if (const auto stops = o.texts(n)) {
      c.stop_strings.clear();
      for (const auto& stop : *stops)
        if (!stop.empty()) c.stop_strings.push_back(stop);
      if (c.stop_strings.size() > 16) throw ApiError(400, "option \"stop\" holds more than 16 texts", "stop");
    }
  } else if (n == "num_batch" || n == "num_gpu" || n == "main_gpu" || n == "num_thread" || n == "draft_num_predict" ||
             n == "mirostat")
    o.integer(n);
  else if (n == "use_mmap" || n == "penalize_newline" || n == "low_vram" || n == "f16_kv" || n == "logits_all" ||
           n == "vocab_only" || n == "use_mlock" || n == "numa")
    o.boolean(n);
  else if (n == "mirostat_eta" || n == "mirostat_tau" || n == "tfs_z")
    o.number(n);
  else
    return false;
  return true;
}

OllamaSettings ollama_settings(const LoadedModel& model, const Models& models, const Json* options) {
  OllamaSettings s;
  s.config = base_config(model);
  s.config.temperature = 0.8f;
  s.config.top_k = 40;
  s.config.top_p = 0.9f;
  s.config.seed = random_seed();
  s.penalties.last_n = 64;
  s.num_ctx = models.options().context > 0 ? models.options().context : 4096;
  for (const Json* source : {&model.settings.parameters, options}) {
    if (!source || !source->is_object()) continue;
    const Fields fields(*source);
    for (const auto& [name, value] : source->items())
      if (!value.is_null() && !set_ollama_option(fields, name, &s))
        warn("serve: the option \"{}\" does not exist and is ignored", name.substr(0, 40));
  }
  s.config.do_sample = s.config.temperature > 0;
  if (s.config.top_p > 1) s.config.top_p = 1;
  const int64_t most = model.model.context_length();
  if (most > 0) s.num_ctx = std::min(s.num_ctx, most);
  return s;
}

Json log_probability_json(const Tokenizer& tokenizer, const generation::TokenScore& score) {
  const auto one = [&](int32_t id, float value) {
    const std::string text = tokenizer.decode(std::vector<int32_t>{id}, false);
    Json bytes = Json::array();
    for (const char c : text) bytes.push_back(static_cast<unsigned char>(c));
    return Json{{"token", text}, {"logprob", value}, {"bytes", bytes}};
  };
  Json json = one(score.id, score.log_probability);
  Json top = Json::array();
  for (const auto& [id, value] : score.top) top.push_back(one(id, value));
  json["top_logprobs"] = std::move(top);
  return json;
}

std::span<const Route> ollama_text_routes() {
  static const Route routes[] = {{"POST", "/api/generate", generate}, {"POST", "/api/chat", ollama_chat}};
  return routes;
}

}  // namespace mynah::serve
