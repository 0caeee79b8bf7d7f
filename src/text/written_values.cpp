#include "text/written_values.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <iterator>
#include <limits>
#include <map>
#include <string>

#include "base/unicode.h"

namespace mynah::text {
namespace {

using Stretch = std::pair<size_t, size_t>;  // characters [begin, end)

constexpr const char* kNumberWords[] = {"zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"};
constexpr const char* kOrdinalWords[] = {"zeroth", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth"};
constexpr std::string_view kMonths[] = {"january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"};
constexpr std::string_view kWeekdays[] = {"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"};

// A: weekday, B: month, b: month in three letters, d: day, m: month as a number, Y: year; the rest stands for itself.
constexpr std::string_view kDates[] = {"B", "Y", "Ys", "b Y", "B Y", "B d", "b d", "d b", "d B", "B d, Y", "d B Y", "m-d-Y", "Y-m-d", "Y-m", "d b Y", "b d, Y", "d.m.Y", "A, b d", "A, B d"};

// The text in lower case with single spaces, as characters. Decimal digits of any script are those of ASCII.
std::u32string normalised(std::string_view text) {
  std::u32string out;
  const std::string lower = unicode::to_lower(text);
  for (size_t at = 0; at < lower.size();) {
    uint32_t size = 0;
    char32_t code = unicode::decode_valid(lower.data() + at, size);
    at += size;
    if (unicode::is_python_space(code)) {
      if (!out.empty() && out.back() != U' ') out += U' ';
      continue;
    }
    if (code >= 0x80 && unicode::category(code) == unicode::Category::Nd) {
      char32_t zero = code;  // scripts have their ten digits in order
      while (code - zero < 9 && unicode::category(zero - 1) == unicode::Category::Nd) --zero;
      code = U'0' + (code - zero);
    }
    out += code;
  }
  if (!out.empty() && out.back() == U' ') out.pop_back();
  return out;
}

bool is_decimal(char32_t c) { return c >= U'0' && c <= U'9'; }
bool is_alphanumeric(char32_t c) {
  const unicode::Category category = unicode::category(c);
  return unicode::is_letter(category) || unicode::is_number(category);
}

// The text as bytes, empty if it is not of ASCII.
std::string in_ascii(std::u32string_view text) {
  std::string out;
  for (const char32_t c : text) {
    if (c >= 0x80) return "";
    out += static_cast<char>(c);
  }
  return out;
}

// A number as Python's float() reads one, an ordinal without its ending. Neither "nan" nor what is infinitely large is one.
std::optional<double> number_of(std::u32string_view span) {
  std::string text = in_ascii(span);
  for (const std::string_view suffix : {"st", "nd", "rd", "th"})
    if (text.ends_with(suffix)) {
      text.resize(text.size() - 2);
      break;
    }
  std::erase(text, ',');
  text.erase(0, text.find_first_not_of(' '));
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.erase(0, 1);
  // from_chars would take words and signs of its own
  if (text.empty() || !(is_decimal(static_cast<unsigned char>(text[0])) || text[0] == '.')) return std::nullopt;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (end != text.data() + text.size() || error == std::errc::invalid_argument) return std::nullopt;
  if (error == std::errc::result_out_of_range) {  // too small is 0; without an exponent or with one above 0 it is too large
    const size_t exponent = text.find_first_of("eE");
    const bool small = exponent != std::string::npos ? text.find('-', exponent) != std::string::npos : text.starts_with('.') || text.starts_with('0');
    value = small ? 0 : std::numeric_limits<double>::infinity();
  }
  if (negative) value = -value;
  return value == std::numeric_limits<double>::infinity() ? std::nullopt : std::optional(value);
}

// The next number at or behind `at`: digits with groups of three behind commas and a fraction, or a fraction alone; a sign at the beginning or behind a
// space belongs to it.
std::optional<Stretch> next_number(std::u32string_view text, size_t at) {
  const auto digits = [&](size_t from) {
    while (from < text.size() && is_decimal(text[from])) ++from;
    return from;
  };
  const auto unsigned_end = [&](size_t from) -> size_t {  // `from` if there is none
    if (from + 1 < text.size() && text[from] == U'.' && is_decimal(text[from + 1])) return digits(from + 1);
    size_t end = digits(from);
    if (end == from) return from;
    while (end + 3 < text.size() && text[end] == U',' && is_decimal(text[end + 1]) && is_decimal(text[end + 2]) && is_decimal(text[end + 3])) end += 4;
    return end < text.size() && text[end] == U'.' ? digits(end + 1) : end;
  };
  for (; at < text.size(); ++at) {
    const size_t sign = text[at] == U' ' ? at + 1 : at == 0 ? at : text.size();
    if (sign < text.size() && (text[sign] == U'+' || text[sign] == U'-'))
      if (const size_t end = unsigned_end(sign + 1); end > sign + 1) return Stretch{at, end};
    if (const size_t end = unsigned_end(at); end > at) return Stretch{at, end};
  }
  return std::nullopt;
}

// Runs of up to `most` words.
std::vector<Stretch> word_spans(std::u32string_view text, size_t most) {
  std::vector<Stretch> out;
  std::vector<size_t> begins;
  for (size_t i = 0; i < text.size(); ++i) {
    if (!is_alphanumeric(text[i])) continue;
    if (i == 0 || !is_alphanumeric(text[i - 1])) begins.push_back(i);
    if (i + 1 < text.size() && is_alphanumeric(text[i + 1])) continue;
    for (size_t b = begins.size() - std::min(most, begins.size()); b < begins.size(); ++b) out.emplace_back(begins[b], i + 1);
  }
  return out;
}

bool is_day(int year, int month, int day) {
  constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return day <= kDays[month - 1] + (month == 2 && leap ? 1 : 0);
}

std::optional<WrittenValue> date_by(std::string_view pattern, std::string_view text) {
  WrittenValue value{.is_date = true};
  size_t at = 0;
  const auto digits = [&](size_t most) {
    size_t end = at;
    while (end < text.size() && end - at < most && is_decimal(static_cast<unsigned char>(text[end]))) ++end;
    return text.substr(at, end - at);
  };
  const auto number = [&](std::string_view found, int low, int high) {
    int n = -1;
    std::from_chars(found.data(), found.data() + found.size(), n);
    at += found.size();
    return n >= low && n <= high ? std::optional(n) : std::nullopt;
  };
  for (const char field : pattern) {
    switch (field) {
      case 'A':
      case 'B':
      case 'b': {
        size_t end = at;
        while (end < text.size() && std::isalpha(static_cast<unsigned char>(text[end]))) ++end;
        const std::string_view word = text.substr(at, end - at);
        at = end;
        if (field == 'A') {
          if (std::find(std::begin(kWeekdays), std::end(kWeekdays), word) == std::end(kWeekdays)) return std::nullopt;
          break;
        }
        const auto month = std::find_if(std::begin(kMonths), std::end(kMonths), [&](std::string_view m) { return word == (field == 'B' ? m : m.substr(0, 3)); });
        if (month == std::end(kMonths)) return std::nullopt;
        value.date[1] = static_cast<int>(month - std::begin(kMonths)) + 1;
        break;
      }
      case 'Y': {
        const std::string_view found = digits(4);
        if (found.size() != 4 || !(value.date[0] = number(found, 1700, 2016))) return std::nullopt;
        break;
      }
      case 'd':
        if (!(value.date[2] = number(digits(2), 1, 31))) return std::nullopt;
        break;
      case 'm':
        if (!(value.date[1] = number(digits(2), 1, 12))) return std::nullopt;
        break;
      default:
        if (at >= text.size() || text[at++] != field) return std::nullopt;
    }
  }
  if (at != text.size()) return std::nullopt;
  if (value.date[2] && !is_day(value.date[0].value_or(1900), *value.date[1], *value.date[2])) return std::nullopt;
  return value;
}

std::optional<WrittenValue> date_of(std::u32string_view span) {
  const std::string text = in_ascii(span);
  if (text.empty()) return std::nullopt;
  for (const std::string_view pattern : kDates)
    if (const auto value = date_by(pattern, text)) return value;
  return std::nullopt;
}

}  // namespace

std::vector<WrittenValue> written_values(std::string_view valid_text) {
  const std::u32string text = normalised(valid_text);
  const auto part = [&](const Stretch& span) { return std::u32string_view(text).substr(span.first, span.second - span.first); };
  std::map<Stretch, std::vector<WrittenValue>> found;
  const auto add_number = [&](const Stretch& span, double number) { found[span].push_back({.number = number}); };
  for (auto span = next_number(text, 0); span; span = next_number(text, span->second))
    if (const auto number = number_of(part(*span))) add_number(*span, *number);
  for (const Stretch& span : word_spans(text, 1)) {
    if (found.count(span)) continue;
    if (const auto number = number_of(part(span))) add_number(span, *number);
    const std::string word = in_ascii(part(span));
    for (size_t i = 0; i < std::size(kNumberWords); ++i)
      if (word == kNumberWords[i] || word == kOrdinalWords[i]) add_number(span, static_cast<double>(i));
  }
  for (const Stretch& span : word_spans(text, 5))
    if (const auto date = date_of(part(span))) found[span].push_back(*date);

  std::vector<Stretch> longest_first;
  for (const auto& [span, values] : found) longest_first.push_back(span);
  std::stable_sort(longest_first.begin(), longest_first.end(), [](const Stretch& a, const Stretch& b) { return a.second - a.first > b.second - b.first; });
  std::map<Stretch, std::vector<WrittenValue>> kept;
  for (const Stretch& span : longest_first) {
    // None is inside another: of those that begin no later than this one, the last reaches farthest.
    const auto next = kept.upper_bound(Stretch{span.first, std::u32string::npos});
    if (next == kept.begin() || std::prev(next)->first.second < span.second) kept.emplace(span, found[span]);
  }
  std::vector<WrittenValue> out;
  for (const auto& [span, values] : kept) out.insert(out.end(), values.begin(), values.end());
  return out;
}

std::optional<ValueOrder> ValueOrder::of(const std::vector<const WrittenValue*>& values) {
  ValueOrder order;
  if (values.empty()) return std::nullopt;
  order.dates_ = values[0]->is_date;
  order.parts_ = {true, true, true};
  for (const WrittenValue* value : values) {
    if (value->is_date != order.dates_) return std::nullopt;
    for (size_t i = 0; i < 3; ++i) order.parts_[i] = order.parts_[i] && value->date[i].has_value();
  }
  const bool comparable = !order.dates_ || std::any_of(order.parts_.begin(), order.parts_.end(), [](bool p) { return p; });
  return comparable ? std::optional(order) : std::nullopt;
}

std::vector<double> ValueOrder::key(const WrittenValue& value) const {
  if (!dates_) return {value.number};
  std::vector<double> out;
  for (size_t i = 0; i < 3; ++i)
    if (parts_[i]) out.push_back(*value.date[i]);
  return out;
}

std::map<size_t, WrittenValue> column_values(const std::vector<std::vector<WrittenValue>>& cells) {
  const auto of_kind = [](const std::vector<WrittenValue>& values, bool date) {
    return std::find_if(values.begin(), values.end(), [date](const WrittenValue& v) { return v.is_date == date; });
  };
  size_t counts[2] = {0, 0};  // numbers, dates
  for (const auto& values : cells)
    for (const bool date : {false, true}) counts[date] += of_kind(values, date) != values.end();
  const size_t most = std::max(counts[0], counts[1]);
  std::map<size_t, WrittenValue> out;
  if (most == 0 || static_cast<double>(most) < static_cast<double>(cells.size()) * 0.7) return out;
  const bool dates = counts[1] == most;
  for (size_t row = 0; row < cells.size(); ++row)
    if (const auto value = of_kind(cells[row], dates); value != cells[row].end()) out[row] = *value;
  return out;
}

}  // namespace mynah::text
