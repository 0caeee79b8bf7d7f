// Who may ask: API keys, the Host header (against DNS rebinding), the Origin of web pages.
#pragma once
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "serve/dialect.h"

namespace mynah::serve {

struct AccessRules {
  std::set<std::string> key_digests;  // SHA-256 of each key in hexadecimal; empty: no keys are needed
  std::vector<std::string> hosts;     // further names under which we may be addressed
  std::vector<std::string> origins;   // further origins, "*" in them stands for anything
};

// The keys of a file, one a line, CRLF allowed, as digests. Throws usage for a file without any.
std::set<std::string> read_key_file(const std::string& path);

class Access {
 public:
  explicit Access(AccessRules rules) : rules_(std::move(rules)) {}

  // Refuses (403, 401) or sets request.owner. `open`: a route that needs no key.
  std::optional<ApiError> check(Request& request, bool open) const;
  // Headers for pages of an allowed origin; of a preflight with the rest that it asks for.
  Headers origin_headers(const Request& request, bool preflight) const;
  bool needs_key() const { return !rules_.key_digests.empty(); }

  bool host_allowed(std::string_view host) const;
  bool origin_allowed(std::string_view origin, std::string_view host) const;

 private:
  AccessRules rules_;
};

bool is_loopback_name(std::string_view host);

}  // namespace mynah::serve
