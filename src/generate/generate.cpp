// The decoding loop: prompts are computed in pieces, then all unfinished sequences advance one token a step together. Every
// sequence's numbers depend on its own tokens only, so company changes nothing.
#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/require.h"
#include "bundle/bundle.h"
#include "generate/scores.h"
#include "generate/stop_filter.h"
#include "mynah/autograd.h"

namespace mynah {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kPromptPiece = 512;  // prompt tokens computed together: bounds the memory of activations

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// One sequence being decoded.
struct Running {
  std::vector<int32_t> tokens;  // prompt and answer
  int64_t prompt_length = 0, max_length = 0;
  nn::Cache* cache = nullptr;
  uint64_t stream = 0;
  bool finished = false;
  FinishReason reason = FinishReason::length;
};

int64_t length_limit(const GenerationConfig& c, int64_t prompt, int64_t context) {
  int64_t limit = prompt + 20;
  if (c.max_new_tokens) limit = prompt + *c.max_new_tokens;
  else if (c.max_length) limit = *c.max_length;
  require(prompt > 0, "generation: the prompt is empty");
  require(context <= 0 || prompt < context, "generation: the prompt has {} tokens, the model's context holds {}; shorten the prompt", prompt, context);
  require(limit > prompt, "generation: max_length is {}, the prompt has {} tokens already", limit, prompt);
  return context > 0 ? std::min(limit, context) : limit;
}

// Computes tokens [from, to) of one sequence into its cache; returns the logits after the last [1, V].
Tensor prefill(const nn::CausalLM& lm, const Running& r, int64_t from) {
  Tensor hidden;
  for (int64_t end; from < r.prompt_length; from = end) {
    end = std::min(from + kPromptPiece, r.prompt_length);
    nn::TokenBatch batch;
    batch.ids.assign(r.tokens.begin() + from, r.tokens.begin() + end);
    batch.positions.resize(batch.ids.size());
    std::iota(batch.positions.begin(), batch.positions.end(), static_cast<int32_t>(from));
    batch.lengths = {end - from};
    batch.caches = {r.cache};
    hidden = lm.body(batch, nullptr);
  }
  return lm.head(narrow(hidden, 0, hidden.size(0) - 1, 1));
}

// Chooses the next token of `r` from its logits and notes whether that ends it.
void advance(const GenerationConfig& c, Running& r, std::span<float> scores) {
  const int32_t next = generation::choose(c, {r.tokens, r.prompt_length, r.max_length}, scores, r.stream);
  r.tokens.push_back(next);
  if (std::find(c.eos_token_id.begin(), c.eos_token_id.end(), next) != c.eos_token_id.end()) {
    r.finished = true;
    r.reason = FinishReason::stop;
  } else if (static_cast<int64_t>(r.tokens.size()) >= r.max_length) {
    r.finished = true;
  }
}

// One step for every unfinished sequence; `batch` is reused so that a step allocates nothing.
void step(const nn::CausalLM& lm, const GenerationConfig& c, std::span<Running* const> active, nn::TokenBatch& batch) {
  batch.ids.clear();
  batch.positions.clear();
  batch.lengths.clear();
  batch.caches.clear();
  for (const Running* r : active) {
    batch.ids.push_back(r->tokens.back());
    batch.positions.push_back(static_cast<int32_t>(r->tokens.size()) - 1);
    batch.lengths.push_back(1);
    batch.caches.push_back(r->cache);
  }
  Tensor logits = lm.head(lm.body(batch, nullptr));
  const int64_t v = logits.size(1);
  for (size_t i = 0; i < active.size(); ++i)
    advance(c, *active[i], {logits.data<float>() + static_cast<int64_t>(i) * v, static_cast<size_t>(v)});
}

// Turns the ids of one sequence into text as they come; says when to end.
class TextOut {
 public:
  TextOut(std::shared_ptr<const Tokenizer> tokenizer, const std::vector<std::string>& stops, const TextCallback& on_text)
      : filter_(stops), on_text_(on_text) {
    if (tokenizer) decoder_.emplace(std::move(tokenizer), true);
  }
  void push(int32_t id) {
    if (decoder_) emit(filter_.push(decoder_->push(id)));
  }
  void finish() {
    if (!decoder_ || filter_.stopped()) return;
    emit(filter_.push(decoder_->flush()));
    if (!filter_.stopped()) emit(filter_.flush());
  }
  bool stopped() const { return filter_.stopped(); }
  bool cancelled() const { return cancelled_; }
  const std::string& text() const { return text_; }

 private:
  void emit(const std::string& piece) {
    if (piece.empty() || cancelled_) return;
    text_ += piece;
    if (on_text_ && !on_text_(piece)) cancelled_ = true;
  }
  std::optional<StreamDecoder> decoder_;
  generation::StopFilter filter_;
  const TextCallback& on_text_;
  std::string text_;
  bool cancelled_ = false;
};

Generated result_of(const Running& r, const TextOut& out) {
  Generated g;
  g.ids.assign(r.tokens.begin() + r.prompt_length, r.tokens.end());
  g.text = out.text();
  g.reason = out.cancelled() ? FinishReason::cancelled : out.stopped() ? FinishReason::stop : r.reason;
  g.prompt_tokens = r.prompt_length;
  return g;
}

}  // namespace

struct Session::State {
  explicit State(Model m) : model(std::move(m)), cache(model.bundle().causal_lm().cache_shape()) {}
  Model model;
  nn::Cache cache;
  std::vector<int32_t> cached;  // the tokens whose keys and values the cache holds
};

Session::Session(Model model) : state_(std::make_unique<State>(std::move(model))) {}
Session::~Session() = default;
Session::Session(Session&&) noexcept = default;

Generated Session::generate(std::span<const int32_t> prompt, const GenerationConfig& config, const TextCallback& on_text) {
  NoGrad no_grad;
  State& s = *state_;
  const nn::CausalLM& lm = s.model.bundle().causal_lm();
  const auto start = Clock::now();
  Running r;
  r.tokens.assign(prompt.begin(), prompt.end());
  r.prompt_length = static_cast<int64_t>(prompt.size());
  r.max_length = length_limit(config, r.prompt_length, lm.max_positions());
  r.cache = &s.cache;
  // The last prompt token is always computed: its logits are needed.
  int64_t reused = 0;
  while (!lm.sees_ahead() && reused + 1 < r.prompt_length && reused < static_cast<int64_t>(s.cached.size()) && s.cached[static_cast<size_t>(reused)] == r.tokens[static_cast<size_t>(reused)])
    ++reused;
  s.cache.truncate(reused);
  s.cached.resize(static_cast<size_t>(reused));
  TextOut out(s.model.bundle().tokenizer, config.stop_strings, on_text);
  Tensor logits = prefill(lm, r, reused);
  advance(config, r, {logits.data<float>(), static_cast<size_t>(logits.size(1))});
  const double prompt_seconds = seconds_since(start);
  const auto decoding = Clock::now();
  nn::TokenBatch batch;
  Running* const active[] = {&r};
  for (;;) {
    out.push(r.tokens.back());
    if (r.finished || out.stopped() || out.cancelled()) break;
    step(lm, config, active, batch);
  }
  out.finish();
  s.cached.assign(r.tokens.begin(), r.tokens.begin() + s.cache.length());
  Generated g = result_of(r, out);
  g.reused_tokens = reused;
  g.prompt_seconds = prompt_seconds;
  g.decode_seconds = seconds_since(decoding);
  return g;
}

Generated generate(const Model& model, const std::string& prompt, const GenerationConfig& config, const TextCallback& on_text) {
  const auto tokenizer = model.tokenizer();
  require(tokenizer != nullptr, "generation: the model comes without a tokenizer; give token ids");
  return Session(model).generate(tokenizer->encode_ids(prompt), config, on_text);
}

std::vector<Generated> generate(const Model& model, const std::vector<std::vector<int32_t>>& prompts, const GenerationConfig& config) {
  NoGrad no_grad;
  const nn::CausalLM& lm = model.bundle().causal_lm();
  require(config.num_return_sequences == 1 || config.do_sample, "generation: num_return_sequences is {}, more than 1 needs do_sample", config.num_return_sequences);
  std::vector<std::unique_ptr<nn::Cache>> caches;
  std::vector<Running> all;
  const TextCallback nobody;
  std::vector<TextOut> outs;
  for (const auto& prompt : prompts)
    for (int64_t copy = 0; copy < config.num_return_sequences; ++copy) {
      Running r;
      r.tokens = prompt;
      r.prompt_length = static_cast<int64_t>(prompt.size());
      r.max_length = length_limit(config, r.prompt_length, lm.max_positions());
      caches.push_back(std::make_unique<nn::Cache>(lm.cache_shape()));
      r.cache = caches.back().get();
      r.stream = all.size();
      Tensor logits = prefill(lm, r, 0);
      advance(config, r, {logits.data<float>(), static_cast<size_t>(logits.size(1))});
      all.push_back(std::move(r));
      outs.emplace_back(model.tokenizer(), config.stop_strings, nobody);
    }
  nn::TokenBatch batch;
  std::vector<Running*> active;
  for (;;) {
    active.clear();
    for (size_t i = 0; i < all.size(); ++i) {
      Running& r = all[i];
      if (r.finished) continue;
      if (!config.stop_strings.empty()) {
        outs[i].push(r.tokens.back());
        r.finished = outs[i].stopped();
        if (r.finished) r.reason = FinishReason::stop;
      }
      if (!r.finished) active.push_back(&r);
    }
    if (active.empty()) break;
    step(lm, config, active, batch);
  }
  std::vector<Generated> results;
  for (size_t i = 0; i < all.size(); ++i) {
    TextOut out(model.tokenizer(), config.stop_strings, nobody);
    for (size_t t = static_cast<size_t>(all[i].prompt_length); t < all[i].tokens.size(); ++t) out.push(all[i].tokens[t]);
    out.finish();
    results.push_back(result_of(all[i], out));
  }
  return results;
}

std::vector<int32_t> chat_prompt(const Model& model, const std::vector<ChatMessage>& messages) {
  const bundle::Bundle& b = model.bundle();
  require(b.tokenizer != nullptr, "chat: the model comes without a tokenizer");
  if (!b.chat_template) {
    std::string text;
    for (const ChatMessage& m : messages) text += (text.empty() ? "" : "\n") + m.content;
    return b.tokenizer->encode_ids(text);
  }
  Json list = Json::array();
  for (const ChatMessage& m : messages) list.push_back({{"role", m.role}, {"content", m.content}});
  return b.tokenizer->encode_ids(bundle::render_chat(b, list, {}, true), false, true);
}

}  // namespace mynah
