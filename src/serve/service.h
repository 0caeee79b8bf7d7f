// What handlers work with, and the table of routes.
#pragma once
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "serve/access.h"
#include "serve/dialect.h"
#include "serve/fields.h"
#include "serve/http.h"
#include "serve/metrics.h"
#include "serve/models.h"
#include "serve/workers.h"

namespace mynah::serve {

constexpr size_t kKeptResponses = 512;

// Answers of POST /v1/responses that may be asked for again or gone on from, the latest ones, each for its own key.
struct StoredResponses {
  struct Entry {
    std::string id, owner;
    Json response, messages;  // the answer as sent; the conversation up to and with it
    Json input;               // the items that it answered
  };
  std::mutex mutex;
  std::list<Entry> entries;  // the latest first
};

struct Service {
  Models models;
  Access access;
  Metrics metrics;
  StoredResponses responses;
  std::string version;
  std::function<int64_t()> connections;
  Workers background{4};  // work that no request waits for; ends before the rest goes

  Service(store::Store store, const ModelsOptions& options, AccessRules rules, std::string version_text)
      : models(std::move(store), options), access(std::move(rules)), version(std::move(version_text)) {}
};

// One request on its way through a handler.
struct Call {
  Service& service;
  std::shared_ptr<Request> request;
  ReplyPtr reply;
  Dialect dialect;
  std::vector<std::string> path;  // the parts that the pattern leaves open, decoded

  Json body() const { return parse_request(request->body); }
  void send_json(const Json& json, int status = 200, Headers headers = {}) const {
    reply->send({status, "application/json", to_text(json), std::move(headers)});
  }
};

// `pattern`: "/api/blobs/{}" leaves one part open, "/v1/models/{...}" all that follows (at least one part).
struct Route {
  const char* method;
  const char* pattern;
  void (*handle)(Call&);
};

std::span<const Route> ollama_text_routes();
std::span<const Route> ollama_model_routes();
std::span<const Route> openai_routes();
std::span<const Route> responses_routes();
std::span<const Route> anthropic_routes();
std::span<const Route> audio_routes();
std::span<const Route> hugging_face_routes();
std::span<const Route> embedding_routes();
std::span<const Route> lm_studio_routes();
std::span<const Route> lm_studio_chat_routes();
std::span<const Route> general_routes();
// All of them, in the order in which they are tried.
const std::vector<Route>& all_routes();
// The OpenAPI document of these routes; one that it has no words for is left out.
Json openapi_json(std::span<const Route> routes, const std::string& version);

}  // namespace mynah::serve
