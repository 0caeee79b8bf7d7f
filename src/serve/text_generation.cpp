#include "serve/text_generation.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/unicode.h"
#include "serve/openai.h"

namespace mynah::serve {
namespace {

ApiError invalid(const std::string& what) { return ApiError(422, "Input validation error: " + what); }

struct Settings {
  GenerationConfig config;
  int64_t max_new_tokens = 1024, best_of = 1;
  std::optional<int64_t> truncate;
  bool details = false, prompt_details = false, full_text = false;
  int top = 0;
};

Settings settings_of(const Json& parameters, const LoadedModel& model, bool full_text) {
  Settings s;
  s.config = base_config(model);
  s.full_text = full_text;
  s.config.seed = random_seed();
  if (parameters.is_null()) return s;
  if (!parameters.is_object()) throw invalid("`parameters` must be an object");
  const Fields f(parameters, "parameters.");
  if (f.boolean("watermark").value_or(false))
    throw ApiError(400, "The following `model_kwargs` are not used by the model: ['watermark'] (note: typos in the generate arguments will also show up in this list)");
  f.refuse("adapter_id", "this server has no adapters");
  if (const auto n = f.integer("max_new_tokens")) {
    if (*n <= 0) throw invalid("`max_new_tokens` must be strictly positive");
    s.max_new_tokens = *n;
  } else if (const auto length = f.integer("max_length"); length && *length > 0) {
    s.max_new_tokens = *length;
  }
  bool sample = f.boolean("do_sample").value_or(false);
  if (const auto t = f.number("temperature")) {
    if (*t <= 0) throw invalid("`temperature` must be strictly positive");
    s.config.temperature = static_cast<float>(*t);
    sample |= *t != 1;
  }
  if (const auto p = f.number("top_p")) {
    if (*p <= 0 || *p > 1) throw invalid("`top_p` must be > 0.0 and < 1.0");
    s.config.top_p = static_cast<float>(*p);
    sample |= *p < 1;
  }
  if (const auto p = f.number("typical_p")) {
    if (*p <= 0 || *p > 1) throw invalid("`typical_p` must be > 0.0 and < 1.0");
    s.config.typical_p = static_cast<float>(*p);
    sample |= *p < 1;
  }
  if (const auto k = f.integer("top_k")) {
    if (*k <= 0) throw invalid("`top_k` must be strictly positive");
    s.config.top_k = *k;
    sample = true;
  }
  if (const auto r = f.number("repetition_penalty")) {
    if (*r <= 0) throw invalid("`repetition_penalty` must be strictly positive");
    s.config.repetition_penalty = static_cast<float>(*r);
  }
  if (const auto seed = f.integer("seed", 0)) s.config.seed = static_cast<uint64_t>(*seed);
  if (f.boolean("do_sample") == false && !f.has("temperature") && !f.has("top_k") && !f.has("top_p")) sample = false;
  s.config.do_sample = sample;
  for (const char* name : {"stop", "stop_sequences"})
    if (const auto stops = f.texts(name)) {
      if (stops->size() > 16) throw invalid("`stop` supports up to 16 stop sequences");
      for (const auto& stop : *stops)
        if (!stop.empty()) s.config.stop_strings.push_back(stop);
    }
  if (const auto n = f.integer("best_of", 1, 128)) s.best_of = *n;
  if (s.best_of > 1 && !sample) throw invalid("you must use sampling when `best_of` is > 1");
  s.truncate = f.integer("truncate", 1);
  s.details = f.boolean("details").value_or(false);
  s.prompt_details = f.boolean("decoder_input_details").value_or(false);
  s.full_text = f.boolean("return_full_text").value_or(full_text);
  s.top = static_cast<int>(f.integer("top_n_tokens", 0, 20).value_or(0));
  if (const auto frequency = f.number("frequency_penalty", -2, 2); frequency && *frequency != 0) f.refuse("frequency_penalty", "use repetition_penalty");
  if (const Json* grammar = f.object("grammar")) {
    const Fields g(*grammar, "parameters.grammar.");
    const std::string type = g.text_or("type", "");
    const Json* value = g.find("value");
    if (!value) throw invalid("`grammar.value` is missing");
    if (type == "regex" && value->is_string()) {
      s.config.regex = value->get<std::string>();
    } else if (type == "json" || type == "json_schema") {
      const Json schema = value->is_string() ? parse_json(value->get<std::string>(), "grammar") : *value;
      s.config.format = json_format(type == "json_schema" && schema.contains("schema") ? schema["schema"] : schema);
    } else {
      throw invalid("`grammar.type` must be json, json_schema or regex");
    }
  }
  return s;
}

const char* finish_word(const generation::Ended& e) {
  return e.generated.reason == FinishReason::length ? "length" : e.stop.empty() ? "eos_token" : "stop_sequence";
}

// One or several answers of text generation.
class TextGenerationAnswer : public Listener {
 public:
  TextGenerationAnswer(ReplyPtr reply, Dialect dialect, TextGenerationForm form, Settings settings, std::vector<std::string> inputs, std::vector<std::vector<int32_t>> prompts,
                       std::shared_ptr<const Tokenizer> tokenizer)
      : events_(std::move(reply)), dialect_(dialect), form_(std::move(form)), settings_(std::move(settings)), inputs_(std::move(inputs)), prompts_(std::move(prompts)),
        tokenizer_(std::move(tokenizer)), tries_(prompts_.size() * static_cast<size_t>(settings_.best_of)), start_(std::chrono::steady_clock::now()) {}

  void on_delta(int choice, const ParsedText&, const generation::TokenStep& step) override {
    Try& t = tries_[static_cast<size_t>(choice)];
    t.sum += step.score.log_probability;
    const Json token = token_json(step.score, step.special, step.special ? tokenizer_->token_text(step.score.id) : step.decoded);
    if (form_.stream) {
      // One event is held back: the last one carries the whole text.
      flush();
      Json event = {{"index", ++count_}, {"token", token}};
      if (settings_.top > 0) event["top_tokens"] = top_json(step.score);
      event["generated_text"] = nullptr;
      event["details"] = nullptr;
      held_ = std::move(event);
      if (count_ == 1) flush();  // the first token goes out at once
    } else if (settings_.details) {
      t.tokens.push_back(token);
      if (settings_.top > 0) t.tops.push_back(top_json(step.score));
    }
  }

  void on_end(int choice, const ParsedText&, Outcome&& outcome) override {
    Try& t = tries_[static_cast<size_t>(choice)];
    t.outcome = std::move(outcome);
    if (form_.stream) {
      const generation::Ended& e = t.outcome.ended;
      if (held_.is_null()) held_ = {{"index", ++count_}, {"token", {{"id", 0}, {"text", ""}, {"logprob", 0.0}, {"special", true}}}};
      held_["generated_text"] = text_of(0, t);
      held_["details"] = {{"finish_reason", finish_word(e)}, {"generated_tokens", e.generated.ids.size()}, {"input_length", e.generated.prompt_tokens}, {"seed", seed()}};
      flush();
      events_.end();
      return;
    }
    if (++ended_ == tries_.size()) finish();
  }

  void on_error(int, const ApiError& error) override {
    if (std::exchange(failed_, true)) return;
    ApiError shown = error;
    if (shown.status == 500) shown.status = 424;
    if (!events_.begun()) return events_.reply()->send(error_answer(dialect_, shown));
    events_.data(error_json(Dialect::tgi, shown));
    events_.end();
  }

 private:
  struct Try {
    double sum = 0;
    Json tokens = Json::array(), tops = Json::array();
    Outcome outcome;
  };

  Json token_json(const generation::TokenScore& score, bool special, const std::string& text) const {
    return {{"id", score.id}, {"text", text}, {"logprob", score.log_probability}, {"special", special}};
  }
  Json top_json(const generation::TokenScore& score) const {
    Json all = Json::array();
    for (const auto& [id, value] : score.top) all.push_back({{"id", id}, {"text", tokenizer_->decode(std::vector<int32_t>{id}, false)}, {"logprob", value}, {"special", tokenizer_->is_special(id)}});
    return all;
  }
  void flush() {
    if (held_.is_null()) return;
    events_.data(std::exchange(held_, Json()));
  }
  Json seed() const { return settings_.config.do_sample ? Json(settings_.config.seed) : Json(); }
  std::string text_of(size_t prompt, const Try& t) const { return (settings_.full_text ? inputs_[prompt] : "") + t.outcome.ended.generated.text; }

  Json details_json(size_t prompt, const Try& t) const {
    const generation::Ended& e = t.outcome.ended;
    Json prefill = Json::array();
    if (settings_.prompt_details) {
      const int32_t first = prompts_[prompt].front();
      prefill.push_back({{"id", first}, {"text", tokenizer_->decode(std::vector<int32_t>{first}, false)}, {"logprob", nullptr}});
      for (const auto& s : e.prompt_scores) prefill.push_back({{"id", s.id}, {"text", tokenizer_->decode(std::vector<int32_t>{s.id}, false)}, {"logprob", s.log_probability}});
    }
    Json json = {{"finish_reason", finish_word(e)}, {"generated_tokens", e.generated.ids.size()}, {"seed", seed()}, {"prefill", prefill}, {"tokens", t.tokens}};
    if (settings_.top > 0) json["top_tokens"] = t.tops;
    return json;
  }

  void finish() {
    if (failed_) return;
    Json all = Json::array();
    int64_t prompt_tokens = 0, tokens = 0;
    for (size_t p = 0; p < prompts_.size(); ++p) {
      const size_t n = static_cast<size_t>(settings_.best_of);
      size_t best = p * n;
      const auto mean = [&](size_t i) { return tries_[i].sum / std::max<double>(1, static_cast<double>(tries_[i].outcome.ended.generated.ids.size())); };
      for (size_t i = p * n; i < (p + 1) * n; ++i)
        if (mean(i) > mean(best)) best = i;
      Json one = {{"generated_text", text_of(p, tries_[best])}};
      if (settings_.details) {
        one["details"] = details_json(p, tries_[best]);
        if (n > 1) {
          Json others = Json::array();
          for (size_t i = p * n; i < (p + 1) * n; ++i) {
            if (i == best) continue;
            Json other = {{"generated_text", text_of(p, tries_[i])}};
            other.update(details_json(p, tries_[i]));
            others.push_back(std::move(other));
          }
          one["details"]["best_of_sequences"] = std::move(others);
        }
      }
      const Generated& g = tries_[best].outcome.ended.generated;
      prompt_tokens += g.prompt_tokens;
      tokens += static_cast<int64_t>(g.ids.size());
      if (form_.shape == TextShape::list_of_lists) all.push_back(Json::array({one}));
      else all.push_back(std::move(one));
    }
    const generation::Ended& e = tries_[0].outcome.ended;
    size_t characters = 0;
    for (const std::string& input : inputs_) characters += unicode::count_characters(input);
    const auto ms = [](double seconds) { return std::to_string(static_cast<int64_t>(seconds * 1000)); };
    const double total = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    Headers headers = {{"x-compute-type", "cpu"}, {"x-compute-time", fmt::format("{:.3f}", total)}, {"x-compute-characters", std::to_string(characters)}, {"x-prompt-tokens", std::to_string(prompt_tokens)}, {"x-generated-tokens", std::to_string(tokens)},
                       {"x-total-time", ms(total)}, {"x-validation-time", ms(std::max(0.0, total - e.queue_seconds - e.generated.prompt_seconds - e.generated.decode_seconds))}, {"x-queue-time", ms(e.queue_seconds)}, {"x-inference-time", ms(e.generated.prompt_seconds + e.generated.decode_seconds)},
                       {"x-time-per-token", ms(e.generated.decode_seconds / std::max<double>(1, static_cast<double>(e.generated.ids.size())))}};
    events_.reply()->send({200, "application/json", to_text(form_.shape == TextShape::object ? all[0] : all), std::move(headers)});
  }

  EventStream events_;
  Dialect dialect_;
  TextGenerationForm form_;
  Settings settings_;
  std::vector<std::string> inputs_;
  std::vector<std::vector<int32_t>> prompts_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::vector<Try> tries_;
  std::chrono::steady_clock::time_point start_;
  Json held_;
  int64_t count_ = 0;
  size_t ended_ = 0;
  bool failed_ = false;
};

// The pieces of a text by its tokens; joined they are the text.
Json pieces_of(const LoadedModel& model, const std::string& given, bool special, bool with_special_flag) {
  const std::string text = unicode::to_valid(given);
  const Encoding e = model.model.tokenizer()->encode(text, special);
  std::vector<size_t> at = {0};  // byte of each character
  for (size_t i = 0; i < text.size();) {
    uint32_t size = 1;
    unicode::decode_valid(text.data() + i, size);
    at.push_back(i += size);
  }
  const auto last = static_cast<int64_t>(at.size()) - 1;
  size_t with_text = e.ids.size();
  for (size_t i = 0; i < e.ids.size(); ++i)
    if (e.offsets[i].second > e.offsets[i].first) with_text = i;
  Json all = Json::array();
  int64_t done = 0;
  for (size_t i = 0; i < e.ids.size(); ++i) {
    const auto [begin, end] = e.offsets[i];
    std::string piece;
    if (end > begin || i == with_text) {
      const int64_t to = i == with_text ? last : std::max(done, std::min(end, last));
      piece = text.substr(at[static_cast<size_t>(done)], at[static_cast<size_t>(to)] - at[static_cast<size_t>(done)]);
      done = to;
    }
    Json one = {{"id", e.ids[i]}, {"text", piece}, {"start", begin}, {"stop", end}};
    if (with_special_flag) {
      const bool is_special = model.model.tokenizer()->is_special(e.ids[i]);
      if (is_special && piece.empty()) one["text"] = e.tokens[i];
      one["special"] = is_special;
    }
    all.push_back(std::move(one));
  }
  return all;
}

}  // namespace

void generate_text(Call& call, Models::Lease lease, const std::vector<std::string>& inputs, const Json& parameters, TextGenerationForm form) {
  LoadedModel& model = *lease;
  require_generation(model, form.model);
  Settings settings = settings_of(parameters, model, form.full_text && !model.model.bundle().network->seq2seq_lm());
  if (inputs.empty()) throw invalid("`inputs` cannot be empty");
  std::vector<std::vector<int32_t>> prompts;
  std::vector<Plan> plans;
  for (const std::string& text : inputs) {
    if (text.empty()) throw invalid("`inputs` cannot be empty");
    std::vector<int32_t> ids = plain_ids(model, text);
    if (settings.truncate && static_cast<int64_t>(ids.size()) > *settings.truncate) ids.erase(ids.begin(), ids.end() - *settings.truncate);
    const int64_t most = model.model.bundle().network->seq2seq_lm() ? 0 : model.model.context_length();
    if (most > 0 && static_cast<int64_t>(ids.size()) >= most) throw invalid(fmt::format("`inputs` must have less than {} tokens. Given: {}", most, ids.size()));
    for (int64_t i = 0; i < settings.best_of; ++i) {
      Plan plan;
      plan.job.prompt = ids;
      plan.job.config = settings.config;
      plan.job.config.max_new_tokens = limit_tokens(model, static_cast<int64_t>(ids.size()), 0, settings.max_new_tokens);
      plan.job.stream = static_cast<uint64_t>(i);
      plan.job.top_scores = form.stream || settings.details || settings.best_of > 1 || settings.top > 0 ? settings.top : -1;
      plan.job.prompt_scores = settings.prompt_details && !form.stream;
      plans.push_back(std::move(plan));
    }
    prompts.push_back(std::move(ids));
  }
  if (form.stream && plans.size() > 1) throw invalid("`best_of` and several `inputs` cannot be streamed");
  auto listener = std::make_shared<TextGenerationAnswer>(call.reply, call.dialect, form, std::move(settings), inputs, std::move(prompts), model.model.tokenizer());
  launch(call, std::move(lease), std::move(plans), listener);
}

void tgi_generate(Call& call, const std::string& name, bool stream) {
  const Json body = call.body();
  const Fields f(body);
  const auto input = f.text("inputs");
  if (!input) throw invalid("`inputs` is missing");
  const Json* parameters = f.object("parameters");
  generate_text(call, call.acquire(name), {*input}, parameters ? *parameters : Json(), {name, stream || f.boolean("stream").value_or(false), false, TextShape::object, false});
}

void tgi_tokenize(Call& call, const std::string& name) {
  const Json body = call.body();
  const Fields f(body);
  auto lease = call.acquire(name);
  if (!lease->model.tokenizer()) throw ApiError(400, "the model comes without a tokenizer");
  const bool special = f.boolean("add_special_tokens").value_or(true);
  const auto inputs = f.texts("inputs");
  if (!inputs) throw invalid("`inputs` is missing");
  // Servers of embeddings answer a list for each text, those of generation one list.
  if (!lease->scheduler || body["inputs"].is_array()) {
    Json all = Json::array();
    for (const auto& text : *inputs) all.push_back(pieces_of(*lease, text, special, true));
    return call.send_json(all);
  }
  call.send_json(pieces_of(*lease, inputs->front(), special, false));
}

void tgi_chat_tokenize(Call& call, const std::string& name) {
  const Json body = call.body();
  const Fields f(body);
  const Json* list = f.array("messages");
  if (!list || list->empty()) throw invalid("`messages` is missing");
  auto lease = call.acquire(name);
  const std::string text = chat_text(*lease, openai_messages(*list, name), nullptr);
  call.send_json({{"tokenize_response", pieces_of(*lease, text, false, false)}, {"templated_text", text}});
}

void tgi_info(Call& call, const std::string& name) {
  const KnownModel known = call.service.models.find(name);
  const Description d = describe(known.path);
  const int64_t context = d.context_length > 0 ? d.context_length : 4096;
  const auto& scheduler = call.service.models.options().scheduler;
  call.send_json({{"model_id", known.name}, {"model_sha", known.stored ? known.stored->revision : ""}, {"model_pipeline_tag", d.generates ? "text-generation" : d.embeds ? "feature-extraction" : ""},
                  {"model_dtype", d.quantisation}, {"model_device_type", "cpu"}, {"max_concurrent_requests", scheduler.slots + scheduler.queue}, {"max_best_of", 128}, {"max_stop_sequences", 16},
                  {"max_input_tokens", context - 1}, {"max_input_length", context - 1}, {"max_total_tokens", context}, {"validation_workers", 1}, {"max_client_batch_size", 128}, {"router", "mynah"},
                  {"version", call.service.version}, {"sha", nullptr}, {"docker_label", nullptr}});
}

}  // namespace mynah::serve
