#include "serve/router.h"

#include <fmt/core.h>
#include <zlib.h>

#include <algorithm>
#include <charconv>

#include "base/log.h"
#include "base/suggest.h"
#include "serve/answer.h"
#include "serve/speech.h"

namespace mynah::serve {
namespace {

constexpr uint64_t kMediaBytes = 96u << 20;  // 64 MB in base64 and the text beside it
constexpr uint64_t kBlobBytes = uint64_t{1} << 42;

// The open parts of a path under a pattern; nothing if it does not fit.
std::optional<std::vector<std::string>> fit(std::string_view pattern, std::string_view path) {
  std::vector<std::string> parts;
  for (;;) {
    const auto want = pattern.substr(0, pattern.find('/', 1));
    if (want == "/{...}") {
      const auto decoded = percent_decode(path.substr(std::min<size_t>(1, path.size())), false);
      if (!decoded || decoded->empty()) return std::nullopt;
      parts.push_back(*decoded);
      return parts;
    }
    const auto have = path.substr(0, path.find('/', 1));
    if (want == "/{}") {
      const auto decoded = percent_decode(have.substr(std::min<size_t>(1, have.size())), false);
      if (!decoded || decoded->empty()) return std::nullopt;
      parts.push_back(*decoded);
    } else if (want != have) {
      return std::nullopt;
    }
    pattern.remove_prefix(want.size());
    path.remove_prefix(have.size());
    if (pattern.empty() || path.empty()) return pattern.empty() && path.empty() ? std::optional(parts) : std::nullopt;
  }
}

// Bodies in gzip, within 20 MB and a hundredfold of what was sent.
void unpack(Request* request) {
  const auto coding = request->header("content-encoding");
  if (coding.empty() || coding == "identity" || request->body_file >= 0) return;
  if (coding != "gzip" && coding != "x-gzip")
    throw ApiError(415, fmt::format("Content-Encoding \"{}\" is not supported, gzip is", coding.substr(0, 40)));
  const size_t limit = std::min<size_t>(20u << 20, request->body.size() * 100 + 4096);
  z_stream z{};
  if (inflateInit2(&z, 15 + 16) != Z_OK) throw ApiError(503, "there is not enough memory for this request now");
  std::string out;
  z.next_in = reinterpret_cast<Bytef*>(request->body.data());
  z.avail_in = static_cast<uInt>(request->body.size());
  int state = Z_OK;
  while (state == Z_OK && out.size() <= limit) {
    const size_t before = out.size();
    out.resize(before + (64 << 10));
    z.next_out = reinterpret_cast<Bytef*>(out.data() + before);
    z.avail_out = 64 << 10;
    state = inflate(&z, Z_NO_FLUSH);
    out.resize(out.size() - z.avail_out);
  }
  inflateEnd(&z);
  if (out.size() > limit) throw ApiError(413, "the unpacked body is too large");
  if (state != Z_STREAM_END) throw ApiError(400, "the body is not gzip");
  request->body = std::move(out);
}

// The number that all chance of a request comes from: its own, or one that a replay gives.
uint64_t seed_of(const Request& request) {
  uint64_t seed = random_seed();
  if (const auto given = request.header(kSeedHeader); !given.empty()) {
    const auto [end, error] = std::from_chars(given.data(), given.data() + given.size(), seed);
    if (error != std::errc() || end != given.data() + given.size())
      throw ApiError(400, fmt::format("{} must be a whole number of at most 64 bits", kSeedHeader));
  }
  request.notes->change([&](RequestNotes::Values& v) { v.seed = seed; });
  return seed;
}

// ", did you mean /v1/chat/completions?" where a path is nearly one.
std::string near_path(const std::string& path) {
  std::vector<std::string> patterns;
  for (const Route& route : all_routes())
    if (std::string_view(route.pattern).find('{') == std::string_view::npos) patterns.emplace_back(route.pattern);
  return path.size() <= 80 && path.size() > 3 ? did_you_mean(path, patterns) : "";
}

}  // namespace

const std::vector<Route>& all_routes() {
  static const std::vector<Route> all = [] {
    std::vector<Route> out;
    for (const auto routes : {general_routes(), ollama_text_routes(), ollama_model_routes(), openai_routes(),
                              responses_routes(), anthropic_routes(), speech_routes(), audio_routes(), lm_studio_routes(),
                              lm_studio_chat_routes(), embedding_routes(), hugging_face_routes()})
      out.insert(out.end(), routes.begin(), routes.end());
    return out;
  }();
  return all;
}

Router::Router(Service& service) : service_(service) {}

Router::Match Router::match(const Request& request) const {
  Match result;
  std::string_view path = request.path;
  if (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  const std::string_view method = request.method == "HEAD" ? "GET" : std::string_view(request.method);
  for (const Route& route : all_routes()) {
    auto parts = fit(route.pattern, path);
    if (!parts) continue;
    if (route.method == method || request.method == route.method) {
      result.route = &route;
      result.parts = std::move(*parts);
      return result;
    }
    if (result.allowed.find(route.method) == std::string::npos)
      result.allowed += (result.allowed.empty() ? "" : ", ") + std::string(route.method);
  }
  return result;
}

std::optional<Answer> Router::check(Request& request) {
  const Dialect dialect = dialect_of(request.path);
  const bool open = request.path == "/health";
  if (const auto refused = service_.access.check(request, open)) return error_answer(dialect, *refused);
  if (request.method == "OPTIONS") return Answer{204, "", "", service_.access.origin_headers(request, true)};
  const Match found = match(request);
  if (found.route) {
    const auto refused = service_.access.admit(request, found.route->scope);
    return refused ? std::optional(error_answer(dialect, *refused)) : std::nullopt;
  }
  if (found.allowed.empty()) return error_answer(dialect, ApiError(404, "there is nothing at this path" + near_path(request.path)));
  Answer answer = error_answer(dialect, ApiError(405, "this path takes " + found.allowed));
  answer.headers.emplace_back("Allow", found.allowed);
  return answer;
}

BodyRule Router::body_rule(const Request& request) {
  if (request.path.starts_with("/api/blobs/")) return {kBlobBytes, true};
  return {kMediaBytes, false};
}

void Router::handle(std::shared_ptr<Request> request, ReplyPtr reply) {
  const Dialect dialect = dialect_of(request->path);
  if (service_.recorder) reply = service_.recorder->watch(request, std::move(reply));
  const ReplyPtr kept = reply;
  try {
    Match found = match(*request);
    if (!found.route) throw ApiError(404, "there is nothing at this path");
    unpack(request.get());
    const SeedScope chance(seed_of(*request));
    Call call{service_, request, std::move(reply), dialect, std::move(found.parts)};
    found.route->handle(call);
  } catch (...) {
    const ApiError error = as_api_error(std::current_exception());
    if (error.status >= 500 && error.status != 503) warn("serve: {} {}: {}", request->id, error.status, error.what());
    if (!kept->begun()) kept->send(error_answer(dialect, error));
  }
}

Answer Router::refuse(const std::string& path, int status, const std::string& reason) {
  ApiError error(status, reason);
  if (status == 503) error.retry_after = 1;
  return error_answer(path.empty() ? Dialect::plain : dialect_of(path), error);
}

Headers Router::common_headers(const Request& request) {
  Headers headers = request.method == "OPTIONS" ? Headers{} : service_.access.origin_headers(request, false);
  headers.emplace_back("X-Request-Id", request.id);
  if (dialect_of(request.path) == Dialect::anthropic) headers.emplace_back("request-id", request.id);
  return headers;
}

namespace {

// Which key it was: the beginning of its digest, and its name.
void note_key(const Request& request, Json* entry) {
  if (!request.key) return;
  (*entry)["key"] = request.owner.substr(0, 8);
  if (!request.key->name.empty()) (*entry)["key_name"] = request.key->name;
}

// What stands in the record of changes: who asked for what, and whether it was done.
Json audit_entry(const Request& request, const std::string& route, int status) {
  const RequestNotes::Values notes = request.notes->values();
  Json entry = {{"time", utc_time(std::chrono::system_clock::now())}, {"id", request.id}, {"peer", request.peer}};
  note_key(request, &entry);
  entry["method"] = request.method;
  entry["route"] = route;
  if (!notes.model.empty()) entry["model"] = notes.model;
  entry["status"] = status;
  entry["done"] = status < 400 && !notes.failed;
  return entry;
}

// What the log says of a request: the pattern of its path, never its text.
Json log_entry(const Request& request, const char* method, const std::string& route, int status, double seconds) {
  const RequestNotes::Values notes = request.notes->values();
  Json entry = {{"time", utc_time(std::chrono::system_clock::now())},
                {"id", request.id},
                {"peer", request.peer},
                {"method", method},
                {"route", route},
                {"status", status},
                {"seconds", seconds}};
  note_key(request, &entry);
  if (!notes.model.empty()) entry["model"] = notes.model;
  if (notes.prompt_tokens > 0) {
    entry["prompt_tokens"] = notes.prompt_tokens;
    entry["reused_tokens"] = notes.reused_tokens;
    entry["generated_tokens"] = notes.generated_tokens;
    entry["queue_seconds"] = notes.queue_seconds;
    entry["first_token_seconds"] = notes.first_token_seconds;
  }
  if (request.left) entry["client_left"] = true;
  return entry;
}

}  // namespace

void Router::finished(const Request& request, int status, double seconds) {
  const Match found = match(request);
  const std::string route = found.route ? found.route->pattern : "other";
  service_.metrics.request(route, status, seconds);
  const char* method = found.route || !found.allowed.empty() ? request.method.c_str() : "?";
  const RequestNotes::Values notes = request.notes->values();
  service_.access.spend_tokens(request, notes.prompt_tokens + notes.generated_tokens);
  // Without a key that holds, nobody fills the disk with refusals.
  if (service_.audit && found.route && found.route->scope == Scope::manage && status != 401 && request.method != "HEAD")
    service_.audit->write(audit_entry(request, route, status));
  if (service_.log) service_.log->write(log_entry(request, method, route, status, seconds));
  info("serve: {} {} {} {} {:.3f} s", request.id, method, route, status, seconds);
}

}  // namespace mynah::serve
