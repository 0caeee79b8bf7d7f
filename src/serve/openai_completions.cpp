// OpenAI's POST /v1/completions.
#include <fmt/core.h>

#include <algorithm>

#include "base/unicode.h"
#include "serve/openai.h"

namespace mynah::serve {
namespace {

struct TextForm {
  std::string model;
  bool stream = false, usage = false, echo = false;
  int scores = -1;                 // how many of the likeliest tokens are told; -1: none
  int64_t choices = 1, tries = 1;  // choices told and answers made, for each prompt
  std::vector<std::vector<int32_t>> prompts;
  std::shared_ptr<const Tokenizer> tokenizer;
};

class TextAnswer : public Listener {
 public:
  TextAnswer(ReplyPtr reply, TextForm form)
      : events_(std::move(reply)), form_(std::move(form)), id_(random_id("cmpl-", 24)), created_(unix_time()), tries_(form_.prompts.size() * static_cast<size_t>(form_.tries)) {}

  void on_delta(int choice, const ParsedText& text, const generation::TokenStep& step) override {
    Try& t = tries_[static_cast<size_t>(choice)];
    t.sum += step.score.log_probability;
    if (form_.scores >= 0) t.scores.push_back(step.score);
    if (!form_.stream || (text.content.empty() && t.scores.empty())) return;
    put(choice, text.content, nullptr);
  }

  void on_end(int choice, const ParsedText& rest, Outcome&& outcome) override {
    Try& t = tries_[static_cast<size_t>(choice)];
    if (form_.stream) put(choice, rest.content, outcome.reason());
    t.outcome = std::move(outcome);
    if (++ended_ == tries_.size()) finish();
  }

  void on_error(int, const ApiError& error) override {
    if (std::exchange(failed_, true)) return;
    if (!events_.begun()) return events_.reply()->send(error_answer(Dialect::openai, error));
    events_.data(error_json(Dialect::openai, error));
    events_.done();
  }

 private:
  struct Try {
    bool opened = false;
    int64_t offset = 0;
    double sum = 0;
    std::vector<generation::TokenScore> scores;
    Outcome outcome;
  };

  std::string piece(int32_t id) const { return form_.tokenizer->decode(std::vector<int32_t>{id}, false); }

  // The old form of log-probabilities; `first` is the token before all scores, which has none.
  Json score_json(const std::vector<generation::TokenScore>& scores, std::optional<int32_t> first, int64_t* offset) const {
    Json tokens = Json::array(), values = Json::array(), tops = Json::array(), offsets = Json::array();
    const auto add = [&](int32_t id, Json value, Json top) {
      const std::string text = piece(id);
      tokens.push_back(text);
      values.push_back(std::move(value));
      tops.push_back(std::move(top));
      offsets.push_back(*offset);
      *offset += static_cast<int64_t>(unicode::count_characters(unicode::to_valid(text)));
    };
    if (first) add(*first, nullptr, nullptr);
    for (const auto& s : scores) {
      Json top = Json::object();
      for (const auto& [id, value] : s.top) top[piece(id)] = value;
      add(s.id, s.log_probability, std::move(top));
    }
    return {{"tokens", tokens}, {"token_logprobs", values}, {"top_logprobs", tops}, {"text_offset", offsets}};
  }

  const std::vector<int32_t>& prompt_of(size_t choice) const { return form_.prompts[choice / static_cast<size_t>(form_.tries)]; }
  std::string echo_of(size_t choice) const { return form_.echo ? form_.tokenizer->decode(prompt_of(choice)) : ""; }

  Json head() const { return {{"id", id_}, {"object", "text_completion"}, {"created", created_}, {"model", form_.model}, {"system_fingerprint", "fp_mynah"}}; }

  void put(int choice, const std::string& text, const Json& reason) {
    if (failed_) return;
    Try& t = tries_[static_cast<size_t>(choice)];
    std::string shown = text;
    if (!std::exchange(t.opened, true)) shown = echo_of(static_cast<size_t>(choice)) + shown;
    Json json = head();
    const Json scores = form_.scores >= 0 ? score_json(std::exchange(t.scores, {}), std::nullopt, &t.offset) : Json();
    json["choices"] = Json::array({Json{{"text", shown}, {"index", choice}, {"logprobs", scores}, {"finish_reason", reason}}});
    if (form_.usage) json["usage"] = nullptr;
    events_.data(json);
  }

  Usage usage() const {
    Usage all;
    for (size_t p = 0; p < form_.prompts.size(); ++p) {
      Usage one;
      for (int64_t i = 0; i < form_.tries; ++i) one.add(tries_[p * static_cast<size_t>(form_.tries) + static_cast<size_t>(i)].outcome.ended.generated);
      all.prompt += one.prompt;
      all.cached += one.cached;
      all.completion += one.completion;
    }
    return all;
  }

  void finish() {
    if (failed_) return;
    if (form_.stream) {
      if (form_.usage) {
        Json json = head();
        json["choices"] = Json::array();
        json["usage"] = usage().json();
        events_.data(json);
      }
      events_.done();
      return;
    }
    Json json = head();
    json["choices"] = Json::array();
    for (size_t p = 0; p < form_.prompts.size(); ++p) {
      // The best ones by mean log-probability, if more were made than are told.
      std::vector<size_t> order;
      for (size_t i = 0; i < static_cast<size_t>(form_.tries); ++i) order.push_back(p * static_cast<size_t>(form_.tries) + i);
      const auto mean = [&](size_t i) { return tries_[i].sum / std::max<double>(1, static_cast<double>(tries_[i].outcome.ended.generated.ids.size())); };
      if (form_.tries > form_.choices) std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return mean(a) > mean(b); });
      order.resize(static_cast<size_t>(form_.choices));
      for (const size_t i : order) {
        Try& t = tries_[i];
        Json scores;
        if (form_.scores >= 0) {
          std::vector<generation::TokenScore> all;
          if (form_.echo) all = t.outcome.ended.prompt_scores;
          all.insert(all.end(), t.scores.begin(), t.scores.end());
          int64_t offset = 0;
          scores = score_json(all, form_.echo ? std::optional(prompt_of(i).front()) : std::nullopt, &offset);
        }
        json["choices"].push_back({{"text", echo_of(i) + t.outcome.content}, {"index", json["choices"].size()}, {"logprobs", scores}, {"finish_reason", t.outcome.reason()}});
      }
    }
    json["usage"] = usage().json();
    events_.reply()->send({200, "application/json", to_text(json), {}});
  }

  EventStream events_;
  TextForm form_;
  std::string id_;
  int64_t created_;
  std::vector<Try> tries_;
  size_t ended_ = 0;
  bool failed_ = false;
};

std::vector<int32_t> ids_of(const Json& list, const LoadedModel& model) {
  std::vector<int32_t> ids;
  for (const Json& id : list) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() >= model.model.tokenizer()->vocab_size()) throw ApiError(400, "\"prompt\" holds what is no token id of the model", "prompt");
    ids.push_back(id.get<int32_t>());
  }
  if (ids.empty()) throw ApiError(400, "\"prompt\" is empty", "prompt");
  return ids;
}

std::vector<std::vector<int32_t>> prompts_of(const Fields& f, const LoadedModel& model) {
  const Json* prompt = f.find("prompt");
  if (!prompt) prompt = f.find("inputs");
  if (!prompt) throw ApiError(400, "\"prompt\" is missing", "prompt");
  std::vector<std::vector<int32_t>> all;
  if (prompt->is_string()) {
    all.push_back(plain_ids(model, prompt->get<std::string>()));
  } else if (prompt->is_array() && !prompt->empty()) {
    if ((*prompt)[0].is_number()) return {ids_of(*prompt, model)};
    for (const Json& one : *prompt) {
      if (one.is_string()) all.push_back(plain_ids(model, one.get<std::string>()));
      else if (one.is_array()) all.push_back(ids_of(one, model));
      else f.wrong("prompt", "string, array of strings or array of token ids");
    }
  } else {
    f.wrong("prompt", "string, array of strings or array of token ids");
  }
  for (auto& ids : all)
    if (ids.empty()) {
      const auto start = model.model.tokenizer()->bos_id() ? model.model.tokenizer()->bos_id() : model.model.tokenizer()->eos_id();
      if (!start) throw ApiError(400, "\"prompt\" is empty", "prompt");
      ids.push_back(*start);
    }
  if (all.size() > 128) throw ApiError(400, "\"prompt\" holds more than 128 prompts", "prompt");
  return all;
}

}  // namespace

void openai_completions(Call& call) {
  const Json body = call.body();
  const Fields f(body);
  const std::string name = model_name(call, f);
  TextForm form;
  form.stream = f.boolean("stream").value_or(false);
  if (const Json* options = f.object("stream_options")) form.usage = Fields(*options, "stream_options.").boolean("include_usage").value_or(false);
  form.echo = f.boolean("echo").value_or(false);
  form.choices = f.integer("n", 1, 128).value_or(1);
  form.tries = f.integer("best_of", 1, 128).value_or(form.choices);
  if (form.tries < form.choices) throw ApiError(400, "\"best_of\" is smaller than \"n\"", "best_of");
  if (form.stream && form.tries > form.choices) throw ApiError(400, "\"best_of\" cannot be streamed", "best_of");
  if (const Json* scores = f.find("logprobs")) {
    if (scores->is_boolean()) form.scores = scores->get<bool>() ? 0 : -1;
    else form.scores = static_cast<int>(*f.integer("logprobs", 0, 20));
  }
  const auto wanted = f.integer("max_tokens", 0);
  auto lease = call.acquire(name, keep_alive_of(f));
  LoadedModel& model = *lease;
  require_generation(model, name);
  if (!f.text_or("suffix", "").empty()) throw ApiError(400, fmt::format("\"{}\" does not support insert: \"suffix\" cannot be honoured", name), "suffix");
  form.prompts = prompts_of(f, model);
  OllamaSettings settings = openai_settings(model, f);
  settings.config.format = response_format(f);
  // Text-generation clients of Hugging Face send their parameters flat.
  if (const auto sample = f.boolean("do_sample"); sample && !*sample) settings.config.do_sample = false;
  std::vector<Plan> plans;
  for (const auto& ids : form.prompts)
    for (int64_t i = 0; i < form.tries; ++i) {
      Plan plan;
      plan.job.prompt = ids;
      plan.job.config = settings.config;
      plan.job.config.max_new_tokens = openai_limit(model, settings, static_cast<int64_t>(ids.size()), wanted.value_or(16));
      plan.job.penalties = settings.penalties;
      plan.job.stream = static_cast<uint64_t>(i);
      plan.job.top_scores = form.scores >= 0 ? form.scores : form.tries > form.choices ? 0 : -1;
      plan.job.prompt_scores = form.echo && form.scores >= 0 && !form.stream;
      plans.push_back(std::move(plan));
    }
  form.model = call.path.empty() ? f.text_or("model", name) : name;
  form.tokenizer = model.model.tokenizer();
  launch(call, std::move(lease), std::move(plans), std::make_shared<TextAnswer>(call.reply, std::move(form)));
}

}  // namespace mynah::serve
