#include "remote.h"

#include <curl/curl.h>

#include <cstdlib>
#include <memory>

#include "base/require.h"
#include "mynah/json.h"
#include "serve/serve.h"

namespace mynah::app {
namespace {

// Takes the body; with `line`, whole lines of it as they come.
struct Receiver {
  CURL* curl;
  std::string body;
  const std::function<bool(const Json&)>* line;
  std::exception_ptr error;
  bool stopped = false;

  void take_lines() {
    for (size_t at; !stopped && (at = body.find('\n')) != std::string::npos;) {
      const std::string text = body.substr(0, at);
      body.erase(0, at + 1);
      stopped = !(*line)(parse_json(text, "server"));
    }
  }
};

size_t receive(char* data, size_t size, size_t count, void* to) {
  Receiver& r = *static_cast<Receiver*>(to);
  r.body.append(data, size * count);
  long status = 0;
  curl_easy_getinfo(r.curl, CURLINFO_RESPONSE_CODE, &status);
  if (!r.line || status >= 400) return size * count;
  try {
    r.take_lines();
  } catch (...) {
    r.error = std::current_exception();
  }
  return r.error || r.stopped ? 0 : size * count;
}

constexpr const char* kJsonType = "Content-Type: application/json";

[[noreturn]] void fail_with(long status, const std::string& body) {
  std::string message = body;
  try {
    const Json json = parse_json(body, "server");
    if (json.is_object() && json.contains("error") && json["error"].is_string()) message = json["error"].get<std::string>();
  } catch (const Error&) {
  }
  const ErrorCode code = status == 404 ? ErrorCode::not_found : status == 401 || status == 403 ? ErrorCode::auth : status == 429 || status == 503 ? ErrorCode::busy : status == 507 ? ErrorCode::does_not_fit : ErrorCode::failure;
  fail(code, "server: {}{}", message, status == 401 && !std::getenv("MYNAH_API_KEY") ? "; give it in MYNAH_API_KEY" : "");
}

}  // namespace

Remote::Remote(const std::string& url) {
  const char* given = std::getenv("OLLAMA_HOST");
  const auto parsed = serve::parse_host(!url.empty() ? url : given ? given : "");
  std::string host = parsed.host == "0.0.0.0" || parsed.host == "::" ? "127.0.0.1" : parsed.host;
  if (host.find(':') != std::string::npos) host = "[" + host + "]";
  url_ = fmt::format("{}://{}:{}", parsed.scheme, host, parsed.port);
}

Remote::Answer Remote::perform(const std::string& method, const std::string& path, const std::vector<std::string>& lines, const std::string* body,
                               const std::function<bool(const Json&)>* line) const {
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(), curl_easy_cleanup);
  Receiver received{curl.get(), {}, line, nullptr};
  const std::string url = url_ + path;
  curl_slist* headers = curl_slist_append(nullptr, "Expect:");  // bodies go at once
  for (const std::string& one : lines) headers = curl_slist_append(headers, one.c_str());
  if (const char* key = std::getenv("MYNAH_API_KEY")) headers = curl_slist_append(headers, (std::string("Authorization: Bearer ") + key).c_str());
  const std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> kept(headers, curl_slist_free_all);
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_CUSTOMREQUEST, method.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl.get(), CURLOPT_CONNECTTIMEOUT, 10L);
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  if (body) {
    curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body->size()));
    curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDS, body->data());
  }
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, receive);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &received);
  const CURLcode result = curl_easy_perform(curl.get());
  if (received.error) std::rethrow_exception(received.error);
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  if (result != CURLE_OK && !received.stopped) fail(ErrorCode::network, "server: {} does not answer: {}; is \"mynah serve\" running?", url_, curl_easy_strerror(result));
  const char* type = nullptr;
  curl_easy_getinfo(curl.get(), CURLINFO_CONTENT_TYPE, &type);
  return {static_cast<int>(status), type ? type : "", std::move(received.body)};
}

Json Remote::call(const std::string& method, const std::string& path, const Json& body) const {
  const std::string text = body.is_null() ? "" : body.dump();
  const Answer answer = perform(method, path, {kJsonType}, body.is_null() ? nullptr : &text, nullptr);
  if (answer.status >= 400) fail_with(answer.status, answer.body);
  return answer.body.empty() ? Json() : parse_json(answer.body, "server");
}

void Remote::stream(const std::string& path, const Json& body, const std::function<bool(const Json&)>& line) const {
  const std::string text = body.dump();
  const Answer answer = perform("POST", path, {kJsonType}, &text, &line);
  if (answer.status >= 400) fail_with(answer.status, answer.body);
}

Remote::Answer Remote::ask(const std::string& method, const std::string& path, const std::vector<std::string>& headers, const std::string* body) const {
  return perform(method, path, headers, body, nullptr);
}

}  // namespace mynah::app
