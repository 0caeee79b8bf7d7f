// Many generations at once on one model: a thread of its own computes, step by step, one batch that holds a token of every
// answer under way and pieces of the prompts that wait (continuous batching with chunked prefill). What prompts have in common
// is computed once. Every sequence's numbers depend on its own tokens only, so an answer is the same alone or in company.
#pragma once
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mynah/generate.h"

namespace mynah::generation {

struct SchedulerOptions {
  int64_t slots = 16;            // answers computed at the same time
  int64_t queue = 512;           // requests that may wait for a slot
  int64_t queue_per_owner = 64;  // of one owner
  size_t kept_bytes = 512u << 20;  // keys and values of ended answers that stay for prompts that begin alike
};

// Penalties that count tokens, applied before the settings' own.
struct Penalties {
  float presence = 0, frequency = 0;  // subtracted once, and once per occurrence
  float repeat = 1;                   // divides positive and multiplies negative scores of tokens that occurred
  int64_t last_n = -1;                // how many tokens back count; -1: all
  bool answer_only = false;           // the prompt does not count
  bool active() const { return presence != 0 || frequency != 0 || repeat != 1; }
};

struct TokenScore {
  int32_t id = 0;
  float log_probability = 0;
  std::vector<std::pair<int32_t, float>> top;  // the likeliest ids and their log-probabilities
};

// One generated token.
struct TokenStep {
  TokenScore score;     // without log-probabilities unless asked for
  std::string decoded;  // the text that became complete with it
  std::string text;     // the text that may be shown: held back while it may begin a stop string
  bool special = false;
};

struct Ended {
  Generated generated;
  std::string tail;          // text that was held back and is part of the answer
  std::string stop;          // the stop string that ended it
  std::exception_ptr error;  // then the rest is what there was until then
  double queue_seconds = 0, first_token_seconds = 0;  // from submit() on
  std::vector<TokenScore> prompt_scores;  // of the prompt's tokens from the second on, when asked for
};

struct Job {
  std::vector<int32_t> prompt;  // encoder-decoders: what is encoded
  std::map<std::string, Tensor> media;  // what belongs to it, as GenerateInputs::media
  GenerationConfig config;      // max_new_tokens 0: only the prompt's scores
  Penalties penalties;
  uint64_t stream = 0;  // which row of random numbers to draw from
  std::string owner;    // prompts share work only with the same owner's; the queue is fair between owners
  int top_scores = -1;  // -1: no log-probabilities; else so many of the likeliest tokens with each
  bool prompt_scores = false;
  // Called on the scheduler's thread; they must not block. `ready` says whether the reader keeps up (null: always);
  // `on_end` is called exactly once.
  std::function<bool()> ready;
  std::function<void(const TokenStep&)> on_token;
  std::function<void(Ended&&)> on_end;
};

class Scheduler {
 public:
  Scheduler(Model model, const SchedulerOptions& options);
  // Cancels what is under way.
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // Takes a request; returns its number. Throws busy when the queue is full, failure for a prompt that does not fit.
  uint64_t submit(Job job);
  // The answer ends with `cancelled` before the next token. Unknown numbers are ignored.
  void cancel(uint64_t number);

  struct Counts {
    int64_t running = 0, waiting = 0;
    size_t cache_bytes = 0;  // keys and values, of answers under way and kept
    uint64_t prompt_tokens = 0, reused_tokens = 0, generated_tokens = 0, ended = 0, cancelled = 0, failed = 0;
    double seconds_per_answer = 0;  // a running mean
  };
  Counts counts() const;
  const Model& model() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mynah::generation
