// From a prompt and settings to the events that dialects write: what every text dialect shares.
#pragma once
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "generate/scheduler.h"
#include "serve/output_parser.h"
#include "serve/service.h"

namespace mynah::serve {

// The prompt that messages [{role, content, tool_calls?}] make, by the model's template. The Modelfile's messages and
// system text come first. `think`: null, or what the template is told.
std::vector<int32_t> chat_ids(const LoadedModel& model, Json messages, const Json& tools, const Json& think = nullptr,
                              bool generation_prompt = true);
std::string chat_text(const LoadedModel& model, Json messages, const Json& tools, const Json& think = nullptr,
                      bool generation_prompt = true);
// The ids of a chat whose contents may hold pictures, {"type": "image", "data": BASE64} among their parts, and what the model
// sees beside them. Throws ApiError 400 for a model without eyes and for what is no picture; the others throw it too.
void chat_prompt(const LoadedModel& model, Json messages, const Json& tools, const Json& think, generation::Job* job);
// The same for a prompt as it stands with pictures in base64.
void plain_prompt(const LoadedModel& model, const std::string& text, const std::vector<std::string>& pictures,
                  generation::Job* job);
// Text as it stands.
std::vector<int32_t> plain_ids(const LoadedModel& model, const std::string& text);

// Throws ApiError 400 unless the model generates text.
void require_generation(const LoadedModel& model, const std::string& name);
void require_tools(const LoadedModel& model, const std::string& name);
// Throws ApiError 400 unless every tool is a function with a name.
void check_tools(const Json& tools);

// Settings that every dialect starts from: the end tokens of the model, greedy, no limit but the context.
GenerationConfig base_config(const LoadedModel& model);
// A limit of new tokens within the context; `wanted` < 0: as many as there is room for.
int64_t limit_tokens(const LoadedModel& model, int64_t prompt, int64_t context, int64_t wanted);
// Random numbers for what a request leaves to chance.
uint64_t random_seed();
// While it lives, random_seed() on this thread draws from this seed: the same request says the same again.
class SeedScope {
 public:
  explicit SeedScope(uint64_t seed);
  ~SeedScope();
  SeedScope(const SeedScope&) = delete;
  SeedScope& operator=(const SeedScope&) = delete;

 private:
  std::mt19937_64 random_;
};
// "call_" or "chatcmpl-" and random letters.
std::string random_id(std::string_view prefix, size_t length);
// 2026-01-31T12:00:00.123456789Z
std::string utc_time(std::chrono::system_clock::time_point time);

// What GenerationConfig::format says for JSON of a schema; null: any object.
std::string json_format(const Json& schema);
// The same for a call of one of the tools, {"name": ..., "arguments": {...}}; `name` empty: any of them.
std::string tool_format(const Json& tools, const std::string& name);

struct Plan {
  generation::Job job;  // prompt, config, penalties, scores, format
  ParserOptions parser;
};

struct Outcome {
  generation::Ended ended;
  std::string content, thinking;
  std::vector<ToolCall> calls;
  // Ollama's and OpenAI's word for why it ended: stop, length; tool_calls where there are calls.
  const char* reason() const {
    return !calls.empty() ? "tool_calls" : ended.generated.reason == FinishReason::length ? "length" : "stop";
  }
};

// Is told what happens, on the scheduler's thread, choice by choice; writes to the reply.
class Listener {
 public:
  virtual ~Listener() = default;
  virtual void on_delta(int choice, const ParsedText& text, const generation::TokenStep& step) = 0;
  // The rest of the text comes with it.
  virtual void on_end(int choice, const ParsedText& rest, Outcome&& outcome) = 0;
  virtual void on_error(int choice, const ApiError& error) = 0;
};

// Starts the plans. The answers are cancelled when the client leaves; the model is held until the last one has ended.
// Throws ApiError 503 (429 for a key's own limit) when the queue is full.
void launch(const Call& call, Models::Lease lease, std::vector<Plan> plans, std::shared_ptr<Listener> listener);

}  // namespace mynah::serve
