#include "text/pattern.h"

#include <oniguruma.h>

#include <ctime>
#include <mutex>

#include "base/require.h"
#include "base/unicode.h"
#include "mynah/json.h"
#include "text/json_fields.h"
#include "text/pieces.h"

namespace mynah::text {
namespace {

const OnigUChar* bytes(const char* p) { return reinterpret_cast<const OnigUChar*>(p); }

std::string reason(int code, const OnigErrorInfo* info = nullptr) {
  OnigUChar buffer[ONIG_MAX_ERROR_MESSAGE_LEN];
  const int size = info ? onig_error_code_to_str(buffer, code, info) : onig_error_code_to_str(buffer, code);
  return shown({reinterpret_cast<const char*>(buffer), static_cast<size_t>(size)});
}

void initialise_library() {
  static std::once_flag once;
  std::call_once(once, [] {
    OnigEncoding encodings[] = {ONIG_ENCODING_UTF8};
    onig_initialize(encodings, 1);
  });
}

// Processor time that all searches of one text may take together: a floor and a speed far below any honest pattern's.
class TimeBudget {
 public:
  explicit TimeBudget(size_t text_bytes) : end_(seconds() + 1.0 + static_cast<double>(text_bytes) / kBytesPerSecond) {}
  bool spent() {
    constexpr unsigned kSearchesBetweenLooks = 64;
    return ++searches_ % kSearchesBetweenLooks == 0 && seconds() > end_;
  }

 private:
  static constexpr double kBytesPerSecond = 50'000;
  static double seconds() {
    timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  }
  double end_;
  unsigned searches_ = 0;
};

struct RegionOwner {
  OnigRegion* region = onig_region_new();
  OnigMatchParam* limits = onig_new_match_param();
  RegionOwner() {
    // Steps of backtracking at one position and in one search; depth of the backtracking stack. Honest patterns need a
    // few dozen. A hostile one costs a fraction of a second, then an error.
    constexpr unsigned long kStepsPerMatch = 1'000'000, kStepsPerSearch = 5'000'000;
    constexpr unsigned int kStackDepth = 1'000'000;
    onig_initialize_match_param(limits);
    onig_set_retry_limit_in_match_of_match_param(limits, kStepsPerMatch);
    onig_set_retry_limit_in_search_of_match_param(limits, kStepsPerSearch);
    onig_set_match_stack_limit_size_of_match_param(limits, kStackDepth);
  }
  ~RegionOwner() {
    onig_region_free(region, 1);
    onig_free_match_param(limits);
  }
  RegionOwner(const RegionOwner&) = delete;
  RegionOwner& operator=(const RegionOwner&) = delete;
};

}  // namespace

struct Pattern::Regex {
  explicit Regex(const std::string& expression) {
    constexpr size_t kLongest = 1 << 16;
    require(expression.size() <= kLongest, "tokenizer: a regular expression of {} bytes; at most {} are allowed",
            expression.size(), kLongest);
    initialise_library();
    OnigErrorInfo info;
    const int code = onig_new(&compiled, bytes(expression.data()), bytes(expression.data() + expression.size()),
                              ONIG_OPTION_NONE, ONIG_ENCODING_UTF8, ONIG_SYNTAX_RUBY, &info);
    if (code != ONIG_NORMAL) {
      if (compiled) onig_free(compiled);
      fail(ErrorCode::integrity, "tokenizer: regular expression '{}': {}", shown(expression), reason(code, &info));
    }
  }
  ~Regex() { onig_free(compiled); }
  Regex(const Regex&) = delete;
  Regex& operator=(const Regex&) = delete;

  regex_t* compiled = nullptr;
};

Pattern Pattern::literal(std::string text) {
  Pattern pattern;
  pattern.text_ = std::move(text);
  return pattern;
}

Pattern Pattern::regex(const std::string& expression) {
  Pattern pattern;
  pattern.text_ = expression;
  pattern.scanner_ = known_scanner(expression);
  pattern.class_ = known_class(expression);
  if (!pattern.scanner_ && !pattern.class_) pattern.regex_ = std::make_shared<const Regex>(expression);
  return pattern;
}

Pattern Pattern::from_json(const Json& json) {
  if (json.is_string()) return literal(json.get<std::string>());
  if (json.is_object() && json.size() == 1) {
    const auto& value = json.begin().value();
    if (value.is_string() && json.begin().key() == "String") return literal(value.get<std::string>());
    if (value.is_string() && json.begin().key() == "Regex") return regex(value.get<std::string>());
  }
  fail(ErrorCode::integrity, "tokenizer: a pattern is neither {{\"String\": text}} nor {{\"Regex\": expression}}");
}

void Pattern::each_match(std::string_view text, const std::function<void(size_t, size_t)>& found) const {
  if (text.empty()) return;  // not even an empty match, as in the reference
  if (scanner_) {
    for (size_t at = 0; at < text.size();) {
      const size_t end = scanner_(text, at);
      found(at, end);
      at = end;
    }
    return;
  }
  if (class_) {
    each_character(text, 0, text.size(), [&](char32_t code, size_t at, uint32_t size) {
      if (class_(code)) found(at, at + size);
    });
    return;
  }
  if (!regex_) {
    if (text_.empty()) return;
    for (size_t at = text.find(text_); at != std::string_view::npos; at = text.find(text_, at + text_.size()))
      found(at, at + text_.size());
    return;
  }
  RegionOwner owner;
  const OnigUChar *begin = bytes(text.data()), *end = begin + text.size();
  TimeBudget budget(text.size());
  size_t from = 0, last_end = std::string_view::npos;
  while (from <= text.size()) {
    if (budget.spent())
      fail(ErrorCode::failure,
           "tokenizer: regular expression '{}' on a text of {} bytes takes too long; use another tokenizer",
           shown(text_), text.size());
    onig_region_clear(owner.region);
    const int position = onig_search_with_param(regex_->compiled, begin, end, begin + from, end, owner.region,
                                                ONIG_OPTION_NONE, owner.limits);
    if (position == ONIG_MISMATCH) return;
    if (position < 0)
      fail(ErrorCode::failure, "tokenizer: regular expression '{}' on a text of {} bytes: {}; use another tokenizer",
           shown(text_), text.size(), reason(position));
    const auto match_begin = static_cast<size_t>(owner.region->beg[0]),
               match_end = static_cast<size_t>(owner.region->end[0]);
    if (match_begin == match_end && match_end == last_end) {  // an empty match right behind the last one is none
      uint32_t size = 1;
      if (from < text.size()) unicode::decode_valid(text.data() + from, size);
      from += size;
      continue;
    }
    from = last_end = match_end;
    found(match_begin, match_end);
  }
}

std::vector<Match> Pattern::matches(std::string_view text) const {
  std::vector<Match> all;
  size_t last = 0;
  each_match(text, [&](size_t begin, size_t end) {
    if (begin > last) all.push_back({last, begin, false});
    all.push_back({begin, end, true});
    last = end;
  });
  if (last < text.size()) all.push_back({last, text.size(), false});
  return all;
}

}  // namespace mynah::text
