#include "serve/keys.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <ctime>

#include "base/file.h"
#include "base/require.h"
#include "store/digest.h"

namespace mynah::serve {
namespace {

constexpr std::pair<const char*, Scope> kScopes[] = {{"infer", Scope::infer}, {"manage", Scope::manage}, {"metrics", Scope::metrics}};
constexpr std::string_view kBlank = " \t\r";

// The next word of a line, which loses it.
std::string_view take_word(std::string_view* line) {
  line->remove_prefix(std::min(line->find_first_not_of(kBlank), line->size()));
  const auto word = line->substr(0, line->find_first_of(kBlank));
  line->remove_prefix(word.size());
  return word;
}

unsigned scopes_of(std::string_view list, std::string_view where) {
  unsigned scopes = 0;
  while (!list.empty()) {
    const auto word = list.substr(0, list.find(','));
    list.remove_prefix(std::min(word.size() + 1, list.size()));
    const auto* found = std::find_if(std::begin(kScopes), std::end(kScopes), [&](const auto& s) { return word == s.first; });
    if (found == std::end(kScopes)) fail(ErrorCode::usage, "{}: scope \"{}\", expected infer, manage or metrics", where, word.substr(0, 40));
    scopes |= static_cast<unsigned>(found->second);
  }
  if (scopes == 0) fail(ErrorCode::usage, "{}: scopes= names none, expected infer, manage or metrics", where);
  return scopes;
}

int64_t limit_of(std::string_view name, std::string_view value, std::string_view where) {
  int64_t n = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), n);
  if (error != std::errc() || end != value.data() + value.size() || n < 1)
    fail(ErrorCode::usage, "{}: {}={}, expected a whole number of at least 1", where, name, value.substr(0, 40));
  return n;
}

std::string day_of(std::string_view value, std::string_view where) {
  std::tm day{};
  const std::string text(value);
  const char* end = ::strptime(text.c_str(), "%Y-%m-%d", &day);
  if (!end || *end != 0 || text.size() != 10) fail(ErrorCode::usage, "{}: expires={}, expected a day as YYYY-MM-DD", where, value.substr(0, 40));
  return text;
}

int64_t day_number(KeyUse::Time now) { return std::chrono::floor<std::chrono::days>(now).time_since_epoch().count(); }

}  // namespace

const char* scope_name(Scope scope) {
  for (const auto& [name, one] : kScopes)
    if (one == scope) return name;
  return "any";
}

std::vector<std::string> ApiKey::scope_names() const {
  std::vector<std::string> names;
  for (const auto& [word, scope] : kScopes)
    if (may(scope)) names.emplace_back(word);
  return names;
}

std::string ApiKey::line() const {
  std::string text = "sha256:" + digest;
  if (!name.empty()) text += " name=" + name;
  if (scopes != kAllScopes) text += fmt::format(" scopes={}", fmt::join(scope_names(), ","));
  if (requests_per_minute > 0) text += fmt::format(" requests-per-minute={}", requests_per_minute);
  if (tokens_per_day > 0) text += fmt::format(" tokens-per-day={}", tokens_per_day);
  if (!expires.empty()) text += " expires=" + expires;
  return text;
}

std::optional<ApiKey> parse_key_line(std::string_view line, std::string_view where) {
  const std::string_view first = take_word(&line);
  if (first.empty() || first == "#") return std::nullopt;
  ApiKey key;
  if (first.starts_with("sha256:")) {
    const auto digest = store::Digest::try_parse(first);
    if (!digest) fail(ErrorCode::usage, "{}: \"sha256:\" is not followed by the 64 hexadecimal digits of a digest", where);
    key.digest = digest->hex();
  } else {
    key.digest = store::digest_of_text(first).hex();
  }
  for (std::string_view word = take_word(&line); !word.empty(); word = take_word(&line)) {
    const auto mark = word.find('=');
    const auto name = word.substr(0, mark), value = mark == std::string_view::npos ? std::string_view() : word.substr(mark + 1);
    if (name == "name" && !value.empty() && value.size() <= 64) key.name = value;
    else if (name == "scopes") key.scopes = scopes_of(value, where);
    else if (name == "requests-per-minute") key.requests_per_minute = limit_of(name, value, where);
    else if (name == "tokens-per-day") key.tokens_per_day = limit_of(name, value, where);
    else if (name == "expires") key.expires = day_of(value, where);
    else  // what stands there may be a part of a key, so it is not repeated
      fail(ErrorCode::usage, "{}: behind a key may stand name=, scopes=, requests-per-minute=, tokens-per-day= and expires=, and nothing else", where);
  }
  return key;
}

std::map<std::string, ApiKey> parse_keys(const std::string& text, const std::string& where, std::vector<std::string>* complaints) {
  std::map<std::string, ApiKey> keys;
  int number = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const auto line = std::string_view(text).substr(at, end - at);
    at = end + 1;
    try {
      if (auto key = parse_key_line(line, fmt::format("{}: line {}", where, ++number))) keys[key->digest] = std::move(*key);
    } catch (const Error& error) {
      complaints->push_back(error.what());
    }
  }
  return keys;
}

std::map<std::string, ApiKey> read_key_file(const std::string& path) {
  std::vector<std::string> complaints;
  auto keys = parse_keys(read_text_file(path, 1 << 20), path, &complaints);
  if (!complaints.empty()) fail(ErrorCode::usage, "serve: --api-key-file {}", complaints.front());
  if (keys.empty()) fail(ErrorCode::usage, "serve: --api-key-file {} holds no key, expected one a line; without keys leave the option out", path);
  return keys;
}

std::string new_key() {
  unsigned char bytes[32];
  for (size_t at = 0; at < sizeof bytes;) {
    const ssize_t n = ::getrandom(bytes + at, sizeof bytes - at, 0);
    if (n < 0) fail(ErrorCode::failure, "key: the system gives no random bytes");
    at += static_cast<size_t>(n);
  }
  std::string text = "mk-";
  for (const unsigned char b : bytes) text += fmt::format("{:02x}", b);
  return text;
}

std::string today(std::chrono::system_clock::time_point now) {
  const std::time_t time = std::chrono::system_clock::to_time_t(now);
  std::tm utc{};
  gmtime_r(&time, &utc);
  char text[16];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%d", &utc)};
}

std::optional<int> KeyUse::refuse_request(const ApiKey& key, Time now) {
  if (key.requests_per_minute == 0 && key.tokens_per_day == 0) return std::nullopt;
  std::lock_guard lock(mutex_);
  Used& used = used_[key.digest];
  if (key.tokens_per_day > 0 && used.day == day_number(now) && used.tokens >= key.tokens_per_day) {
    const auto midnight = std::chrono::floor<std::chrono::days>(now) + std::chrono::days(1);
    return 1 + static_cast<int>(std::chrono::duration_cast<std::chrono::seconds>(midnight - now).count());
  }
  if (key.requests_per_minute == 0) return std::nullopt;
  const double most = static_cast<double>(key.requests_per_minute), passed = std::max(0.0, std::chrono::duration<double>(now - used.at).count());
  const double left = std::clamp(used.requests - passed * most / 60, 0.0, most);
  if (left + 1 > most) return std::max(1, static_cast<int>(std::ceil((left + 1 - most) * 60 / most)));
  used.requests = left + 1;
  used.at = now;
  return std::nullopt;
}

void KeyUse::spend_tokens(const std::string& digest, int64_t tokens, Time now) {
  if (tokens <= 0) return;
  std::lock_guard lock(mutex_);
  Used& used = used_[digest];
  if (used.day != day_number(now)) used.tokens = 0;
  used.day = day_number(now);
  used.tokens += tokens;
}

}  // namespace mynah::serve
