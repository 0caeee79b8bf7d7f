#include "generate/scheduler.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <list>
#include <map>
#include <mutex>
#include <numeric>
#include <thread>

#include "base/require.h"
#include "bundle/bundle.h"
#include "generate/constraint.h"
#include "generate/media_prompt.h"
#include "generate/scores.h"
#include "generate/stop_filter.h"
#include "mynah/autograd.h"
#include "mynah/json.h"
#include "mynah/ops.h"
#include "nn/seq2seq_lm.h"

namespace mynah::generation {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point a, Clock::time_point b) { return std::chrono::duration<double>(b - a).count(); }

constexpr int64_t kLeastPiece = 32, kMostPiece = 512;  // prompt tokens of one step
constexpr double kStepSeconds = 0.06;                  // what prompts may add to a step: a cancelled answer ends within it
constexpr double kSharedStepSeconds = 0.04;            // the same where answers under way wait for their next token meanwhile
constexpr int64_t kLeastReuse = 8;                     // a shorter common beginning is not worth a copy

int64_t common_prefix(std::span<const int32_t> a, std::span<const int32_t> b) {
  return std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin();
}

// Log-probability of `id` and the likeliest tokens of a row of logits.
TokenScore score_of(std::span<const float> logits, int32_t id, int top) {
  const float best = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float v : logits) sum += std::exp(static_cast<double>(v - best));
  const double offset = best + std::log(sum);
  TokenScore out{id, static_cast<float>(logits[static_cast<size_t>(id)] - offset), {}};
  if (top <= 0) return out;
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto end = order.begin() + std::min<long>(top, static_cast<long>(order.size()));
  std::partial_sort(order.begin(), end, order.end(), [&](int32_t a, int32_t b) {
    const float x = logits[static_cast<size_t>(a)], y = logits[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  });
  for (auto it = order.begin(); it != end; ++it)
    out.top.emplace_back(*it, static_cast<float>(logits[static_cast<size_t>(*it)] - offset));
  return out;
}

void penalise(const Penalties& p, std::span<const int32_t> tokens, int64_t prompt_length, std::span<float> scores) {
  if (p.answer_only) tokens = tokens.subspan(static_cast<size_t>(std::min<int64_t>(prompt_length, static_cast<int64_t>(tokens.size()))));
  if (p.last_n >= 0 && static_cast<int64_t>(tokens.size()) > p.last_n) tokens = tokens.last(static_cast<size_t>(p.last_n));
  std::map<int32_t, int> counts;
  for (const int32_t id : tokens) ++counts[id];
  for (const auto& [id, count] : counts) {
    if (id < 0 || id >= static_cast<int64_t>(scores.size())) continue;
    float& s = scores[static_cast<size_t>(id)];
    s = s > 0 ? s / p.repeat : s * p.repeat;
    s -= p.presence + p.frequency * static_cast<float>(count);
  }
}

struct Sequence {
  uint64_t number = 0;
  Job job;
  std::vector<int32_t> tokens;  // the decoder's: prompt and answer
  int64_t prompt_length = 0, max_length = 0;
  int64_t computed = 0;  // tokens whose keys and values the cache holds
  int64_t reused = 0;
  std::unique_ptr<nn::Cache> cache;
  std::shared_ptr<const nn::Cache> memory;     // what the next tokens attend to beside the cache; null: nothing
  std::shared_ptr<const PromptMedia> media;    // null: there are tokens only
  std::vector<int32_t> own_keys;               // with media: PromptMedia::keys and the answer's tokens
  std::optional<StreamDecoder> decoder;
  std::optional<StopFilter> filter;
  std::optional<Scorer> scorer;
  std::shared_ptr<Constraint> constraint;  // null without one
  Constraint::State state = 0;             // where the answer is in it
  std::string text;
  std::vector<TokenScore> prompt_scores;
  bool started = false;
  Clock::time_point submitted, admitted, first_token;

  bool decoding() const { return generated() > 0 && computed + 1 == static_cast<int64_t>(tokens.size()); }
  // What stands for its tokens where beginnings are compared.
  const std::vector<int32_t>& keys() const { return media ? own_keys : tokens; }
  int64_t generated() const { return static_cast<int64_t>(tokens.size()) - prompt_length; }
};

// What an ended answer leaves behind for prompts that begin like it.
struct Kept {
  std::string owner;
  std::vector<int32_t> tokens;  // Sequence::keys
  nn::Cache cache;
};

}  // namespace

struct Scheduler::State {
  State(Model m, const SchedulerOptions& o) : model(std::move(m)), options(o), lm(model.bundle().causal_lm()), seq2seq(lm.seq2seq_lm()) {}

  Model model;
  SchedulerOptions options;
  const nn::CausalLM& lm;
  const nn::Seq2SeqLM* seq2seq;

  mutable std::mutex mutex;
  std::condition_variable wake;
  bool stop = false;
  uint64_t last_number = 0;
  std::map<std::string, std::deque<std::unique_ptr<Sequence>>> waiting;  // by owner
  std::string last_owner;                                               // whose turn it was
  int64_t waiting_count = 0;
  std::vector<uint64_t> cancels;
  Counts totals;

  // The thread's own.
  std::vector<std::unique_ptr<Sequence>> running;
  std::list<Kept> kept;  // the latest first
  size_t kept_bytes = 0;  // theirs together: they are many, and every step reports them
  double prompt_rate = 0;  // tokens per second, a running mean
  nn::TokenBatch batch;
  std::vector<Tensor> media_rows;                       // for batch.media
  std::shared_ptr<const nn::Cache> nothing;             // what a sequence attends to that has no memory among those that do
  std::thread thread;

  void run();
  bool take_requests(std::unique_lock<std::mutex>& lock);
  void start(Sequence& s);
  void read_media(Sequence& s);
  void reuse(Sequence& s);
  bool waits_for_another(const Sequence& s) const;
  bool step();
  void choose_next(Sequence& s, std::span<float> logits);
  void finish(Sequence& s, FinishReason reason, std::exception_ptr error);
  void keep(Sequence& s);
  void trim_kept(size_t limit);
  void fail_all(const std::exception_ptr& error);
};

Scheduler::Scheduler(Model model, const SchedulerOptions& options) : state_(std::make_unique<State>(std::move(model), options)) {
  state_->thread = std::thread([s = state_.get()] { s->run(); });
}

Scheduler::~Scheduler() {
  {
    std::lock_guard lock(state_->mutex);
    state_->stop = true;
  }
  state_->wake.notify_all();
  state_->thread.join();
}

const Model& Scheduler::model() const { return state_->model; }

uint64_t Scheduler::submit(Job job) {
  State& s = *state_;
  auto sequence = std::make_unique<Sequence>();
  const int64_t given = static_cast<int64_t>(job.prompt.size()), context = s.lm.max_positions();
  require(given > 0 || !job.media.empty(), "generation: the prompt is empty");
  require(!s.seq2seq || s.seq2seq->medium().empty() || !job.media.empty(), "generation: this model answers {}, not text", s.seq2seq ? s.seq2seq->medium() : "");
  for (const int32_t id : job.prompt)
    require(id >= 0 && id < (s.seq2seq ? s.seq2seq->source_vocabulary_size() : s.lm.vocabulary_size()), "generation: token id {} is not in the vocabulary", id);
  if (s.seq2seq) {
    require(s.seq2seq->decoder_start() >= 0, "generation: the config does not say which token starts an answer");
    sequence->tokens = {s.seq2seq->decoder_start()};
  } else {
    sequence->tokens = job.prompt;
  }
  sequence->prompt_length = static_cast<int64_t>(sequence->tokens.size());
  const int64_t more = job.config.max_new_tokens.value_or(20);
  require(context <= 0 || sequence->prompt_length + (more > 0 ? 1 : 0) <= context,
          "generation: the prompt has {} tokens, the model's context holds {}; shorten the prompt", sequence->prompt_length, context);
  sequence->max_length = sequence->prompt_length + more;
  if (context > 0) sequence->max_length = std::min(sequence->max_length, context);
  require(job.media.empty() || !s.lm.media_names().empty(), "generation: this model reads no {}", job.media.empty() ? "" : job.media.begin()->first);
  if (const auto tokenizer = s.model.tokenizer()) sequence->decoder.emplace(tokenizer, true);
  sequence->filter.emplace(job.config.stop_strings);
  sequence->job = std::move(job);
  sequence->scorer.emplace(sequence->job.config, s.lm.vocabulary_size());
  sequence->constraint = make_constraint(sequence->job.config, s.model.tokenizer(), s.lm.vocabulary_size());
  if (sequence->constraint) sequence->state = sequence->constraint->start();
  sequence->submitted = Clock::now();
  std::lock_guard lock(s.mutex);
  auto& own = s.waiting[sequence->job.owner];
  const bool all_busy = s.totals.running + s.waiting_count >= s.options.slots;
  if (s.totals.running + s.waiting_count >= s.options.slots + s.options.queue)
    fail(ErrorCode::busy, "server busy, please try again.  maximum pending requests exceeded");
  if (all_busy && static_cast<int64_t>(own.size()) >= s.options.queue_per_owner)
    fail(ErrorCode::busy, "too many requests wait already under this key; try again later");
  const uint64_t number = sequence->number = ++s.last_number;
  own.push_back(std::move(sequence));
  ++s.waiting_count;
  s.wake.notify_all();
  return number;
}

void Scheduler::cancel(uint64_t number) {
  std::lock_guard lock(state_->mutex);
  state_->cancels.push_back(number);
  state_->wake.notify_all();
}

Scheduler::Counts Scheduler::counts() const {
  std::lock_guard lock(state_->mutex);
  Counts c = state_->totals;
  c.waiting = state_->waiting_count;
  return c;
}

void Scheduler::State::run() {
  NoGrad no_grad;
  for (;;) {
    {
      std::unique_lock lock(mutex);
      if (!take_requests(lock)) return;
    }
    try {
      if (!step()) {
        // Every reader is behind: look again soon.
        std::unique_lock lock(mutex);
        wake.wait_for(lock, std::chrono::milliseconds(5), [&] { return stop || !cancels.empty(); });
      }
    } catch (...) {
      fail_all(std::current_exception());
    }
  }
}

// Waits for something to do and brings requests into free slots, one owner after another. False at the end.
bool Scheduler::State::take_requests(std::unique_lock<std::mutex>& lock) {
  wake.wait(lock, [&] { return stop || waiting_count > 0 || !running.empty(); });
  // Cancelled answers give up their slots first: those that are admitted may take long to begin.
  std::vector<std::unique_ptr<Sequence>> dropped;
  for (const uint64_t number : cancels) {
    for (auto it = running.begin(); it != running.end(); ++it)
      if ((*it)->number == number) {
        dropped.push_back(std::move(*it));
        running.erase(it);
        break;
      }
    for (auto& [owner, queue] : waiting)
      for (auto it = queue.begin(); it != queue.end(); ++it)
        if ((*it)->number == number) {
          dropped.push_back(std::move(*it));
          queue.erase(it);
          --waiting_count;
          break;
        }
  }
  cancels.clear();
  if (stop)
    for (auto& [owner, queue] : waiting)
      for (auto& s : queue) dropped.push_back(std::move(s));
  std::erase_if(waiting, [](const auto& row) { return row.second.empty() || !row.second.front(); });
  if (stop) waiting_count = 0;
  std::vector<Sequence*> admitted;
  while (!stop && waiting_count > 0 && static_cast<int64_t>(running.size()) < options.slots) {
    auto turn = waiting.upper_bound(last_owner);
    if (turn == waiting.end()) turn = waiting.begin();
    last_owner = turn->first;
    running.push_back(std::move(turn->second.front()));
    turn->second.pop_front();
    if (turn->second.empty()) waiting.erase(turn);
    --waiting_count;
    running.back()->admitted = Clock::now();
    admitted.push_back(running.back().get());
    if (seq2seq || !running.back()->job.media.empty()) break;  // what is encoded for it takes time: the others have a step in between
  }
  totals.running = static_cast<int64_t>(running.size());
  const bool end = stop;
  lock.unlock();
  for (auto& s : dropped) {
    if (s->admitted == Clock::time_point()) s->admitted = Clock::now();  // it never left the queue
    finish(*s, FinishReason::cancelled, nullptr);
  }
  if (end) {
    for (auto& s : running) finish(*s, FinishReason::cancelled, nullptr);
    running.clear();
    return false;
  }
  for (Sequence* s : admitted) {
    try {
      start(*s);
    } catch (...) {
      finish(*s, FinishReason::cancelled, std::current_exception());
    }
  }
  if (std::erase_if(running, [](const auto& s) { return !s->job.on_end; }) > 0) {
    std::lock_guard relock(mutex);
    totals.running = static_cast<int64_t>(running.size());
  }
  return true;
}

// Encodes the source of an encoder-decoder.
void Scheduler::State::start(Sequence& s) {
  s.cache = std::make_unique<nn::Cache>(lm.new_cache());
  if (!s.job.media.empty()) return read_media(s);
  if (!seq2seq) return;
  nn::TokenBatch source;
  source.ids = s.job.prompt;
  source.positions.resize(source.ids.size());
  std::iota(source.positions.begin(), source.positions.end(), 0);
  source.lengths = {static_cast<int64_t>(source.ids.size())};
  auto memory = std::make_shared<nn::Cache>(seq2seq->new_memory());
  seq2seq->remember(seq2seq->encode(source, nullptr), memory.get());
  s.memory = std::move(memory);
}

// What the model sees of the pictures; the prompt may begin otherwise for them.
void Scheduler::State::read_media(Sequence& s) {
  GenerateInputs inputs;
  if (!s.job.prompt.empty()) inputs.input_ids = {s.job.prompt};
  inputs.media = std::move(s.job.media);
  s.job.media.clear();
  Prompt p = media_prompt(lm, inputs, s.job.config);
  s.media = p.media;
  s.memory = p.source;
  s.own_keys = p.media ? p.media->keys : p.tokens;
  s.tokens = std::move(p.tokens);
  s.prompt_length = static_cast<int64_t>(s.tokens.size());
  s.max_length = p.max_length;
}

// Takes over what an ended or a running sequence has computed of the same beginning.
void Scheduler::State::reuse(Sequence& s) {
  s.started = true;
  if (seq2seq || s.job.prompt_scores) return;
  const std::span<const int32_t> prompt(s.keys().data(), static_cast<size_t>(s.prompt_length) - 1);  // the last one is always computed
  int64_t best = 0;
  const nn::Cache* from = nullptr;
  std::list<Kept>::iterator used = kept.end();
  for (auto it = kept.begin(); it != kept.end(); ++it) {
    if (it->owner != s.job.owner || !lm.may_share(static_cast<int64_t>(it->tokens.size()), s.prompt_length)) continue;
    if (const int64_t n = it->cache.reach(common_prefix(prompt, it->tokens)); n > best) best = n, from = &it->cache, used = it;
  }
  for (const auto& other : running) {
    if (other.get() == &s || !other->cache || other->job.owner != s.job.owner || !lm.may_share(static_cast<int64_t>(other->tokens.size()), s.prompt_length)) continue;
    const int64_t n = other->cache->reach(common_prefix(prompt, {other->keys().data(), static_cast<size_t>(other->computed)}));
    if (n > best) best = n, from = other->cache.get(), used = kept.end();
  }
  if (best < kLeastReuse) return;
  *s.cache = from->prefix(best);
  s.computed = s.reused = best;
  if (used != kept.end()) kept.splice(kept.begin(), kept, used);
}

// Whether a sequence ahead is computing a beginning that this one will share.
bool Scheduler::State::waits_for_another(const Sequence& s) const {
  if (seq2seq || s.job.prompt_scores || lm.cache_shape().state > 0) return false;
  const std::span<const int32_t> prompt(s.keys().data(), static_cast<size_t>(s.prompt_length) - 1);
  for (const auto& other : running) {
    if (other.get() == &s) return false;  // only those ahead
    if (other->decoding() || other->job.owner != s.job.owner || !lm.may_share(other->prompt_length, s.prompt_length)) continue;
    const int64_t shared = common_prefix(prompt, {other->keys().data(), static_cast<size_t>(other->prompt_length)});
    if (shared >= kLeastReuse && shared > other->computed) return true;
  }
  return false;
}

// One batch: a token of each answer, then prompt pieces in order of arrival. False if there was nothing to compute.
bool Scheduler::State::step() {
  struct Part {
    Sequence* sequence;
    int64_t rows;
    bool wants_logits;
    int64_t scored = 0;  // of its first rows, whose next tokens' scores were asked for
  };
  std::vector<Part> parts;
  batch.ids.clear();
  batch.positions.clear();
  batch.axes.clear();
  batch.lengths.clear();
  batch.caches.clear();
  batch.reach.clear();
  batch.memory_caches.clear();
  batch.media_rows.clear();
  batch.media = {};
  media_rows.clear();
  bool attends = false;
  // Adds so many rows, or less where the next ones attend to something else.
  const auto add = [&](Sequence& s, int64_t rows) {
    if (s.media) {
      rows = source_at(*s.media, s.computed, rows, &s.memory);
      append_media(*s.media, s.computed, rows, &batch, &media_rows);
    }
    attends = attends || s.memory;
    batch.ids.insert(batch.ids.end(), s.tokens.begin() + s.computed, s.tokens.begin() + s.computed + rows);
    for (int64_t i = 0; i < rows; ++i) batch.positions.push_back(static_cast<int32_t>(s.computed + i));
    batch.lengths.push_back(rows);
    batch.caches.push_back(s.cache.get());
    batch.reach.push_back(static_cast<int64_t>(s.tokens.size()));
    batch.memory_caches.push_back(s.memory.get());
    parts.push_back({&s, rows, s.computed + rows >= static_cast<int64_t>(s.tokens.size())});
    return rows;
  };
  const auto [limit, anew] = lm.position_switch();
  for (const auto& s : running) {
    if (!s->started || !s->decoding() || (s->job.ready && !s->job.ready())) continue;
    if (anew && s->computed == limit) {  // all of it is read again, like a prompt
      s->computed = 0;
      s->cache->truncate(0);
    } else {
      add(*s, 1);
    }
  }
  const double seconds = parts.empty() ? kStepSeconds : kSharedStepSeconds;
  int64_t piece = prompt_rate > 0 ? static_cast<int64_t>(prompt_rate * seconds) / 16 * 16 : 2 * kLeastPiece;
  piece = std::clamp(piece, kLeastPiece, kMostPiece);
  int64_t prompt_rows = 0;
  for (const auto& s : running) {
    if (s->started && s->decoding()) continue;
    if (!s->started) {
      if (waits_for_another(*s)) continue;
      reuse(*s);
    }
    const int64_t rest = static_cast<int64_t>(s->tokens.size()) - s->computed;
    int64_t rows = std::min(rest, piece - prompt_rows);
    // What sees ahead is read in one go, however long it takes: pieces would see less, and the answer depend on where they end.
    if (rows < rest && lm.sees_ahead()) rows = prompt_rows == 0 ? rest : 0;
    if (rows <= 0) continue;
    prompt_rows += add(*s, rows);
  }
  if (parts.empty()) return false;
  if (!attends) batch.memory_caches.clear();
  for (const nn::Cache*& memory : batch.memory_caches) {
    if (memory) continue;
    if (!nothing) nothing = std::make_shared<nn::Cache>(lm.new_memory());
    memory = nothing.get();
  }
  if (!media_rows.empty()) batch.media = media_rows.size() == 1 ? media_rows[0] : cat(media_rows, 0);

  const auto before = Clock::now();
  if (!batch.axes.empty()) batch.complete_axes();
  std::vector<int64_t> wanted;
  int64_t row = 0;
  for (Part& p : parts) {
    if (p.sequence->job.prompt_scores && p.sequence->generated() == 0) p.scored = std::min(p.rows, p.sequence->prompt_length - 1 - p.sequence->computed);
    for (int64_t i = 0; i < p.scored; ++i) wanted.push_back(row + i);
    row += p.rows;
    if (p.wants_logits) wanted.push_back(row - 1);
  }
  batch.read_only(wanted);
  const Tensor hidden = lm.body(batch, nullptr);
  Tensor logits;
  if (!wanted.empty()) logits = lm.head(nn::wanted_rows(hidden, wanted));
  const auto after = Clock::now();
  if (prompt_rows >= kLeastPiece) {
    const double rate = static_cast<double>(prompt_rows) / std::max(1e-6, seconds_between(before, after));
    prompt_rate = prompt_rate > 0 ? 0.7 * prompt_rate + 0.3 * rate : rate;
  }

  const int64_t v = wanted.empty() ? 0 : logits.size(1);
  const auto logits_row = [&](size_t i) { return std::span<float>(logits.data<float>() + static_cast<int64_t>(i) * v, static_cast<size_t>(v)); };
  size_t next_row = 0;
  uint64_t chosen = 0;
  for (const Part& p : parts) {
    Sequence& s = *p.sequence;
    for (int64_t i = 0; i < p.scored; ++i) s.prompt_scores.push_back(score_of(logits_row(next_row++), s.tokens[static_cast<size_t>(s.computed + i + 1)], s.job.top_scores));
    s.computed += p.rows;
    if (!p.wants_logits) continue;
    const auto scores = logits_row(next_row++);
    if (s.max_length <= s.prompt_length) {
      finish(s, FinishReason::length, nullptr);
      continue;
    }
    ++chosen;
    try {
      choose_next(s, scores);
    } catch (...) {
      finish(s, FinishReason::cancelled, std::current_exception());
    }
  }
  std::erase_if(running, [](const auto& s) { return !s->job.on_end; });
  size_t bytes = kept_bytes;
  for (const auto& s : running) bytes += s->cache->bytes();
  std::lock_guard lock(mutex);
  totals.cache_bytes = bytes;
  totals.running = static_cast<int64_t>(running.size());
  totals.generated_tokens += chosen;
  totals.prompt_tokens += static_cast<uint64_t>(prompt_rows);
  return true;
}

void Scheduler::State::choose_next(Sequence& s, std::span<float> logits) {
  const Job& job = s.job;
  if (s.generated() == 0) s.first_token = Clock::now();
  TokenStep out;
  std::vector<float> plain;  // log-probabilities are those of the model, before the settings change the scores
  if (job.top_scores >= 0) plain.assign(logits.begin(), logits.end());
  if (job.penalties.active()) penalise(job.penalties, s.tokens, s.prompt_length, logits);
  const auto restrict = [&](std::span<float> scores) {
    if (s.constraint) s.constraint->apply(s.state, s.max_length - static_cast<int64_t>(s.tokens.size()), scores);
  };
  const std::span<const int32_t> encoded = seq2seq ? job.prompt : s.tokens;
  s.scorer->process({s.tokens, s.prompt_length, s.max_length, encoded}, logits, {}, restrict);
  const int32_t id = choose(job.config, logits, job.stream, static_cast<int64_t>(s.tokens.size()));
  s.tokens.push_back(id);
  if (s.media) s.own_keys.push_back(id);
  const auto& ends = job.config.eos_token_id;
  const bool end = std::find(ends.begin(), ends.end(), id) != ends.end();
  if (s.constraint) s.state = s.constraint->next(s.state, id);
  out.score = job.top_scores >= 0 ? score_of(plain, id, job.top_scores) : TokenScore{id, 0, {}};
  if (s.decoder) {
    out.decoded = s.decoder->push(id);
    out.text = s.filter->push(out.decoded);
    out.special = model.tokenizer()->is_special(id);
  }
  s.text += out.text;
  if (job.on_token) job.on_token(out);
  if (end || s.filter->stopped() || (s.constraint && s.constraint->complete(s.state))) finish(s, FinishReason::stop, nullptr);
  else if (static_cast<int64_t>(s.tokens.size()) >= s.max_length) finish(s, FinishReason::length, nullptr);
}

// Tells the caller; the sequence leaves the list when its on_end is gone.
void Scheduler::State::finish(Sequence& s, FinishReason reason, std::exception_ptr error) {
  const auto now = Clock::now();
  Ended out;
  if (s.decoder && !s.filter->stopped()) {
    out.tail = s.filter->push(s.decoder->flush());
    if (!s.filter->stopped()) out.tail += s.filter->flush();
  }
  if (s.filter && s.filter->stopped()) {
    out.stop = s.filter->stop();
    if (!error && reason == FinishReason::length) reason = FinishReason::stop;
  }
  Generated& g = out.generated;
  g.ids.assign(s.tokens.begin() + s.prompt_length, s.tokens.end());
  g.text = s.text + out.tail;
  g.reason = reason;
  g.prompt_tokens = seq2seq ? static_cast<int64_t>(s.job.prompt.size()) : s.prompt_length;
  g.reused_tokens = s.reused;
  const auto first = s.generated() > 0 ? s.first_token : now;
  g.prompt_seconds = seconds_between(s.admitted, first);
  g.decode_seconds = seconds_between(first, now);
  out.queue_seconds = seconds_between(s.submitted, s.admitted);
  out.first_token_seconds = seconds_between(s.submitted, first);
  out.prompt_scores = std::move(s.prompt_scores);
  out.error = error;
  if (!error && s.cache) keep(s);
  {
    std::lock_guard lock(mutex);
    ++totals.ended;
    totals.reused_tokens += static_cast<uint64_t>(s.reused);
    if (error) ++totals.failed;
    else if (reason == FinishReason::cancelled) ++totals.cancelled;
    const double seconds = seconds_between(s.admitted, now);
    totals.seconds_per_answer = totals.seconds_per_answer > 0 ? 0.8 * totals.seconds_per_answer + 0.2 * seconds : seconds;
  }
  const auto on_end = std::exchange(s.job.on_end, nullptr);
  s.job.on_token = nullptr;
  s.job.ready = nullptr;
  if (on_end) on_end(std::move(out));
}

void Scheduler::State::keep(Sequence& s) {
  if (seq2seq || s.computed < kLeastReuse || !lm.may_share(s.computed, static_cast<int64_t>(s.tokens.size()))) return;
  std::vector<int32_t> tokens(s.keys().begin(), s.keys().begin() + s.computed);
  // What is a beginning of this one is no longer needed.
  std::erase_if(kept, [&](const Kept& k) {
    return k.owner == s.job.owner && common_prefix(k.tokens, tokens) == static_cast<int64_t>(k.tokens.size());
  });
  kept.push_front({s.job.owner, std::move(tokens), std::move(*s.cache)});
  s.cache = std::make_unique<nn::Cache>(lm.new_cache());
  trim_kept(options.kept_bytes);
}

void Scheduler::State::trim_kept(size_t limit) {
  constexpr size_t kMost = 256;
  size_t count = 0;
  kept_bytes = 0;
  auto it = kept.begin();
  for (; it != kept.end() && count < kMost; ++it, ++count) {
    const size_t own = it->cache.bytes();
    if (kept_bytes + own > limit) break;
    kept_bytes += own;
  }
  kept.erase(it, kept.end());
}

// A step failed for all (out of memory): every answer under way ends with the error, and the memory is given back.
void Scheduler::State::fail_all(const std::exception_ptr& error) {
  for (auto& s : running)
    if (s->job.on_end) finish(*s, FinishReason::cancelled, error);
  running.clear();
  trim_kept(0);
  std::lock_guard lock(mutex);
  totals.running = 0;
}

}  // namespace mynah::generation
