// What the handlers of OpenAI's dialect and its relatives share.
#pragma once
#include <string>

#include "serve/ollama.h"

namespace mynah::serve {

// Server-sent events.
class EventStream {
 public:
  explicit EventStream(ReplyPtr reply) : reply_(std::move(reply)) {}
  void data(const Json& json) {
    start();
    reply_->write("data: " + to_text(json) + "\n\n");
  }
  void event(const char* name, const Json& json) {
    start();
    reply_->write(std::string("event: ") + name + "\ndata: " + to_text(json) + "\n\n");
  }
  void end() { reply_->end(); }
  // The mark that ends OpenAI's streams.
  void done() {
    start();
    reply_->write("data: [DONE]\n\n");
    end();
  }
  bool begun() const { return reply_->begun(); }
  const ReplyPtr& reply() const { return reply_; }

 private:
  void start() {
    if (!reply_->begun())
      reply_->begin(200, "text/event-stream", {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}});
  }
  ReplyPtr reply_;
};

// The model that a request means: the path's, then the body's, then (for words that clients put there for want of a
// name, and for URLs) the server's default.
std::string model_name(const Call& call, const Fields& fields, bool required = true);

// Settings of OpenAI's dialect: its defaults, the Modelfile's parameters, then the request's fields and extensions.
OllamaSettings openai_settings(const LoadedModel& model, const Fields& fields);
// Content of a message: text, or parts of text; others are refused by name.
std::string content_text(const Json& content, const std::string& where, const std::string& model);
// Content of a message that may hold pictures: a text, or parts {"type": "text", "text"} and {"type": "image", "data":
// BASE64} (see chat_prompt). OpenAI's and Anthropic's spellings. Nothing is fetched: addresses are refused.
Json message_content(const Json& content, const std::string& where, const std::string& model);
// OpenAI's messages in the form of chat templates.
Json openai_messages(const Json& list, const std::string& model);
// GenerationConfig::format of response_format, also in the form that Hugging Face's client sends; empty without one.
std::string response_format(const Fields& fields);
// The limit of new tokens; throws ApiError when the prompt does not fit.
int64_t openai_limit(const LoadedModel& model, const OllamaSettings& settings, int64_t prompt,
                     std::optional<int64_t> wanted);

// The word of reasoning_effort and its kind: false for none, else the level. Throws for other words, and for a model
// that does not think.
Json effort_of(const std::string& effort, const char* field, const LoadedModel& model, const std::string& name);
// What think, reasoning_effort and chat_template_kwargs ask for together.
Json asked_to_think(const Fields& fields, const LoadedModel& model, const std::string& name);

struct Usage {
  int64_t prompt = 0, completion = 0, cached = 0;
  void add(const Generated& g) {
    prompt = std::max(prompt, g.prompt_tokens);
    cached = std::max(cached, g.reused_tokens);
    completion += static_cast<int64_t>(g.ids.size());
  }
  Json json() const;
};

int64_t unix_time();

// POST /v1/chat/completions and /v1/completions, wherever they are mounted.
void openai_chat(Call& call);
void openai_completions(Call& call);
void openai_embeddings(Call& call);

}  // namespace mynah::serve
