#include "endpoint.h"

#include <curl/curl.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <thread>

#include "base/json.h"
#include "base/require.h"
#include "store/http.h"
#include "store/store.h"

namespace mynah::app {
namespace {

constexpr int kTries = 5;

struct Received {
  CURL* curl = nullptr;
  std::string body, retry_after;
  const std::function<bool(const Json&)>* event = nullptr;
  std::exception_ptr error;
  bool stopped = false, told = false;

  void take_events() {
    for (size_t at; !stopped && (at = body.find('\n')) != std::string::npos;) {
      std::string line = body.substr(0, at);
      body.erase(0, at + 1);
      if (line.ends_with('\r')) line.pop_back();
      if (!line.starts_with("data:")) continue;
      line.erase(0, line.find_first_not_of(' ', 5) == std::string::npos ? line.size() : line.find_first_not_of(' ', 5));
      if (line.empty() || line == "[DONE]") continue;
      told = true;
      stopped = !(*event)(parse_json(line, "server"));
    }
  }
};

size_t take_body(char* data, size_t size, size_t count, void* to) {
  Received& r = *static_cast<Received*>(to);
  r.body.append(data, size * count);
  if (r.body.size() > (256u << 20)) return 0;
  long status = 0;
  curl_easy_getinfo(r.curl, CURLINFO_RESPONSE_CODE, &status);
  if (!*r.event || status >= 400) return size * count;
  try {
    r.take_events();
  } catch (...) {
    r.error = std::current_exception();
  }
  return r.error || r.stopped ? 0 : size * count;
}

size_t take_header(char* data, size_t size, size_t count, void* to) {
  const std::string line(data, size * count);
  std::string name = line.substr(0, line.find(':'));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (name == "retry-after") static_cast<Received*>(to)->retry_after = line.substr(line.find(':') + 1);
  return size * count;
}

std::string message_of(const std::string& body) {
  const Json json = Json::parse(body, nullptr, false);
  if (json.is_object() && json.contains("error")) {
    const Json& error = json["error"];
    if (error.is_string()) return error.get<std::string>();
    if (error.is_object() && error.contains("message") && error["message"].is_string())
      return error["message"].get<std::string>();
    return error.dump();
  }
  std::string text = body.substr(0, 200);
  std::replace_if(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
  return text;
}

std::string trimmed_url(std::string url) {
  while (url.ends_with('/')) url.pop_back();
  if (store::origin_of(url).empty())
    fail(ErrorCode::usage, "--endpoint: \"{}\", expected http://... or https://...", url);
  return url;
}

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

std::string router() {
  const std::string own = variable("HF_INFERENCE_ENDPOINT");
  return own.empty() ? "https://router.huggingface.co" : trimmed_url(own);
}

// One try.
long exchange(const Endpoint& endpoint, const std::string& text, Received* received) {
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(), curl_easy_cleanup);
  if (!curl) fail(ErrorCode::failure, "libcurl cannot be initialised");
  received->curl = curl.get();
  curl_slist* list = curl_slist_append(nullptr, "Content-Type: application/json");
  if (!endpoint.token.empty()) list = curl_slist_append(list, ("Authorization: Bearer " + endpoint.token).c_str());
  const std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers(list, curl_slist_free_all);
  curl_easy_setopt(curl.get(), CURLOPT_URL, endpoint.url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, list);
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_USERAGENT, "mynah");
  curl_easy_setopt(curl.get(), CURLOPT_CONNECTTIMEOUT, 10L);
  curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(text.size()));
  curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDS, text.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, take_body);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, received);
  curl_easy_setopt(curl.get(), CURLOPT_HEADERFUNCTION, take_header);
  curl_easy_setopt(curl.get(), CURLOPT_HEADERDATA, received);
  const CURLcode result = curl_easy_perform(curl.get());
  if (received->error) std::rethrow_exception(received->error);
  if (result != CURLE_OK && !received->stopped)
    fail(ErrorCode::network, "{}: {}; check the address and the network", store::host_of(endpoint.url),
         curl_easy_strerror(result));
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  return status;
}

}  // namespace

std::string hosted_name(const std::string& model) { return model.starts_with("hf:") ? model.substr(3) : ""; }

Endpoint chat_endpoint(const std::string& model, const std::string& endpoint) {
  if (const std::string hosted = hosted_name(model); !hosted.empty() && endpoint.empty())
    return {router() + "/v1/chat/completions", hosted, store::Settings::from_environment().hub_token};
  std::string url = trimmed_url(endpoint);
  if (!url.ends_with("/chat/completions")) url += url.ends_with("/v1") ? "/chat/completions" : "/v1/chat/completions";
  return {url, model, variable("MYNAH_API_KEY")};
}

Endpoint task_endpoint(const std::string& model, const std::string& task, const std::string& endpoint) {
  const std::string hosted = hosted_name(model);
  const std::string path =
      "/models/" + store::url_quote(hosted.empty() ? model : hosted) + "/pipeline/" + store::url_quote(task);
  if (!hosted.empty() && endpoint.empty())
    return {router() + "/hf-inference" + path, hosted, store::Settings::from_environment().hub_token};
  return {trimmed_url(endpoint) + path, model, variable("MYNAH_API_KEY")};
}

std::string post(const Endpoint& endpoint, const Json& body, const std::function<bool(const Json&)>& event) {
  if (store::Settings::from_environment().offline)
    fail(ErrorCode::network, "{}: not asked, because MYNAH_OFFLINE is set; unset it to use the network",
         store::host_of(endpoint.url));
  const std::string text = to_text(body);
  for (int attempt = 1;; ++attempt) {
    Received received;
    received.event = &event;
    const long status = exchange(endpoint, text, &received);
    if (status < 400) return received.body;
    const std::string where = store::host_of(endpoint.url), message = message_of(received.body);
    if (status == 429 || status == 503) {
      if (attempt >= kTries) fail(ErrorCode::busy, "{}: {}", where, message);
      const double asked = std::strtod(received.retry_after.c_str(), nullptr),
                   own = 0.5 * static_cast<double>(1 << attempt);
      std::this_thread::sleep_for(std::chrono::duration<double>(std::clamp(std::max(asked, own), 0.0, 60.0)));
      continue;
    }
    const ErrorCode code = status == 401 || status == 403 ? ErrorCode::auth
                           : status == 404                ? ErrorCode::not_found
                           : status == 507                ? ErrorCode::does_not_fit
                                                          : ErrorCode::failure;
    fail(code, "{}: {}{}", where, message,
         status == 401 && endpoint.token.empty() ? "; set HF_TOKEN (hf:) or MYNAH_API_KEY (--endpoint)" : "");
  }
}

}  // namespace mynah::app
