// A chat on the terminal, and what it shares with single answers.
#pragma once
#include <optional>
#include <memory>
#include <string>
#include <vector>

#include "mynah/generate.h"
#include "serve/go_template.h"

namespace mynah::app {

struct ChatOptions {
  std::string model, system, format, remote, endpoint;
  std::optional<double> temperature, top_p;
  std::optional<int64_t> top_k, max_tokens, context;
  std::optional<uint64_t> seed;
  bool raw = false, json = false, verbose = false;
  std::vector<std::string> images;  // files that the prompt is about
  // Of a model that was made with a Modelfile.
  std::vector<std::string> stops;
  std::optional<double> repeat_penalty;
  std::vector<ChatMessage> examples;  // come after the system message
  std::shared_ptr<const serve::GoTemplate> go_template;

  // Sets temperature, top_k, top_p, seed, max_tokens or context from what was typed; `where` names it in the error. Throws usage for
  // what is not such a number; false for another name.
  bool set(const std::string& name, const std::string& value, const std::string& where);
  // The model's own settings, else temperature 0.7, top-p 0.9, top-k 40, and for models below 500 million
  // parameters what keeps them out of loops; then these options, but for the context: keep_to_context.
  GenerationConfig settings(const Model& opened) const;
};

// Lowers max_new_tokens so that prompt and answer stay within --ctx. Throws failure for a prompt that fills it.
void keep_to_context(const ChatOptions& options, int64_t prompt_tokens, GenerationConfig* config);
// Why an answer with FinishReason::length ended: at max_tokens, which `more` raises, or because the context is full.
std::string limit_note(const ChatOptions& options, const Model& model, const Generated& answer, const std::string& more);

// What the Modelfile of a stored model says, where no option says otherwise. Nothing for other models.
void apply_modelfile(ChatOptions& options);
// The prompt that the messages make: by the Modelfile's template, else the model's own.
std::vector<int32_t> prompt_ids(const ChatOptions& options, const Model& model, const std::vector<ChatMessage>& messages);

// Lines from the terminal until /bye or end of input. Ctrl-C ends an answer, not the chat.
int chat(ChatOptions& options, const Model& model);

// Prompt and decoding speed, time to the first text, to stderr.
void print_rates(const Generated& g, double load_seconds, double first_token_seconds);

// Ctrl-C sets a flag that interrupted() reads and clear_interrupt() resets.
void catch_interrupts();
bool interrupted();
void clear_interrupt();

}  // namespace mynah::app
