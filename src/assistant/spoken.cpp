#include "assistant/spoken.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/unicode.h"

namespace mynah::assistant {
namespace {

constexpr std::array<std::string_view, 20> kSmall = {"zero",   "one",     "two",     "three",     "four",     "five",    "six",
                                                     "seven",  "eight",   "nine",    "ten",       "eleven",   "twelve",  "thirteen",
                                                     "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"};
constexpr std::array<std::string_view, 8> kTens = {"twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"};

std::optional<double> small_number(std::string_view word) {
  const auto small = std::find(kSmall.begin(), kSmall.end(), word);
  if (small != kSmall.end()) return static_cast<double>(small - kSmall.begin());
  const auto tens = std::find(kTens.begin(), kTens.end(), word);
  if (tens != kTens.end()) return 10.0 * static_cast<double>(tens - kTens.begin() + 2);
  return std::nullopt;
}

double scale_of(std::string_view word) {
  if (word == "hundred") return 1e2;
  if (word == "thousand") return 1e3;
  if (word == "million") return 1e6;
  if (word == "billion") return 1e9;
  return 0;
}

// "1,234.5"; commas count only between groups of three digits.
std::optional<double> written_number(std::string_view word) {
  std::string digits;
  for (size_t i = 0; i < word.size(); ++i) {
    if (word[i] == ',') {
      size_t group = 0;
      while (i + 1 + group < word.size() && std::isdigit(static_cast<unsigned char>(word[i + 1 + group]))) ++group;
      if (digits.empty() || group != 3) return std::nullopt;
    } else if (std::isdigit(static_cast<unsigned char>(word[i])) || word[i] == '.') {
      digits += word[i];
    } else {
      return std::nullopt;
    }
  }
  double value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size() || digits.front() == '.') return std::nullopt;
  return value;
}

std::string_view word_at(std::span<const std::string> words, size_t at) { return at < words.size() ? std::string_view(words[at]) : std::string_view(); }

// Seconds of a unit of time.
double unit_seconds(std::string_view word) {
  if (word == "second" || word == "seconds" || word == "sec" || word == "secs") return 1;
  if (word == "minute" || word == "minutes" || word == "min" || word == "mins") return 60;
  if (word == "hour" || word == "hours") return 3600;
  if (word == "day" || word == "days") return 86400;
  return 0;
}

// One amount of one unit.
std::optional<double> read_amount(std::span<const std::string> words, size_t* at) {
  size_t i = *at;
  double amount = 0;
  if (word_at(words, i) == "half" && (word_at(words, i + 1) == "a" || word_at(words, i + 1) == "an")) {
    amount = 0.5;
    i += 2;
  } else if (const size_t article = word_at(words, i) == "a" ? 1 : 0;
             word_at(words, i + article) == "quarter" && word_at(words, i + article + 1) == "of" && word_at(words, i + article + 2) == "an") {
    amount = 0.25;
    i += article + 3;
  } else if (word_at(words, i) == "a" || word_at(words, i) == "an") {
    amount = 1;
    ++i;
  } else if (const auto number = read_number(words, &i)) {
    amount = *number;
    if (word_at(words, i) == "and" && word_at(words, i + 1) == "a" && word_at(words, i + 2) == "half") {
      amount += 0.5;
      i += 3;
    }
  } else {
    return std::nullopt;
  }
  const double unit = unit_seconds(word_at(words, i));
  if (unit == 0) return std::nullopt;
  ++i;
  if (word_at(words, i) == "and" && word_at(words, i + 1) == "a" && word_at(words, i + 2) == "half") {
    amount += 0.5;
    i += 3;
  }
  *at = i;
  return amount * unit;
}

}  // namespace

std::vector<SpokenWord> spoken_words_in(std::string_view text, size_t most) {
  std::vector<SpokenWord> words;
  SpokenWord word;
  const auto put = [&](std::string what, size_t begin, size_t end) { words.push_back({std::move(what), begin, end}); };
  const auto end_word = [&] {
    while (!word.text.empty() && (word.text.back() == '.' || word.text.back() == ',' || word.text.back() == '\'')) {
      word.text.pop_back();
      --word.end;
    }
    if (!word.text.empty()) words.push_back(word);
    word = {};
  };
  const auto is_digit = [&](size_t at) { return at < text.size() && std::isdigit(static_cast<unsigned char>(text[at])); };
  for (size_t at = 0; at < text.size() && words.size() < most;) {
    const unicode::Decoded d = unicode::decode_any(text, at);
    const size_t begin = at, next = at + d.size;
    at = next;
    const bool digit_before = !word.text.empty() && std::isdigit(static_cast<unsigned char>(word.text.back()));
    if (d.code == U'\u2019' || d.code == '\'') {
      if (word.text.empty()) continue;
      word.text += '\'';
      word.end = begin + 1;
    } else if ((d.code == '.' || d.code == ',') && digit_before && is_digit(next)) {
      word.text += static_cast<char>(d.code);
      word.end = next;
    } else if (unicode::is_word(d.code)) {
      // A number ends where letters begin, and "5x3" are three words.
      const bool number = unicode::is_number(d.code);
      if ((digit_before && !number) || (word.text == "x" && number)) end_word();
      if (word.text.empty()) word.begin = begin;
      std::array<char32_t, 2> lower;
      const int count = unicode::to_lower(d.code, lower);
      for (int i = 0; i < count; ++i) unicode::append(word.text, lower[static_cast<size_t>(i)]);
      word.end = next;
    } else {
      const bool joins = !word.text.empty() && !is_digit(next) && next < text.size() && text[next] != ' ';
      end_word();
      // A dash joins words; between numbers or by itself it is a minus.
      if ((d.code == '-' || d.code == U'\u2212') && !joins) put("-", begin, next);
      if (d.code == '%') put("percent", begin, next);
      if (d.code == U'\u00D7') put("*", begin, next);
      if (d.code == U'\u00F7') put("/", begin, next);
      if (d.code < 0x80 && std::string_view("+*/^()=").find(static_cast<char>(d.code)) != std::string_view::npos) put(std::string(1, static_cast<char>(d.code)), begin, next);
    }
  }
  end_word();
  if (words.size() > most) words.resize(most);
  return words;
}

std::vector<std::string> spoken_words(std::string_view text, size_t most) {
  std::vector<std::string> out;
  for (SpokenWord& w : spoken_words_in(text, most)) out.push_back(std::move(w.text));
  return out;
}

std::optional<double> read_number(std::span<const std::string> words, size_t* at) {
  size_t i = *at;
  double total = 0, group = 0;  // group: below the last thousand, million or billion
  bool any = false, written = false;
  for (; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (const double scale = scale_of(word); scale > 0) {
      if (!any) group = 1;
      if (scale == 1e2) {
        group *= scale;
      } else {
        total += group * scale;
        group = 0;
      }
      any = true;
      written = false;
    } else if (const auto small = small_number(word)) {
      // "twenty five", "hundred five"; "two three" are two numbers.
      const double place = *small < 10 ? 10 : 100;
      if (any && (written || std::fmod(group, place) != 0 || (*small == 0))) break;
      if (any && group != 0 && *small < 10 && std::fmod(group, 100) == 10) break;  // "ten five"
      group += *small;
      any = true;
    } else if (const auto number = written_number(word)) {
      if (any && (written || std::fmod(group, 1000) != 0 || group + total == 0)) break;
      group += *number;
      any = written = true;
    } else if (word == "and" && any && i > *at && scale_of(words[i - 1]) > 0 && i + 1 < words.size() && (small_number(words[i + 1]) || written_number(words[i + 1]))) {
      continue;
    } else if ((word == "a") && !any && scale_of(word_at(words, i + 1)) > 0) {
      continue;  // "a hundred"
    } else if (word == "point" && any && !written && small_number(word_at(words, i + 1))) {
      double place = 0.1;
      for (++i; i < words.size(); ++i) {
        const auto digit = small_number(words[i]);
        if (!digit || *digit > 9) break;
        group += *digit * place;
        place /= 10;
      }
      break;
    } else {
      break;
    }
  }
  if (!any) return std::nullopt;
  *at = i;
  return total + group;
}

std::optional<double> read_duration(std::span<const std::string> words, size_t* at) {
  size_t i = *at;
  const auto first = read_amount(words, &i);
  if (!first) return std::nullopt;
  double total = *first;
  for (;;) {
    size_t next = i + (word_at(words, i) == "and" ? 1 : 0);
    const auto more = read_amount(words, &next);
    if (!more) break;
    total += *more;
    i = next;
  }
  *at = i;
  return total;
}

std::string number_text(double value) {
  if (value == 0) return "0";
  if (std::abs(value) >= 1e15 || std::abs(value) < 1e-6) return fmt::format("{:.10g}", value);
  // Ten digits that count, without an exponent.
  const int whole = std::max(0, static_cast<int>(std::floor(std::log10(std::abs(value)))) + 1);
  std::string text = fmt::format("{:.{}f}", value, std::max(0, 10 - whole));
  if (text.find('.') != std::string::npos) {
    while (text.back() == '0') text.pop_back();
    if (text.back() == '.') text.pop_back();
  }
  return text;
}

std::string duration_text(double seconds) {
  auto left = static_cast<int64_t>(std::llround(std::clamp(seconds, 0.0, 1e12)));
  std::vector<std::string> parts;
  for (const auto& [size, name] : {std::pair<int64_t, const char*>{86400, "day"}, {3600, "hour"}, {60, "minute"}, {1, "second"}}) {
    if (const int64_t n = left / size; n > 0) parts.push_back(fmt::format("{} {}{}", n, name, n == 1 ? "" : "s"));
    left %= size;
  }
  if (parts.empty()) return "0 seconds";
  std::string out = parts[0];
  for (size_t i = 1; i < parts.size(); ++i) out += (i + 1 == parts.size() ? " and " : ", ") + parts[i];
  return out;
}

}  // namespace mynah::assistant
