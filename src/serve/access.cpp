#include "serve/access.h"

#include <arpa/inet.h>
#include <unistd.h>

#include "base/file.h"
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

}  // namespace

std::set<std::string> read_key_file(const std::string& path) {
  const std::string text = read_text_file(path, 1 << 20);
  std::set<std::string> digests;
  for (size_t at = 0; at < text.size();) {
    size_t end = text.find('\n', at);
    if (end == std::string::npos) end = text.size();
    std::string line = text.substr(at, end - at);
    at = end + 1;
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ' || line.back() == '\t')) line.pop_back();
    const size_t begin = line.find_first_not_of(" \t");
    if (begin == std::string::npos) continue;
    digests.insert(store::digest_of_text(line.substr(begin)).hex());
  }
  if (digests.empty())
    fail(ErrorCode::usage,
         "serve: --api-key-file {} holds no key, expected one a line; without keys leave the option out", path);
  return digests;
}

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

std::optional<ApiError> Access::check(Request& request, bool open) const {
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
  if (rules_.key_digests.empty()) return std::nullopt;
  const std::string key = key_of(request);
  if (!key.empty()) {
    const std::string digest = store::digest_of_text(key).hex();
    bool known = false;
    for (const auto& own : rules_.key_digests) known |= same_digest(own, digest);
    if (known) {
      request.owner = digest.substr(0, 16);
      return std::nullopt;
    }
  }
  if (open) return std::nullopt;
  return ApiError(401, key.empty() ? "an API key is needed: Authorization: Bearer KEY" : "the API key is not valid");
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
