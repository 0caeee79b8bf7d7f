#include "store/http.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "base/log.h"
#include "base/require.h"
#include "store/names.h"

namespace mynah::store {
namespace {

constexpr int kRedirects = 8;
constexpr size_t kErrorBody = 64u << 10;

struct CurlUrl {
  CURLU* handle = curl_url();
  ~CurlUrl() { curl_url_cleanup(handle); }
  bool set(const std::string& url) {
    return handle && curl_url_set(handle, CURLUPART_URL, url.c_str(), 0) == CURLUE_OK;
  }
  std::string part(CURLUPart which, unsigned flags = 0) const {
    char* text = nullptr;
    if (curl_url_get(handle, which, &text, flags) != CURLUE_OK) return {};
    std::string copy = text;
    curl_free(text);
    return copy;
  }
};

bool is_private(const sockaddr* address) {
  if (address->sa_family == AF_INET) {
    const uint32_t ip = ntohl(reinterpret_cast<const sockaddr_in*>(address)->sin_addr.s_addr);
    return (ip >> 24) == 0 || (ip >> 24) == 10 || (ip >> 24) == 127 || (ip >> 20) == 0xac1 || (ip >> 16) == 0xc0a8 ||
           (ip >> 16) == 0xa9fe || (ip >> 22) == (0x64400000u >> 22);
  }
  if (address->sa_family == AF_INET6) {
    const in6_addr& ip = reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(&ip)) {
      sockaddr_in inner{};
      inner.sin_family = AF_INET;
      std::memcpy(&inner.sin_addr, ip.s6_addr + 12, 4);
      return is_private(reinterpret_cast<const sockaddr*>(&inner));
    }
    return IN6_IS_ADDR_LOOPBACK(&ip) || IN6_IS_ADDR_UNSPECIFIED(&ip) || IN6_IS_ADDR_LINKLOCAL(&ip) ||
           (ip.s6_addr[0] & 0xfe) == 0xfc;
  }
  return true;
}

// What one request of a chain needs while libcurl calls back. Exceptions wait here until libcurl has returned.
struct Hop {
  HttpResponse response;
  const std::function<bool(const HttpResponse&)>* start = nullptr;
  const std::function<void(const char*, size_t)>* sink = nullptr;
  const std::function<bool()>* cancelled = nullptr;
  CURL* handle = nullptr;
  bool decided = false, to_sink = false, redirected = false, was_cancelled = false, enough = false,
       refused_address = false;
  bool* first_is_private = nullptr;
  double stall_s = 0;
  bool stalled = false;
  curl_off_t received = 0;
  std::chrono::steady_clock::time_point last_bytes = std::chrono::steady_clock::now();
  std::exception_ptr error;
};

size_t on_header(char* data, size_t, size_t size, void* context) {
  auto& hop = *static_cast<Hop*>(context);
  std::string_view line(data, size);
  if (line.starts_with("HTTP/")) {
    hop.response.headers.clear();  // a proxy's or an interim answer came before
  } else if (const auto colon = line.find(':'); colon != std::string_view::npos && hop.response.headers.size() < 200) {
    auto value = line.substr(colon + 1);
    while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
    while (!value.empty() && (value.back() == '\r' || value.back() == '\n' || value.back() == ' '))
      value.remove_suffix(1);
    hop.response.headers[lower(line.substr(0, colon))] = value;
  }
  return size;
}

void decide(Hop& hop) {
  if (hop.decided) return;
  hop.decided = true;
  curl_easy_getinfo(hop.handle, CURLINFO_RESPONSE_CODE, &hop.response.status);
  hop.to_sink = hop.start && *hop.start && (*hop.start)(hop.response);
}

size_t on_body(char* data, size_t, size_t size, void* context) {
  auto& hop = *static_cast<Hop*>(context);
  try {
    decide(hop);
    if (hop.to_sink) {
      (*hop.sink)(data, size);
      return size;
    }
    hop.response.body.append(data, std::min(size, kErrorBody - hop.response.body.size()));
    hop.enough = hop.response.body.size() == kErrorBody;
    return hop.enough ? static_cast<size_t>(CURL_WRITEFUNC_ERROR) : size;
  } catch (...) {
    hop.error = std::current_exception();
    return CURL_WRITEFUNC_ERROR;
  }
}

// Called at least once a second. libcurl's own limit works on averages and notices a stall seconds late.
int on_progress(void* context, curl_off_t, curl_off_t received, curl_off_t, curl_off_t) {
  auto& hop = *static_cast<Hop*>(context);
  const auto now = std::chrono::steady_clock::now();
  if (received != hop.received) hop.last_bytes = now;
  hop.received = received;
  hop.stalled = std::chrono::duration<double>(now - hop.last_bytes).count() > hop.stall_s;
  try {
    hop.was_cancelled = *hop.cancelled && (*hop.cancelled)();
  } catch (...) {
    hop.error = std::current_exception();
  }
  return hop.was_cancelled || hop.stalled || hop.error ? 1 : 0;
}

curl_socket_t on_socket(void* context, curlsocktype, curl_sockaddr* address) {
  auto& hop = *static_cast<Hop*>(context);
  const bool private_address = is_private(&address->addr);
  if (!hop.redirected) *hop.first_is_private = private_address;
  if (private_address && !*hop.first_is_private) {
    hop.refused_address = true;
    return CURL_SOCKET_BAD;
  }
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

const char* certificate_file() {
  for (const char* name : {"SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"})
    if (const char* value = std::getenv(name); value && *value && ::access(value, R_OK) == 0) return value;
  return nullptr;
}

std::string why(CURLcode code, const char* detail) { return detail && *detail ? detail : curl_easy_strerror(code); }

// Connected, but no handshake: a plain http server answers nonsense, or waits for a line that never comes.
bool tls_failed(CURL* curl, CURLcode code) {
  double connected = 0, handshake = 0;
  curl_easy_getinfo(curl, CURLINFO_CONNECT_TIME, &connected);
  curl_easy_getinfo(curl, CURLINFO_APPCONNECT_TIME, &handshake);
  return code == CURLE_SSL_CONNECT_ERROR || (code == CURLE_OPERATION_TIMEDOUT && connected > 0 && handshake == 0);
}

}  // namespace

struct Http::Connection {
  CURL* handle = nullptr;
  bool first_is_private = true;
  char detail[CURL_ERROR_SIZE] = {};
  Connection() {
    static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
    handle = ready == CURLE_OK ? curl_easy_init() : nullptr;
    if (!handle) fail(ErrorCode::failure, "http: libcurl cannot be initialised");
  }
  ~Connection() { curl_easy_cleanup(handle); }
};

std::string HttpResponse::header(const std::string& name) const {
  const auto it = headers.find(name);
  return it == headers.end() ? std::string() : it->second;
}

Http::Http(const Settings& settings, std::function<bool()> cancelled)
    : settings_(settings), cancelled_(std::move(cancelled)) {}
Http::~Http() = default;

void Http::require_online(const std::string& url) const {
  if (settings_.offline)
    fail(ErrorCode::network,
         "{}: not asked, because MYNAH_OFFLINE is set; unset it to use the network, or name a stored model",
         host_of(url));
}

void Http::pause(int attempt, const std::string& retry_after) {
  double seconds = settings_.backoff_s * static_cast<double>(1 << std::min(attempt - 1, 6));
  if (!retry_after.empty() && retry_after.size() < 6 &&
      retry_after.find_first_not_of("0123456789") == std::string::npos)
    seconds = std::clamp(static_cast<double>(std::stol(retry_after)), seconds, 60.0);
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (std::chrono::steady_clock::now() < end) {
    if (cancelled_ && cancelled_()) fail(ErrorCode::interrupted, "pull: interrupted");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

HttpResponse Http::hop(const HttpRequest& request, const std::string& url, bool with_token, bool redirected,
                       const std::function<bool(const HttpResponse&)>& start,
                       const std::function<void(const char*, size_t)>& sink) {
  if (!connection_) connection_ = std::make_unique<Connection>();
  CURL* const curl = connection_->handle;
  curl_easy_reset(curl);
  Hop hop;
  hop.response.url = url;
  hop.start = &start;
  hop.sink = &sink;
  hop.cancelled = &cancelled_;
  hop.handle = curl;
  hop.redirected = redirected;
  hop.stall_s = settings_.stall_s;
  hop.first_is_private = &connection_->first_is_private;
  connection_->detail[0] = 0;

  curl_slist* list = nullptr;
  for (const auto& header : request.headers) list = curl_slist_append(list, header.c_str());
  if (with_token) list = curl_slist_append(list, ("Authorization: Bearer " + request.token).c_str());
  const std::unique_ptr<curl_slist, void (*)(curl_slist*)> headers(list, curl_slist_free_all);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "mynah");
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, connection_->detail);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(request.connect_s * 1000));
  curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, 262144L);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &hop);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &hop);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &hop);
  curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, on_socket);
  curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, &hop);
  if (request.head) curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
  if (const char* file = certificate_file()) curl_easy_setopt(curl, CURLOPT_CAINFO, file);
  const std::string range = fmt::format("{}-", request.range_from);
  if (request.range_from > 0) curl_easy_setopt(curl, CURLOPT_RANGE, range.c_str());

  const CURLcode code = curl_easy_perform(curl);
  if (hop.error) std::rethrow_exception(hop.error);
  if (hop.was_cancelled) fail(ErrorCode::interrupted, "pull: interrupted");
  if (hop.refused_address)
    fail(ErrorCode::network, "{}: redirected to a private address, a public one expected", host_of(url));
  if (hop.stalled)
    throw TransportError(fmt::format("{}: silent for {:.0f} s; check the network and try again, what has come is kept",
                                     host_of(url), settings_.stall_s),
                         false);
  if (code != CURLE_OK && !hop.enough)
    throw TransportError(fmt::format("{}: {}; check the network and try again, what has come is kept", host_of(url),
                                     why(code, connection_->detail)),
                         tls_failed(curl, code));
  decide(hop);
  return std::move(hop.response);
}

HttpResponse Http::transfer(const HttpRequest& request, const std::function<bool(const HttpResponse&)>& start,
                            const std::function<void(const char*, size_t)>& sink) {
  require_online(request.url);
  std::string url = request.url;
  HttpHeaders collected;
  const auto is_redirect = [](const HttpResponse& r) {
    return (r.status == 301 || r.status == 302 || r.status == 303 || r.status == 307 || r.status == 308) &&
           !r.header("location").empty();
  };
  for (int redirects = 0; redirects <= kRedirects; ++redirects) {
    const bool with_token = !request.token.empty() && origin_of(url) == origin_of(request.url);
    auto response = hop(
        request, url, with_token, redirects > 0,
        [&](const HttpResponse& head) { return !is_redirect(head) && start && start(head); }, sink);
    collected.insert(response.headers.begin(), response.headers.end());
    response.collected = collected;
    if (!is_redirect(response)) return response;
    const std::string location = response.header("location");
    if (request.relative_redirects_only && (location.find("://") != std::string::npos || location.starts_with("//")))
      return response;
    CurlUrl next;  // a relative location is resolved against the URL set before it
    if (!next.set(url) || !next.set(location))
      fail(ErrorCode::network, "{}: redirects to something that is not a URL", host_of(url));
    const std::string target = next.part(CURLUPART_URL);
    if (origin_of(target).empty() || (url.starts_with("https:") && !target.starts_with("https:")))
      fail(ErrorCode::network, "{}: redirects away from https; such a redirect is not followed", host_of(url));
    url = target;
  }
  fail(ErrorCode::network, "{}: more than {} redirects", host_of(request.url), kRedirects);
}

HttpResponse Http::get(const HttpRequest& request, size_t limit_bytes) {
  for (int attempt = 1;; ++attempt) {
    std::string body;
    const auto take = [&](const char* data, size_t size) {
      if (body.size() + size > limit_bytes)
        fail(ErrorCode::does_not_fit, "{}: an answer of more than {} bytes", host_of(request.url), limit_bytes);
      body.append(data, size);
    };
    std::string retry_after;
    try {
      auto response = transfer(request, [](const HttpResponse& head) { return head.status < 400; }, take);
      if (response.status < 400) response.body = std::move(body);
      const bool again = response.status == 429 || (response.status >= 500 && response.status != 501);
      if (!again || attempt >= request.tries) return response;
      retry_after = response.header("retry-after");
    } catch (const TransportError& e) {
      if (attempt >= request.tries) throw;
      log_info(e.what());
    }
    pause(attempt, retry_after);
  }
}

std::string origin_of(const std::string& url) {
  CurlUrl parsed;
  if (!parsed.set(url)) return {};
  const std::string scheme = lower(parsed.part(CURLUPART_SCHEME));
  if (scheme != "http" && scheme != "https") return {};
  return scheme + "://" + lower(parsed.part(CURLUPART_HOST)) + ":" + parsed.part(CURLUPART_PORT, CURLU_DEFAULT_PORT);
}

std::string host_of(const std::string& url) {
  CurlUrl parsed;
  return parsed.set(url) ? parsed.part(CURLUPART_HOST) : "network";
}

std::string url_quote(std::string_view text, bool slash) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       std::strchr("-._~", c) || (slash && c == '/');
    if (plain && c != 0)
      out += c;
    else
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

}  // namespace mynah::store
