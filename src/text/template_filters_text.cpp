// Filters that make text or numbers.
#include <algorithm>
#include <cmath>

#include "text/template_filters.h"
#include "text/template_format.h"
#include "text/template_operators.h"
#include "text/template_string.h"

namespace mynah::jinja {
namespace {

template <std::string (*convert)(std::string_view)>
Value convert_filter(const Value& value, Args& args) {
  const Bound a("filter", args, {}, 0);
  return Value(convert(to_text(value)));
}

// Words begin behind blanks, dashes and opening brackets; unlike str.title() not behind other marks.
std::string title_words(std::string_view text) {
  std::string out, word;
  bool in_mark = false;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const uint32_t c = next_code_point(text, at);
    const bool mark =
        is_space(c) || (c < 0x80 && std::string_view("-({[<").find(static_cast<char>(c)) != std::string_view::npos);
    if (mark != in_mark && begin > 0) {
      out += capitalize(word);
      word.clear();
    }
    in_mark = mark;
    word += text.substr(begin, at - begin);
  }
  return out + capitalize(word);
}

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&#34;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string same_text(std::string_view text) { return std::string(text); }

Value trim_filter(const Value& value, Args& args) {
  const Bound a("trim", args, {"chars"}, 0);
  const std::string text = to_text(value);
  return Value(strip(text, a.has(0) ? std::optional(a.text(0)) : std::nullopt, true, true));
}

Value replace_filter(const Value& value, Args& args) {
  const Bound a("replace", args, {"old", "new", "count"}, 2);
  return Value(replace(to_text(value), to_text(a[0]), to_text(a[1]), a.has(2) ? a.integer(2, -1) : -1));
}

Value center_filter(const Value& value, Args& args) {
  const Bound a("center", args, {"width"}, 0);
  const std::string text = to_text(value);
  const int64_t width = a.integer(0, 80), missing = width - static_cast<int64_t>(count_code_points(text));
  if (missing <= 0) return Value(text);
  const int64_t before = missing / 2 + (missing & width & 1);
  return Value(repeat(" ", before) + text + repeat(" ", missing - before));
}

Value indent_filter(const Value& value, Args& args) {
  const Bound a("indent", args, {"width", "first", "blank"}, 0);
  require_defined(value);
  if (!value.is(Kind::string)) raise("indent() takes a str, not {}", type_name(value));
  const std::string margin = a.given(0) && a[0].is(Kind::string) ? a[0].text() : repeat(" ", a.integer(0, 4));
  const bool blank = a.flag(2, false);
  std::string out;
  bool first_line = true;
  for (const std::string& line : split_lines(value.text() + "\n", false)) {
    charge(line.size() + 16);
    if (!first_line) out += '\n';
    if (first_line ? a.flag(1, false) : blank || !line.empty()) out += margin;
    first_line = false;
    out += line;
    if (out.size() > kMaxValueBytes) raise("a text of more than {} bytes", kMaxValueBytes);
  }
  return Value(std::move(out));
}

Value truncate_filter(const Value& value, Args& args) {
  const Bound a("truncate", args, {"length", "killwords", "end", "leeway"}, 0);
  require_defined(value);
  if (!value.is(Kind::string)) raise("truncate() takes a str, not {}", type_name(value));
  const int64_t length = a.integer(0, 255), leeway = a.has(3) ? a.integer(3, 5) : 5;
  const std::string end = a.given(2) ? a.text(2) : "...";
  const int64_t kept = length - static_cast<int64_t>(count_code_points(end));
  if (kept < 0 || leeway < 0) raise("truncate(): the length is shorter than its end mark, or the leeway negative");
  if (static_cast<int64_t>(value.length()) - leeway <= length) return value;
  std::string head = value.text().substr(0, byte_offset(value.text(), static_cast<size_t>(kept)));
  if (!a.flag(1, false)) head = head.substr(0, std::min(head.rfind(' '), head.size()));
  return Value(head + end);
}

Value wordcount_filter(const Value& value, Args& args) {
  const Bound a("wordcount", args, {}, 0);
  const std::string text = to_text(value);
  int64_t words = 0;
  bool inside = false;
  for (size_t at = 0; at < text.size();) {
    const uint32_t c = next_code_point(text, at);
    const bool word = c == '_' || is_alpha(c) || is_decimal(c);
    words += word && !inside;
    inside = word;
  }
  return Value(words);
}

Value format_filter(const Value& value, Args& args) {
  if (!args.named.empty() && !args.positional.empty())
    raise("can't handle positional and keyword arguments at the same time");
  if (args.named.empty()) return Value(format_percent(to_text(value), Value(ListType::tuple, args.positional)));
  auto dict = std::make_shared<DictObject>();
  for (auto& [name, argument] : args.named) dict->set(Value(name), argument);
  return Value(format_percent(to_text(value), Value(std::move(dict))));
}

Value join_filter(const Value& value, Args& args) {
  const Bound a("join", args, {"d", "attribute"}, 0);
  const std::string separator = a.given(0) ? to_text(a[0]) : "";
  std::string out;
  bool first = true;
  for (const Value& item : iterate(value)) {
    if (!first) out += separator;
    first = false;
    out += to_text(a.has(1) ? get_path(item, a[1]) : item);
    if (out.size() > kMaxValueBytes) raise("a text of more than {} bytes", kMaxValueBytes);
  }
  return Value(std::move(out));
}

Value tojson_filter(const Value& value, Args& args) {
  const Bound a("tojson", args, {"ensure_ascii", "indent", "separators", "sort_keys"}, 0);
  JsonStyle style;
  style.ensure_ascii = a.flag(0, false);
  style.sort_keys = a.flag(3, false);
  if (a.has(1)) {
    style.indented = true;
    style.item_separator = ",";
    style.indent = a[1].is(Kind::string) ? a[1].text() : repeat(" ", a.integer(1, 0));
  }
  if (a.has(2)) {
    const std::vector<Value> separators = iterate(a[2]);
    if (separators.size() != 2 || !separators[0].is(Kind::string) || !separators[1].is(Kind::string))
      raise("tojson(): separators must be two strings");
    style.item_separator = separators[0].text();
    style.key_separator = separators[1].text();
  }
  return Value(to_json(value, style));
}

// ---- numbers ----

Value abs_filter(const Value& value, Args& args) {
  const Bound a("abs", args, {}, 0);
  require_defined(value);
  if (!value.is_number()) raise("bad operand type for abs(): '{}'", type_name(value));
  if (value.is(Kind::real)) return Value(std::fabs(value.real()));
  return value.integer() < 0 ? negate(value) : Value(value.integer());
}

Value truncated(double d) {
  if (!(std::fabs(d) < 9.2e18)) raise("the integer {} needs more than 64 bits", repr_real(d));
  return Value(static_cast<int64_t>(d));
}

Value int_filter(const Value& value, Args& args) {
  const Bound a("int", args, {"default", "base"}, 0);
  require_defined(value);
  if (value.is(Kind::string)) {
    if (const auto i = parse_integer(value.text(), static_cast<int>(std::clamp<int64_t>(a.integer(1, 10), 0, 99))))
      return Value(*i);
    const auto d = parse_real(value.text());
    if (d && std::isfinite(*d)) return truncated(*d);
  } else if (value.is(Kind::real)) {
    if (std::isinf(value.real())) raise("cannot convert float infinity to integer");
    if (!std::isnan(value.real())) return truncated(value.real());
  } else if (value.is_number()) {
    return Value(value.integer());
  }
  return a.value_or(0, Value(int64_t{0}));
}

Value float_filter(const Value& value, Args& args) {
  const Bound a("float", args, {"default"}, 0);
  require_defined(value);
  if (value.is_number()) return Value(value.real());
  if (value.is(Kind::string))
    if (const auto d = parse_real(value.text())) return Value(*d);
  return a.value_or(0, Value(0.0));
}

Value round_integer(int64_t value, int64_t digits) {
  if (digits >= 0) return Value(value);
  if (digits < -18) return Value(int64_t{0});
  int64_t unit = 1;
  for (int64_t i = 0; i < -digits; ++i) unit *= 10;
  const Value u(unit);
  const int64_t below = binary(Op::floor_div, Value(value), u).integer(),
                rest = binary(Op::mod, Value(value), u).integer();
  const bool up = rest > unit - rest || (rest == unit - rest && (below & 1));
  return binary(Op::mul, Value(below + up), u);
}

Value round_filter(const Value& value, Args& args) {
  const Bound a("round", args, {"precision", "method"}, 0);
  const int64_t digits = a.integer(0, 0);
  const std::string method = a.given(1) ? a.text(1) : "common";
  require_defined(value);
  if (method != "common" && method != "ceil" && method != "floor") raise("method must be common, ceil or floor");
  if (!value.is_number()) raise("type {} doesn't define __round__ method", type_name(value));
  if (method == "common")
    return value.is(Kind::real) ? Value(round_to(value.real(), digits)) : round_integer(value.integer(), digits);
  if (std::abs(digits) > 300) raise("round(): a precision of more than 300 digits");
  const double scale = std::pow(10.0, static_cast<double>(digits)), scaled = value.real() * scale;
  if (!std::isfinite(scaled)) raise("cannot convert float infinity or NaN to integer");
  return Value((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale + 0.0);
}

constexpr FilterEntry kTextFilters[] = {
    {"abs", abs_filter},
    {"capitalize", convert_filter<capitalize>},
    {"center", center_filter},
    {"e", convert_filter<escape_html>},
    {"escape", convert_filter<escape_html>},
    {"float", float_filter},
    {"forceescape", convert_filter<escape_html>},
    {"format", format_filter},
    {"indent", indent_filter},
    {"int", int_filter},
    {"join", join_filter},
    {"lower", convert_filter<lower>},
    {"replace", replace_filter},
    {"round", round_filter},
    {"safe", convert_filter<same_text>},
    {"string", convert_filter<same_text>},
    {"title", convert_filter<title_words>},
    {"tojson", tojson_filter},
    {"trim", trim_filter},
    {"truncate", truncate_filter},
    {"upper", convert_filter<upper>},
    {"wordcount", wordcount_filter},
};

}  // namespace

std::span<const FilterEntry> text_filters() { return kTextFilters; }

}  // namespace mynah::jinja
