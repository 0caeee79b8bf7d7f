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
#include "serve/audit_log.h"
#include "serve/dialect.h"
#include "serve/fields.h"
#include "serve/http.h"
#include "serve/metrics.h"
#include "serve/models.h"
#include "serve/record.h"
#include "serve/request_log.h"
#include "serve/workers.h"

namespace mynah::serve {

// Answers of POST /v1/responses and /api/v1/chat that may be asked for again or gone on from, the latest ones, each for its own key.
struct StoredResponses {
  static constexpr size_t kMost = 512, kMostBytes = 256u << 20;  // of all of them: conversations may hold pictures

  struct Entry {
    std::string id, owner;
    Json response, messages;  // the answer as sent; the conversation up to and with it
    Json input;               // the items that it answered
    size_t bytes = 0;         // about what it takes
  };
  // Drops the oldest ones where there is no room for all.
  void keep(Entry entry);

  std::mutex mutex;
  std::list<Entry> entries;  // the latest first
};

struct Service {
  Access access;
  Metrics metrics;
  StoredResponses responses;
  std::unique_ptr<RequestLog> log;     // null: requests are not written down
  std::unique_ptr<AuditLog> audit;     // null: nor what is done to models
  std::unique_ptr<Recorder> recorder;  // null: nor kept with their answers
  std::string version;
  std::function<int64_t()> connections;
  Workers background{4};  // work that no request waits for
  Models models;          // last: answers under way end with it, and they use the rest

  Service(store::Store store, const ModelsOptions& options, AccessRules rules, std::string version_text)
      : access(std::move(rules)), version(std::move(version_text)), models(std::move(store), options) {}
  ~Service() { background.finish(); }  // it may load models
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;
};

// One request on its way through a handler.
struct Call {
  Service& service;
  std::shared_ptr<Request> request;
  ReplyPtr reply;
  Dialect dialect;
  std::vector<std::string> path;  // the parts that the pattern leaves open, decoded

  Json body() const { return parse_request(request->body); }
  // Says whether nobody waits for the answer any more.
  std::function<bool()> left() const {
    return [reply = reply] { return reply->gone(); };
  }
  // Models::acquire for the model that answers; it is noted for the log.
  Models::Lease acquire(const std::string& name, std::optional<std::chrono::milliseconds> keep_alive = std::nullopt) const {
    auto lease = service.models.acquire(name, keep_alive);
    note_model(name, true);
    return lease;
  }
  // `answers`: not only looked up or changed.
  void note_model(const std::string& name, bool answers = false) const {
    request->notes->change([&](RequestNotes::Values& v) {
      v.model = name.substr(0, 200);
      v.answered = answers;
    });
  }
  void send_json(const Json& json, int status = 200, Headers headers = {}) const {
    reply->send({status, "application/json", to_text(json), std::move(headers)});
  }
};

// `pattern`: "/api/blobs/{}" leaves one part open, "/v1/models/{...}" all that follows (at least one part).
struct Route {
  const char* method;
  const char* pattern;
  void (*handle)(Call&);
  Scope scope = Scope::infer;  // what it asks of an API key
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
