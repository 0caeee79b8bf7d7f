// API keys: what the key file says of each, and what each has used of its limits.
#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mynah::serve {

// What a route asks of a key. `any`: that it is valid.
enum class Scope : unsigned { any = 0, infer = 1, manage = 2, metrics = 4 };
constexpr unsigned kAllScopes = 7;
const char* scope_name(Scope scope);

// A line of a key file: the key, or "sha256:" and its digest in hexadecimal, then what limits it in any order:
// name=TEXT scopes=infer,manage,metrics requests-per-minute=N tokens-per-day=N expires=YYYY-MM-DD. Without scopes it has all, without a
// limit there is none. A line that begins with "# " is a comment.
struct ApiKey {
  std::string digest;  // SHA-256 of the key, 64 hexadecimal digits
  std::string name;
  unsigned scopes = kAllScopes;
  int64_t requests_per_minute = 0, tokens_per_day = 0;  // 0: no limit
  std::string expires;                                  // the last day (UTC) on which it holds; empty: it does not end

  bool may(Scope scope) const { return (scopes & static_cast<unsigned>(scope)) == static_cast<unsigned>(scope); }
  std::vector<std::string> scope_names() const;
  // The line of a key file, with the digest in place of the key.
  std::string line() const;
};

// The key of one line (without its end); nothing for an empty line or a comment. Throws usage, naming `where`, for one that cannot be meant.
std::optional<ApiKey> parse_key_line(std::string_view line, std::string_view where);
// The keys of a file's text, by digest. Lines that cannot be meant are left out and said in `complaints`.
std::map<std::string, ApiKey> parse_keys(const std::string& text, const std::string& where, std::vector<std::string>* complaints);
// Reads a key file. Throws usage for one without any key or with a line that cannot be meant.
std::map<std::string, ApiKey> read_key_file(const std::string& path);
// 256 random bits as text that begins with "mk-".
std::string new_key();
// Today in UTC, YYYY-MM-DD.
std::string today(std::chrono::system_clock::time_point now);

// What keys have used. It is forgotten when the server ends.
class KeyUse {
 public:
  using Time = std::chrono::system_clock::time_point;
  // Counts a request; if the key has no more, seconds until it has (at least 1) and nothing is counted.
  std::optional<int> refuse_request(const ApiKey& key, Time now);
  void spend_tokens(const std::string& digest, int64_t tokens, Time now);

 private:
  struct Used {
    double requests = 0;  // those of which the minute has not passed, flowing off evenly
    Time at{};
    int64_t day = 0, tokens = 0;
  };
  std::mutex mutex_;
  std::map<std::string, Used> used_;  // by digest
};

}  // namespace mynah::serve
