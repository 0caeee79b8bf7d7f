// What the handlers of Ollama's dialect share.
#pragma once
#include <chrono>
#include <optional>

#include "serve/answer.h"

namespace mynah::serve {

// A number of seconds or a Go duration ("5m", "1h30m", "-1m"); negative: for ever.
std::optional<std::chrono::milliseconds> keep_alive_of(const Fields& fields);

struct OllamaSettings {
  GenerationConfig config;
  generation::Penalties penalties;
  int64_t num_ctx = 0, num_predict = -1, num_keep = 4;
};
// Ollama's defaults, then the Modelfile's parameters, then the request's options. Throws ApiError 400 naming what is
// wrong.
OllamaSettings ollama_settings(const LoadedModel& model, const Models& models, const Json* options);
// Checks names and types of options; returns false for a name that does not exist.
bool set_ollama_option(const Fields& options, const std::string& name, OllamaSettings* settings);

// The word of think: null, true, false or a level. Throws where the model cannot.
Json think_of(const Fields& fields, const LoadedModel& model, const std::string& name);

// Text of tokens with their probabilities, as Ollama and OpenAI's chats write them.
Json log_probability_json(const Tokenizer& tokenizer, const generation::TokenScore& score);

}  // namespace mynah::serve
