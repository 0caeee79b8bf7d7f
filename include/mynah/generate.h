// Text generation: settings named as in transformers' GenerationConfig, one call for a text, a session for a chat.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "mynah/model.h"

namespace mynah {

// Defaults are those of the reference; a model's generation_config.json replaces them, then the caller's settings do.
struct GenerationConfig {
  // How long. max_new_tokens wins over max_length (which counts the prompt too).
  std::optional<int64_t> max_new_tokens, max_length;
  int64_t min_length = 0, min_new_tokens = 0;
  // How the next token is chosen.
  bool do_sample = false;
  float temperature = 1.0f;                     // > 0; only when sampling, as all of this group
  int64_t top_k = 50;                           // 0: off
  float top_p = 1.0f, min_p = 0.0f, typical_p = 1.0f, epsilon_cutoff = 0.0f, eta_cutoff = 0.0f;
  uint64_t seed = 0;
  int64_t num_return_sequences = 1;
  // What the scores go through first.
  float repetition_penalty = 1.0f;
  int64_t no_repeat_ngram_size = 0;
  std::vector<std::vector<int32_t>> bad_words_ids;
  std::vector<std::pair<std::vector<int32_t>, float>> sequence_bias;
  std::optional<int32_t> forced_bos_token_id;
  std::vector<int32_t> forced_eos_token_id, suppress_tokens, begin_suppress_tokens;
  std::optional<std::pair<int64_t, float>> exponential_decay_length_penalty;  // start (generated tokens), factor
  bool renormalize_logits = false, remove_invalid_values = false;
  // When it ends.
  std::vector<int32_t> eos_token_id;
  std::optional<int32_t> pad_token_id, bos_token_id;
  std::vector<std::string> stop_strings;        // the text ends before the first of them
};

enum class FinishReason { stop, length, cancelled };  // an end token or stop string; the token limit or the context; the caller

struct Generated {
  std::vector<int32_t> ids;                     // new tokens, the end token included
  std::string text;                             // without special tokens and without a stop string
  FinishReason reason = FinishReason::length;
  int64_t prompt_tokens = 0, reused_tokens = 0; // reused: found in the session's cache
  double prompt_seconds = 0, decode_seconds = 0;
};

// Receives text as it becomes complete (never a part of a character); returning false ends the generation.
using TextCallback = std::function<bool(const std::string& piece)>;

// The settings that a model's files ask for.
GenerationConfig generation_defaults(const Model& model);

// Continues `prompt` (no chat template is applied). Throws failure for a prompt that does not fit the context.
Generated generate(const Model& model, const std::string& prompt, const GenerationConfig& config, const TextCallback& on_text = {});

// Several prompts decoded together; each result is the same as alone. Row r of num_return_sequences samples with stream r.
std::vector<Generated> generate(const Model& model, const std::vector<std::vector<int32_t>>& prompts, const GenerationConfig& config);

struct ChatMessage {
  std::string role, content;
};

// A conversation that keeps its key-value cache: what a prompt shares with the last one is not computed again.
class Session {
 public:
  explicit Session(Model model);
  ~Session();
  Session(Session&&) noexcept;

  // Generates after `prompt` (ids). May be called again with a prompt that extends the earlier one plus its answer.
  Generated generate(std::span<const int32_t> prompt, const GenerationConfig& config, const TextCallback& on_text = {});

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The prompt ids for messages by the model's chat template (messages joined by newlines if it has none).
std::vector<int32_t> chat_prompt(const Model& model, const std::vector<ChatMessage>& messages);

}  // namespace mynah
