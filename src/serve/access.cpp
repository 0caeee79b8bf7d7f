#include "serve/access.h"

#include <arpa/inet.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/require.h"
#include "store/digest.h"
#include "store/names.h"

namespace mynah::serve {
namespace {

// "name:port" and "[v6]:port" without the port.
std::string host_name(std::string_view host) {
  if (host.starts_with('['))
    return store::lower(host.substr(1, host.find(']') == std::string_view::npos ? 0 : host.find(']') - 1));
  const auto colon = host.find(':');
  if (colon != std::string_view::npos && host.find(':', colon + 1) != std::string_view::npos)
    return store::lower(host);  // bare v6
  return store::lower(host.substr(0, colon));
}

// Loopback, private and link-local addresses: what a rebinding attack cannot put into a Host header with profit,
// because pages under a bare address have that address as their origin.
bool is_local_address(const std::string& name) {
  in_addr v4{};
  if (inet_pton(AF_INET, name.c_str(), &v4) == 1) {
    const uint32_t a = ntohl(v4.s_addr);
    return a >> 24 == 127 || a >> 24 == 10 || a >> 20 == 0xac1 || a >> 16 == 0xc0a8 || a >> 16 == 0xa9fe || a == 0;
  }
  in6_addr v6{};
  if (inet_pton(AF_INET6, name.c_str(), &v6) == 1)
    return IN6_IS_ADDR_LOOPBACK(&v6) || IN6_IS_ADDR_LINKLOCAL(&v6) || (v6.s6_addr[0] & 0xfe) == 0xfc ||
           IN6_IS_ADDR_UNSPECIFIED(&v6);
  return false;
}

std::string own_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? store::lower(name) : "";
}

bool matches(std::string_view pattern, std::string_view text) {
  const auto star = pattern.find('*');
  if (star == std::string_view::npos) return pattern == text;
  const auto before = pattern.substr(0, star), after = pattern.substr(star + 1);
  return text.size() >= before.size() + after.size() && text.starts_with(before) && text.ends_with(after);
}

// Takes as long for a wrong digest as for the right one.
bool same_digest(const std::string& a, const std::string& b) {
  unsigned difference = a.size() != b.size();
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) difference |= static_cast<unsigned>(a[i] ^ b[i]);
  return difference == 0;
}

std::string key_of(const Request& request) {
  const std::string_view header = request.header("authorization");
  const auto space = header.find(' ');
  if (space != std::string_view::npos && store::lower(header.substr(0, space)) == "bearer") {
    auto key = header.substr(space + 1);
    while (key.starts_with(' ')) key.remove_prefix(1);
    return std::string(key);
  }
  if (dialect_of(request.path) == Dialect::anthropic) return std::string(request.header("x-api-key"));
  return {};
}

// What tells that a file is another one or has been written to; empty when there is none.
std::string state_of(const std::string& path) {
  struct stat s {};
  return ::stat(path.c_str(), &s) == 0 ? fmt::format("{} {} {}.{:09}", s.st_ino, s.st_size, s.st_mtim.tv_sec, s.st_mtim.tv_nsec) : "";
}

}  // namespace

bool is_loopback_name(std::string_view host) {
  const std::string name = host_name(host);
  in_addr v4{};
  if (inet_pton(AF_INET, name.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
  return name == "localhost" || name == "::1" || name.ends_with(".localhost");
}

bool Access::host_allowed(std::string_view host) const {
  const std::string name = host_name(host);
  if (name.empty()) return false;
  if (name == "localhost" || name.ends_with(".localhost") || name.ends_with(".local") || name.ends_with(".internal"))
    return true;
  if (name == own_name() || is_local_address(name)) return true;
  for (const auto& allowed : rules_.hosts)
    if (name == host_name(allowed)) return true;
  return false;
}

bool Access::origin_allowed(std::string_view origin, std::string_view host) const {
  for (const std::string_view scheme : {"app://", "tauri://", "vscode-webview://"})
    if (origin.starts_with(scheme)) return true;
  for (const auto& allowed : rules_.origins)
    if (matches(allowed, origin)) return true;
  const auto mark = origin.find("://");
  if (mark == std::string_view::npos) return false;
  const auto scheme = origin.substr(0, mark), name = origin.substr(mark + 3);
  if (scheme != "http" && scheme != "https") return false;
  const std::string bare = host_name(name);
  return bare == "localhost" || bare == "127.0.0.1" || bare == "::1" || name == host;
}

Access::Access(AccessRules rules) : rules_(std::move(rules)), needs_key_(!rules_.keys.empty() || !rules_.key_file.empty()) {
  if (!rules_.key_file.empty()) file_state_ = state_of(rules_.key_file);
}

std::optional<ApiError> Access::check(Request& request, bool open) {
  const auto host = request.header("host");
  if (!(request.http_1_0 && host.empty()) && !host_allowed(host))
    return ApiError(403, "the Host header names another machine; give this name with MYNAH_HOSTS to allow it");
  const auto origin = request.header("origin");
  if (!origin.empty() && !origin_allowed(origin, host))
    return ApiError(403, "pages of this origin are not allowed; OLLAMA_ORIGINS adds to those that are");
  if (request.method == "OPTIONS") return std::nullopt;  // a preflight carries no key
  if (origin.empty() && request.header("sec-fetch-site") == "cross-site" && request.method != "GET" &&
      request.method != "HEAD")
    return ApiError(403, "a request from another site is not allowed");
  if (!needs_key_) return std::nullopt;
  look_at_key_file();
  const std::string given = key_of(request);
  const auto key = given.empty() ? std::nullopt : find_key(store::digest_of_text(given).hex());
  const bool expired = key && !key->expires.empty() && today(std::chrono::system_clock::now()) > key->expires;
  if (key && !expired) {
    request.key = key;
    request.owner = key->digest.substr(0, 16);
    return std::nullopt;
  }
  if (open) return std::nullopt;
  return ApiError(401, given.empty() ? "an API key is needed: Authorization: Bearer KEY" : expired ? "the API key has expired" : "the API key is not valid");
}

// Takes as long whichever key it is.
std::optional<ApiKey> Access::find_key(const std::string& digest) const {
  std::lock_guard lock(mutex_);
  const ApiKey* found = nullptr;
  for (const auto& [own, key] : rules_.keys)
    if (same_digest(own, digest)) found = &key;
  return found ? std::optional(*found) : std::nullopt;
}

// A key that is taken out of the file does not hold any longer, whatever is wrong with the rest of it.
void Access::look_at_key_file() {
  const auto now = std::chrono::steady_clock::now();
  std::lock_guard lock(mutex_);
  if (rules_.key_file.empty() || now - looked_ < std::chrono::seconds(1)) return;
  looked_ = now;
  std::string state = state_of(rules_.key_file);
  if (state == file_state_) return;
  file_state_ = std::move(state);
  std::vector<std::string> complaints;
  try {
    rules_.keys = parse_keys(read_text_file(rules_.key_file, 1 << 20), rules_.key_file, &complaints);
    info("serve: {} now holds {} keys", rules_.key_file, rules_.keys.size());
  } catch (const Error& error) {
    rules_.keys.clear();
    complaints.emplace_back(error.what());
  }
  for (const auto& complaint : complaints) warn("serve: {}", complaint);
  if (rules_.keys.empty()) warn("serve: {} holds no key any more: nobody is let in", rules_.key_file);
}

std::optional<ApiError> Access::admit(const Request& request, Scope scope) {
  if (!request.key) return std::nullopt;
  if (!request.key->may(scope)) return ApiError(403, fmt::format("this API key does not have the scope \"{}\"", scope_name(scope)));
  const auto wait = use_.refuse_request(*request.key, std::chrono::system_clock::now());
  if (!wait) return std::nullopt;
  ApiError error(429, "the limit of this API key is reached; try again later");
  error.retry_after = *wait;
  return error;
}

void Access::spend_tokens(const Request& request, int64_t tokens) {
  if (request.key && request.key->tokens_per_day > 0) use_.spend_tokens(request.key->digest, tokens, std::chrono::system_clock::now());
}

Headers Access::origin_headers(const Request& request, bool preflight) const {
  const auto origin = request.header("origin");
  if (origin.empty() || !origin_allowed(origin, request.header("host"))) return {};
  Headers headers = {{"Access-Control-Allow-Origin", std::string(origin)}, {"Vary", "Origin"}};
  if (!preflight) {
    headers.emplace_back("Access-Control-Expose-Headers", "X-Request-Id, Retry-After");
    return headers;
  }
  const auto asked = request.header("access-control-request-headers");
  headers.emplace_back("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
  headers.emplace_back("Access-Control-Allow-Headers",
                       asked.empty() ? "Authorization, Content-Type, User-Agent, Accept, X-Requested-With, X-Api-Key"
                                     : std::string(asked));
  headers.emplace_back("Access-Control-Max-Age", "86400");
  return headers;
}

}  // namespace mynah::serve
