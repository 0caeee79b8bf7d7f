// Text generation: a session, prompts together, and rows as transformers' generate() takes and returns them.
#include "mynah/generate.h"

#include <algorithm>
#include <chrono>

#include "base/require.h"
#include "bundle/bundle.h"
#include "generate/config.h"
#include "generate/media_prompt.h"
#include "generate/prompt.h"
#include "generate/speculation.h"
#include "generate/text_out.h"
#include "mynah/autograd.h"
#include "mynah/json.h"

namespace mynah {
namespace {

using generation::Logits;
using generation::Prompt;
using generation::Run;
using generation::Running;
using generation::TextOut;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

Prompt prompt_of(std::span<const int32_t> ids, const GenerationConfig& config, const nn::CausalLM& lm) {
  require(!ids.empty(), "generation: the prompt is empty");
  Prompt p;
  if (const nn::Seq2SeqLM* encoder = lm.seq2seq_lm()) {
    p = generation::encoded_prompt(*encoder, ids, std::vector<int32_t>(ids.size(), 1), {generation::decoder_start(*encoder, config)});
  } else {
    p.tokens.assign(ids.begin(), ids.end());
    p.seen = p.tokens;
    p.negative = {ids.back()};
  }
  p.max_length = generation::length_limit(config, static_cast<int64_t>(p.tokens.size()), lm.max_positions());
  return p;
}

Generated result_of(const Running& s, const TextOut& out) {
  Generated g;
  g.ids.assign(s.tokens.begin() + s.prompt_length(), s.tokens.end());
  g.text = out.text();
  g.reason = out.cancelled() ? FinishReason::cancelled : out.stopped() ? FinishReason::stop : s.reason;
  g.prompt_tokens = static_cast<int64_t>(s.progress().encoded.size());
  return g;
}

}  // namespace

struct Session::State {
  State(Model m, nn::Cache c) : model(std::move(m)), cache(std::move(c)) {}
  Model model;
  nn::Cache cache;
  std::vector<int32_t> cached;  // keys of the tokens whose keys and values the cache holds (PromptMedia::keys)

  Generated answer(const Prompt& prompt, const GenerationConfig& config, const TextCallback& on_text);
};

Session::Session(Model model) {
  nn::Cache cache = model.bundle().causal_lm().new_cache();
  state_ = std::make_unique<State>(std::move(model), std::move(cache));
}
Session::~Session() = default;
Session::Session(Session&&) noexcept = default;

Generated Session::generate(std::span<const int32_t> ids, const GenerationConfig& config, const TextCallback& on_text) {
  NoGrad no_grad;
  generation::check(config);
  return state_->answer(prompt_of(ids, config, state_->model.bundle().causal_lm()), config, on_text);
}

Generated Session::generate(const GenerateInputs& inputs, const GenerationConfig& config, const TextCallback& on_text) {
  NoGrad no_grad;
  generation::check(config);
  const nn::CausalLM& lm = state_->model.bundle().causal_lm();
  if (inputs.media.empty()) return generate(inputs.input_ids.at(0), config, on_text);
  return state_->answer(generation::media_prompt(lm, inputs, config), config, on_text);
}

// Counts the time from its own start; the prompt's media have been read before.
Generated Session::State::answer(const Prompt& prompt, const GenerationConfig& config, const TextCallback& on_text) {
  State& s = *this;
  const auto& tokenizer = s.model.bundle().tokenizer;
  const nn::CausalLM& lm = s.model.bundle().causal_lm();
  const auto start = Clock::now();
  const std::vector<int32_t>& keys = prompt.media ? prompt.media->keys : prompt.seen;
  // The text is watched for stop strings as it is shown, so that nothing of one is.
  GenerationConfig settings = config;
  settings.stop_strings.clear();
  Run run(lm, settings, tokenizer);
  // The last prompt token is always computed: its logits are needed.
  const bool shares = !prompt.source && lm.may_share(static_cast<int64_t>(s.cached.size()), static_cast<int64_t>(keys.size()));
  const size_t known = !shares ? 0 : std::min(s.cached.size(), keys.size() - 1);
  const int64_t reused = s.cache.reach(std::mismatch(s.cached.begin(), s.cached.begin() + static_cast<long>(known), keys.begin()).first - s.cached.begin());
  s.cached.resize(static_cast<size_t>(reused));
  s.cache.truncate(reused);
  Running sequence(run, prompt);
  sequence.memory.cache = s.cache.prefix(reused);
  sequence.pending.erase(sequence.pending.begin(), sequence.pending.begin() + reused);
  TextOut out(tokenizer, config.stop_strings, on_text);
  Running* const active[] = {&sequence};
  double prompt_seconds = 0;
  auto decoding = start;
  run.on_token = [&](Running& r) {
    if (r.generated() == 1) prompt_seconds = seconds_since(start), decoding = Clock::now();
    out.push(r.tokens.back());
    r.finished = r.finished || out.stopped() || out.cancelled();
  };
  const auto proposer = generation::make_proposer(settings, lm);
  while (!sequence.finished) {
    if (proposer) {
      speculate(run, *proposer, active);
      continue;
    }
    Logits logits = compute(run, active);
    extend(run, sequence, logits.row(0), logits.negative_row(0));
  }
  out.finish();
  s.cache = std::move(sequence.memory.cache);
  s.cached = keys;
  s.cached.insert(s.cached.end(), sequence.tokens.begin() + sequence.prompt_length(), sequence.tokens.end());
  s.cached.resize(static_cast<size_t>(s.cache.length()));
  Generated g = result_of(sequence, out);
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
  generation::check(config);
  const nn::CausalLM& lm = model.bundle().causal_lm();
  std::vector<Prompt> rows;
  for (const auto& ids : prompts) rows.push_back(prompt_of(ids, config, lm));
  Run run(lm, config, model.tokenizer());
  std::vector<Generated> results;
  for (const Running& s : generation::sample(run, rows)) {
    const TextCallback nobody;
    TextOut out(model.tokenizer(), config.stop_strings, nobody);
    for (int64_t t = s.prompt_length(); t < static_cast<int64_t>(s.tokens.size()); ++t) out.push(s.tokens[static_cast<size_t>(t)]);
    out.finish();
    results.push_back(result_of(s, out));
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
