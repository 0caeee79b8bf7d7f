#include "serve/answer.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <mutex>
#include <span>

#include "generate/picture_chat.h"
#include "serve/media.h"

namespace mynah::serve {

namespace {

// Shared by the answers of one request.
struct Launched {
  Launched(const Call& call, Models::Lease l, std::shared_ptr<Listener> who)
      : service(call.service), lease(std::move(l)), reply(call.reply), notes(call.request->notes), listener(std::move(who)) {}
  Service& service;
  Models::Lease lease;
  ReplyPtr reply;
  std::shared_ptr<RequestNotes> notes;
  std::shared_ptr<Listener> listener;
  std::mutex mutex;
  std::vector<uint64_t> numbers;

  void cancel() {
    std::vector<uint64_t> all;
    {
      std::lock_guard lock(mutex);
      all = numbers;
    }
    for (const uint64_t number : all) lease->scheduler->cancel(number);
  }
};

void count(Metrics& m, RequestNotes& notes, const generation::Ended& e) {
  const Generated& g = e.generated;
  notes.change([&](RequestNotes::Values& v) {
    v.prompt_tokens += g.prompt_tokens;
    v.reused_tokens += g.reused_tokens;
    v.generated_tokens += static_cast<int64_t>(g.ids.size());
    v.queue_seconds = std::max(v.queue_seconds, e.queue_seconds);
    v.first_token_seconds = std::max(v.first_token_seconds, e.first_token_seconds);
  });
  m.prompt_tokens += static_cast<uint64_t>(g.prompt_tokens);
  m.reused_tokens += static_cast<uint64_t>(g.reused_tokens);
  m.generated_tokens += g.ids.size();
  if (g.reason == FinishReason::cancelled && !e.error) {
    ++m.cancelled;
    return;
  }
  m.queue_seconds.observe(e.queue_seconds);
  m.first_token_seconds.observe(e.first_token_seconds);
  if (g.ids.size() > 1) m.token_seconds.observe(g.decode_seconds / static_cast<double>(g.ids.size() - 1));
  m.answer_seconds.observe(e.queue_seconds + g.prompt_seconds + g.decode_seconds);
}

// Where the template has opened the thought already, the answer begins inside it; a format begins behind it.
void prepare_thought(const LoadedModel& model, Plan* plan) {
  const auto& prompt = plan->job.prompt;
  std::string end = model.model.tokenizer()->decode(
      std::vector<int32_t>(prompt.end() - static_cast<long>(std::min<size_t>(prompt.size(), 12)), prompt.end()), false);
  end.erase(end.find_last_not_of(" \t\r\n") + 1);
  plan->parser.starts_thinking = end.ends_with("<think>");
  std::string& format = plan->job.config.format;
  if (format.empty() || plan->parser.only_call) return;
  const std::string thought = std::string(plan->parser.starts_thinking ? "" : "<think>") + "([^<]|<[^/])*</think>\\s{0,4}";
  format = Json{{"$before", thought}, {"$then", format == "json" ? Json("json") : parse_json(format, "schema")}}.dump();
}

}  // namespace

namespace {

media::Image decoded(const LoadedModel& model, const std::string& data) {
  const std::string bytes = decode_media(data, "an image", "images");
  try {
    return media::decode_image(std::as_bytes(std::span(bytes)), "the image", generation::alpha_of(model.model));
  } catch (const Error& error) {
    throw ApiError(400, error.what(), "images");
  }
}

[[noreturn]] void refuse_pictures(const LoadedModel& model) {
  throw ApiError(400, fmt::format("\"{}\" does not support vision: a message holds an image", model.name), "messages");
}

void take(GenerateInputs inputs, generation::Job* job) {
  job->prompt = inputs.input_ids.empty() ? std::vector<int32_t>() : std::move(inputs.input_ids[0]);
  job->media = std::move(inputs.media);
}

// Pictures that are not read yet.
bool holds_pictures(const Json& messages) {
  for (const Json& message : messages)
    if (const auto content = message.find("content"); content != message.end() && content->is_array())
      for (const Json& part : *content)
        if (part.contains("data")) return true;
  return false;
}

}  // namespace

void chat_prompt(const LoadedModel& model, Json messages, const Json& tools, const Json& think, generation::Job* job) {
  if (!holds_pictures(messages)) {
    job->prompt = chat_ids(model, std::move(messages), tools, think);
    return;
  }
  if (!generation::sees(model.model)) refuse_pictures(model);
  std::vector<media::Image> pictures;
  for (Json& message : messages)
    if (message["content"].is_array())
      for (Json& part : message["content"])
        if (part.value("type", "") == "image") {
          pictures.push_back(decoded(model, part["data"].get<std::string>()));
          part.erase("data");
        }
  std::function<std::string(const Json&)> render;
  if (model.chat_template || model.go_template)
    render = [&](const Json& all) { return chat_text(model, all, tools, think, true); };
  take(generation::picture_chat(model.model, messages, pictures, render), job);
}

void plain_prompt(const LoadedModel& model, const std::string& text, const std::vector<std::string>& pictures,
                  generation::Job* job) {
  if (pictures.empty()) {
    job->prompt = plain_ids(model, text);
    return;
  }
  if (!generation::sees(model.model)) refuse_pictures(model);
  std::vector<media::Image> images;
  for (const std::string& picture : pictures) images.push_back(decoded(model, picture));
  take(generation::picture_prompt(model.model, text, images), job);
}

std::string chat_text(const LoadedModel& model, Json messages, const Json& tools, const Json& think,
                      bool generation_prompt) {
  if (holds_pictures(messages)) refuse_pictures(model);
  Json all = Json::array();
  const bool has_system =
      std::any_of(messages.begin(), messages.end(), [](const Json& m) { return m.value("role", "") == "system"; });
  if (!has_system && !model.settings.system.empty())
    all.push_back({{"role", "system"}, {"content", model.settings.system}});
  if (model.settings.messages.is_array())
    for (const Json& m : model.settings.messages) all.push_back(m);
  for (Json& m : messages) all.push_back(std::move(m));
  const auto tokenizer = model.model.tokenizer();
  if (!tokenizer) throw ApiError(400, "the model comes without a tokenizer");
  if (model.go_template) return model.go_template->prompt(all, tools, think);
  if (!model.chat_template) {
    std::string text;
    for (const Json& m : all) text += (text.empty() ? "" : "\n") + m.value("content", "");
    return text;
  }
  const auto token = [&](std::optional<int32_t> id) { return id ? tokenizer->token_text(*id) : std::string(); };
  Json variables = {{"messages", all},
                    {"add_generation_prompt", generation_prompt},
                    {"bos_token", token(tokenizer->bos_id())},
                    {"eos_token", token(tokenizer->eos_id())}};
  if (!tools.is_null() && !tools.empty()) variables["tools"] = tools;
  if (!think.is_null()) variables["enable_thinking"] = !(think.is_boolean() && !think.get<bool>());
  if (think.is_string()) variables["reasoning_effort"] = think;
  return model.chat_template->render(variables);
}

std::vector<int32_t> chat_ids(const LoadedModel& model, Json messages, const Json& tools, const Json& think,
                              bool generation_prompt) {
  const std::string text = chat_text(model, std::move(messages), tools, think, generation_prompt);
  return model.model.tokenizer()->encode_ids(text, model.go_template || !model.chat_template, true);
}

std::vector<int32_t> plain_ids(const LoadedModel& model, const std::string& text) {
  if (!model.model.tokenizer()) throw ApiError(400, "the model comes without a tokenizer");
  return model.model.tokenizer()->encode_ids(text);
}

void require_generation(const LoadedModel& model, const std::string& name) {
  if (!model.scheduler) throw ApiError(400, fmt::format("\"{}\" does not support generate", name), "model");
}

void require_tools(const LoadedModel& model, const std::string& name) {
  if (!model.description.tools || !(model.chat_template || model.go_template))
    throw ApiError(400, fmt::format("\"{}\" does not support tools: its chat template has none", name), "tools");
}

void check_tools(const Json& tools) {
  for (const Json& tool : tools)
    if (!tool.is_object() || !tool.contains("function") || !tool["function"].is_object() ||
        !tool["function"].contains("name") || !tool["function"]["name"].is_string())
      throw ApiError(400, "\"tools\" holds what is no function with a name", "tools");
}

GenerationConfig base_config(const LoadedModel& model) {
  const GenerationConfig own = generation_defaults(model.model);
  GenerationConfig config;
  config.eos_token_id = own.eos_token_id;
  config.pad_token_id = own.pad_token_id;
  config.bos_token_id = own.bos_token_id;
  config.suppress_tokens = own.suppress_tokens;
  config.top_k = 0;
  return config;
}

int64_t limit_tokens(const LoadedModel& model, int64_t prompt, int64_t context, int64_t wanted) {
  const int64_t most = model.model.context_length();
  int64_t room = most > 0 ? most : 1 << 20;
  if (context > 0) room = std::min(room, context);
  room = model.model.bundle().network->seq2seq_lm() ? (wanted < 0 ? 512 : wanted) : room - prompt;
  return std::max<int64_t>(0, wanted < 0 ? room : std::min(wanted, room));
}

namespace {
thread_local std::mt19937_64* chance = nullptr;  // of the request that this thread handles
uint64_t machine_seed() { return (static_cast<uint64_t>(std::random_device{}()) << 32) | std::random_device{}(); }
}  // namespace

uint64_t random_seed() { return chance ? (*chance)() : machine_seed(); }

SeedScope::SeedScope(uint64_t seed) : random_(seed) { chance = &random_; }
SeedScope::~SeedScope() { chance = nullptr; }

std::string random_id(std::string_view prefix, size_t length) {
  static constexpr char kLetters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
  static thread_local std::mt19937_64 random(machine_seed());  // nobody may foretell ids
  std::string id(prefix);
  while (length-- > 0) id += kLetters[random() % 36];
  return id;
}

std::string utc_time(std::chrono::system_clock::time_point time) {
  const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
  const std::time_t seconds = static_cast<std::time_t>(ns / 1000000000);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  return fmt::format("{}.{:09}Z", text, ns % 1000000000);
}

std::string json_format(const Json& schema) { return schema.is_null() ? "json" : schema.dump(); }

std::string tool_format(const Json& tools, const std::string& name) {
  Json calls = Json::array();
  for (const Json& tool : tools) {
    const Json& function = tool["function"];
    if (!name.empty() && function["name"] != name) continue;
    Json arguments =
        function.contains("parameters") && function["parameters"].is_object() ? function["parameters"] : Json::object();
    if (!arguments.contains("type")) arguments["type"] = "object";
    calls.push_back({{"type", "object"},
                     {"properties", {{"name", {{"const", function["name"]}}}, {"arguments", arguments}}},
                     {"required", {"name", "arguments"}},
                     {"additionalProperties", false}});
  }
  if (calls.empty()) throw ApiError(400, fmt::format("there is no tool \"{}\"", name), "tool_choice");
  return calls.size() == 1 ? calls[0].dump() : Json{{"anyOf", calls}}.dump();
}

void launch(const Call& call, Models::Lease lease, std::vector<Plan> plans, std::shared_ptr<Listener> listener) {
  generation::Scheduler& scheduler = *lease->scheduler;
  const auto counts = scheduler.counts();
  auto shared = std::make_shared<Launched>(call, std::move(lease), std::move(listener));
  int choice = 0;
  for (Plan& plan : plans) {
    if (plan.parser.thinking) prepare_thought(*shared->lease, &plan);
    auto parser = std::make_shared<OutputParser>(plan.parser);
    auto content = std::make_shared<ParsedText>();
    plan.job.owner = call.request->owner;
    // A reader that is behind by this much makes its answer wait, not the others.
    plan.job.ready = [reply = call.reply] { return reply->unsent_bytes() < (256 << 10); };
    plan.job.on_token = [shared, parser, content, choice](const generation::TokenStep& step) {
      const ParsedText text = parser->push(step.text);
      content->content += text.content;
      content->thinking += text.thinking;
      shared->listener->on_delta(choice, text, step);
    };
    plan.job.on_end = [shared, parser, content, choice](generation::Ended&& ended) {
      count(shared->service.metrics, *shared->notes, ended);
      if (ended.error) {
        shared->listener->on_error(choice, as_api_error(ended.error, 500));
        return;
      }
      ParsedText rest = parser->push(ended.tail);
      const ParsedText last = parser->finish();
      rest.content += last.content;
      rest.thinking += last.thinking;
      Outcome outcome{std::move(ended), content->content + rest.content, content->thinking + rest.thinking,
                      parser->calls()};
      shared->listener->on_end(choice, rest, std::move(outcome));
    };
    try {
      const uint64_t number = scheduler.submit(std::move(plan.job));
      std::lock_guard lock(shared->mutex);
      shared->numbers.push_back(number);
    } catch (const Error& error) {
      shared->cancel();
      if (error.code() != ErrorCode::busy) throw;
      ApiError busy(std::string(error.what()).find("key") != std::string::npos ? 429 : 503, error.what());
      const double wait = counts.seconds_per_answer * static_cast<double>(counts.waiting + 1) /
                          static_cast<double>(std::max<int64_t>(1, counts.running));
      busy.retry_after = static_cast<int>(std::clamp(std::ceil(wait), 1.0, 60.0));
      throw busy;
    }
    ++choice;
  }
  call.reply->on_gone([weak = std::weak_ptr<Launched>(shared)] {
    if (const auto all = weak.lock()) all->cancel();
  });
}

}  // namespace mynah::serve
