// Sequences being decoded, and the loop that adds a token to each: greedy decoding and sampling.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "generate/constraint.h"
#include "generate/decoder.h"
#include "generate/scores.h"
#include "generate/stop_strings.h"

namespace mynah::generation {

// A prompt as the model and the processors see it.
struct Prompt {
  std::vector<int32_t> tokens;            // as given, with padding: processors count it
  std::vector<int32_t> seen;              // without the hidden tokens
  std::vector<int32_t> encoded;           // what an encoder has read as text, with padding
  std::shared_ptr<const nn::Cache> source;  // what the decoder attends to; null: there is no encoder
  std::shared_ptr<const PromptMedia> media; // null: there are tokens only
  int64_t max_length = 0;                 // of tokens and answer
  std::optional<uint64_t> stream;         // of random numbers; absent: as many as the sequence's row
  // Guidance: what the model reads instead, and its first position.
  std::vector<int32_t> negative;
  int64_t negative_offset = 0;
};

// What output_scores and output_logits ask for: tensors [rows, V], one per step.
struct Record {
  int64_t rows = 0, vocabulary = 0;
  std::vector<Tensor> scores, logits;

  void put(std::vector<Tensor>* steps, int64_t step, int64_t row, std::span<const float> values) const;
};

struct Running;

// What decides how a run goes; shared by all its sequences.
struct Run {
  Run(const nn::CausalLM& lm, const GenerationConfig& c, std::shared_ptr<const Tokenizer> tokenizer)
      : config(c),
        decoder(lm),
        scorer(c, lm.vocabulary_size()),
        stops(c.stop_strings, tokenizer),
        constraint(make_constraint(c, tokenizer, lm.vocabulary_size())),
        start(std::chrono::steady_clock::now()) {}

  // Whether an end token, a stop string or a complete text ends the sequence with this token.
  bool ends(const Running& sequence, int32_t token) const;
  bool out_of_time() const;

  const GenerationConfig& config;
  Decoder decoder;
  Scorer scorer;
  StopStrings stops;
  std::shared_ptr<Constraint> constraint;  // null without one
  std::chrono::steady_clock::time_point start;
  Record record;
  // Changes scores [V] after the processors and before sampling's filters.
  std::function<void(const Running&, std::span<float>)> process;
  bool log_probabilities = false;          // asks for Running's
  // Called after each token of a sequence; may end it.
  std::function<void(Running&)> on_token;
};

struct Running {
  // Nothing of the prompt is computed yet.
  Running(const Run& run, const Prompt& p);
  Running(const Prompt& p, Memory m) : prompt(&p), memory(std::move(m)) {}

  const Prompt* prompt;
  std::vector<int32_t> tokens;            // prompt and answer
  Memory memory;
  std::vector<int32_t> pending;           // tokens that the memory lacks
  // The same of what guidance leads away from; none without it.
  std::optional<Memory> negative;
  std::vector<int32_t> negative_pending;
  Constraint::State state = 0;            // with a constraint: where the answer is
  uint64_t stream = 0;                    // of random numbers
  int64_t row = 0;                        // among all sequences of the run
  double log_probability = 0;             // if asked for: sum over the answer's tokens, at temperature 1
  bool finished = false;
  FinishReason reason = FinishReason::length;

  Progress progress() const;
  int64_t generated() const { return static_cast<int64_t>(tokens.size()) - prompt_length(); }
  int64_t prompt_length() const { return static_cast<int64_t>(prompt->tokens.size()); }
  void push(const Run& run, int32_t token);
  // A sequence with the same past and memory.
  Running fork() const;
};

// The model's word on what comes next: a row [V] for each sequence, and what it says without the prompt, if there is guidance.
struct Logits {
  Tensor rows, negative;

  std::span<float> row(int64_t i);
  std::span<const float> negative_row(int64_t i) const;  // empty without guidance
};

// `copies` sequences for each prompt, which is computed once; row i of the logits belongs to all copies of prompt i.
std::vector<Running> begin(Run& run, std::span<const Prompt> prompts, int64_t copies, Logits* logits);
// Computes each sequence's pending tokens; a row after each.
Logits compute(Run& run, std::span<Running* const> sequences);
// Lets processors and sampling's filters change `scores` (logits, or log-probabilities of beams) of a sequence.
void score(Run& run, const Running& sequence, std::span<float> scores, std::span<const float> negative);
// Whether score() may run for several sequences at once: nothing that it changes or asks is shared.
bool scores_apart(const Run& run);
// log softmax of processed scores, without the temperature that sampling divided them by. The scores must outlive it.
class LogProbabilities {
 public:
  LogProbabilities(const GenerationConfig& config, std::span<const float> scores);
  double of(int32_t token) const { return static_cast<double>(scores_[static_cast<size_t>(token)]) * static_cast<double>(scale_) - static_cast<double>(sum_); }

 private:
  std::span<const float> scores_;
  float scale_, sum_ = 0;  // of exponentials, their log
};
// Chooses the next token from its logits (which are changed) and notes whether it ends the sequence.
void extend(Run& run, Running& sequence, std::span<float> logits, std::span<const float> negative);
// Greedy decoding or sampling to the end: config.num_return_sequences finished sequences for each prompt.
std::vector<Running> sample(Run& run, std::span<const Prompt> prompts);

}  // namespace mynah::generation
