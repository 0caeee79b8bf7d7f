// Text generation: settings named as in transformers' GenerationConfig, one call for a text, a session for a chat.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "mynah/model.h"
#include "mynah/speech.h"

namespace mynah {

// When beam search has found enough: at once, when no running beam looks able to win, or when none can.
enum class EarlyStopping { no, yes, never };

// Marks generated text so that a statistical test can recognise it; arXiv:2306.04634.
struct WatermarkingConfig {
  double greenlist_ratio = 0.25;
  float bias = 2.0f;
  int64_t hashing_key = 15485863, context_width = 1;
  bool selfhash = false;                        // seeding_scheme "selfhash"; else "lefthash"
};

// Defaults are those of the reference; a model's generation_config.json replaces them, then the caller's settings do.
struct GenerationConfig {
  // How long. max_new_tokens wins over max_length (which counts the prompt too), min_new_tokens over min_length.
  std::optional<int64_t> max_new_tokens, max_length;
  int64_t min_length = 0;
  std::optional<int64_t> min_new_tokens;
  // How the next token is chosen.
  bool do_sample = false;
  float temperature = 1.0f;                     // > 0; only when sampling, as all of this group
  int64_t top_k = 50;                           // 0: off
  float top_p = 1.0f, min_p = 0.0f, typical_p = 1.0f, epsilon_cutoff = 0.0f, eta_cutoff = 0.0f;
  uint64_t seed = 0;
  int64_t num_return_sequences = 1;
  // Beam search, with more than one beam.
  int64_t num_beams = 1;
  float length_penalty = 1.0f;                  // a finished beam's score is its sum / length^length_penalty
  EarlyStopping early_stopping = EarlyStopping::no;
  // What the scores go through first.
  float guidance_scale = 1.0f;                  // > 1: away from what the model says without the prompt; arXiv:2306.17806
  float repetition_penalty = 1.0f, encoder_repetition_penalty = 1.0f;
  std::vector<int32_t> repetition_exempt;       // sorted ids that repetition_penalty leaves alone, such as line ends
  int64_t no_repeat_ngram_size = 0, encoder_no_repeat_ngram_size = 0;
  std::vector<std::vector<int32_t>> bad_words_ids;
  std::vector<std::pair<std::vector<int32_t>, float>> sequence_bias;
  std::optional<int32_t> forced_bos_token_id;
  std::vector<int32_t> forced_eos_token_id, suppress_tokens, begin_suppress_tokens;
  std::optional<std::pair<int64_t, float>> exponential_decay_length_penalty;  // start (generated tokens), factor
  std::vector<std::vector<int32_t>> decay_after;  // sequences after which that penalty acts, such as sentence ends; none: after all
  std::optional<WatermarkingConfig> watermarking_config;
  bool renormalize_logits = false, remove_invalid_values = false;
  // When it ends.
  std::vector<int32_t> eos_token_id;
  std::optional<int32_t> pad_token_id, bos_token_id, decoder_start_token_id;
  std::vector<std::string> stop_strings;        // an answer ends with the first of them
  std::optional<double> max_time;               // seconds
  // What the text must be: "json" (any object) or the text of a JSON Schema; or a regular expression that all of it matches. A text
  // that fits max_new_tokens is always complete.
  std::string format, regex;
  // Speculation changes how fast it goes, never what comes out: guesses of a smaller model of the same vocabulary (at most so many at
  // once, none beyond one less likely than the threshold), or of what followed the last tokens before. Decoders without beams.
  std::shared_ptr<const Model> assistant_model;
  int64_t num_assistant_tokens = 20;
  float assistant_confidence_threshold = 0.4f;
  int64_t prompt_lookup_num_tokens = 0, max_matching_ngram_size = 2;  // 0: no lookup
  SpeechSettings speech;
  // What is given back besides ids: every step's scores after processing, every step's logits.
  bool output_scores = false, output_logits = false;
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

// Several prompts decoded together; each result is the same as alone. Sequence r of all (num_return_sequences for each prompt)
// samples with stream r.
std::vector<Generated> generate(const Model& model, const std::vector<std::vector<int32_t>>& prompts, const GenerationConfig& config);

// Rows as the reference's generate() takes them, B of them, each tensor's rows equally long.
struct GenerateInputs {
  std::vector<std::vector<int32_t>> input_ids;           // [B, T]: the prompt, or what an encoder reads
  std::vector<std::vector<int32_t>> attention_mask;      // [B, T], 0 hides a token; empty: tokens equal to pad_token_id are hidden
                                                         // if that is no end token
  std::vector<std::vector<int32_t>> decoder_input_ids;   // [B, D]: the decoder's prompt; empty: decoder_start_token_id
  std::vector<std::vector<int32_t>> negative_prompt_ids; // [B, T2]: what guidance leads away from; empty: the last prompt token
  std::map<std::string, Tensor> media = {};              // [B, ...] each: what else the model reads, by the reference's names
                                                         // (input_features, pixel_values); may stand in place of input_ids
};

// Rows as generate() returns them, R = B times num_return_sequences.
struct GenerateOutputs {
  // [R, L]: prompt (decoder-only) or decoder prompt (encoder-decoder) and answer, padded to one length.
  std::vector<std::vector<int32_t>> sequences;
  std::vector<float> sequences_scores;                   // [R], of beams only
  int64_t prompt_length = 0;                             // tokens of each row that come before the answer; 0 for encoder-decoders
  // One [R or B * num_beams, V] per step, if asked for; rows that have ended are 0.
  std::vector<Tensor> scores, logits;
  std::vector<Transcript> transcripts;                   // [R], of models that write down sound; sequences are their tokens
};

// The reference's generate(). Throws failure for rows that do not fit the model, usage for settings that contradict each other.
GenerateOutputs generate(const Model& model, const GenerateInputs& inputs, const GenerationConfig& config);

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
  // The same for one row of ids with media (pictures) that belong to it.
  Generated generate(const GenerateInputs& inputs, const GenerationConfig& config, const TextCallback& on_text = {});

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The prompt ids for messages by the model's chat template (messages joined by newlines if it has none).
std::vector<int32_t> chat_prompt(const Model& model, const std::vector<ChatMessage>& messages);

}  // namespace mynah
