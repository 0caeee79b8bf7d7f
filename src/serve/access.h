// Who may ask: API keys, the Host header (against DNS rebinding), the Origin of web pages.
#pragma once
#include <chrono>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serve/dialect.h"
#include "serve/keys.h"

namespace mynah::serve {

struct AccessRules {
  std::map<std::string, ApiKey> keys;  // by digest; with neither these nor a key file no keys are needed
  std::string key_file;                // looked at again when it has changed; empty: `keys` stay as they are
  std::vector<std::string> hosts;      // further names under which we may be addressed
  std::vector<std::string> origins;    // further origins, "*" in them stands for anything
};

class Access {
 public:
  using Time = std::chrono::system_clock::time_point;
  explicit Access(AccessRules rules);

  // Refuses (403, 401) or sets what the request holds of its key. `open`: a route that needs no key.
  std::optional<ApiError> check(Request& request, bool open);
  // Refuses (403, 429) what the request's key may not do; else the request is counted.
  std::optional<ApiError> admit(const Request& request, Scope scope);
  // Counts what a request has cost its key.
  void spend_tokens(const Request& request, int64_t tokens);
  // Headers for pages of an allowed origin; of a preflight with the rest that it asks for.
  Headers origin_headers(const Request& request, bool preflight) const;
  bool needs_key() const { return needs_key_; }

  bool host_allowed(std::string_view host) const;
  bool origin_allowed(std::string_view origin, std::string_view host) const;

 private:
  void look_at_key_file();
  std::optional<ApiKey> find_key(const std::string& digest) const;

  AccessRules rules_;
  const bool needs_key_;
  mutable std::mutex mutex_;  // over rules_.keys and what follows
  std::chrono::steady_clock::time_point looked_;
  std::string file_state_;
  KeyUse use_;
};

bool is_loopback_name(std::string_view host);

}  // namespace mynah::serve
