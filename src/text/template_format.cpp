#include "text/template_format.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "text/template_operators.h"
#include "text/template_string.h"

namespace mynah::jinja {
namespace {

constexpr int64_t kMaxDigits = 400;

bool one_of(std::string_view set, char c) { return set.find(c) != set.npos; }

// What stands between % and the letter, or behind the colon of a {} field.
struct Spec {
  std::string fill = " ";
  char align = 0;  // < > = ^, 0: the default of the type
  char sign = '-';
  bool alternate = false;
  char grouping = 0;  // , or _
  int64_t width = 0;
  int64_t precision = -1;
  char type = 0;
};

std::string print_real(double value, char type, int64_t precision, bool alternate) {
  if (precision > kMaxDigits) raise("a precision of more than {} digits", kMaxDigits);
  const char plain[] = {'%', '.', '*', type, '\0'}, with_point[] = {'%', '#', '.', '*', type, '\0'};
  char buffer[kMaxDigits + 400];
  const int n =
      std::snprintf(buffer, sizeof buffer, alternate ? with_point : plain, static_cast<int>(precision), value);
  return std::string(buffer, static_cast<size_t>(std::clamp(n, 0, static_cast<int>(sizeof buffer) - 1)));
}

std::string group_digits(const std::string& digits, char separator, size_t every) {
  std::string out;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % every == 0) out += separator;
    out += digits[i];
  }
  return out;
}

// `body` without its sign; zeros go between sign and digits.
std::string place(const Spec& spec, bool negative, const std::string& body, bool is_number) {
  std::string sign;
  if (is_number) sign = negative ? "-" : spec.sign == '+' ? "+" : spec.sign == ' ' ? " " : "";
  const char align = spec.align ? spec.align : is_number ? '>' : '<';
  if (align == '=') return sign + pad(body, spec.width - static_cast<int64_t>(sign.size()), spec.fill, Align::right);
  return pad(sign + body, spec.width, spec.fill,
             align == '<'   ? Align::left
             : align == '>' ? Align::right
                            : Align::center);
}

std::string integer_digits(uint64_t magnitude, char type) {
  switch (type) {
    case 'x':
      return fmt::format("{:x}", magnitude);
    case 'X':
      return fmt::format("{:X}", magnitude);
    case 'o':
      return fmt::format("{:o}", magnitude);
    case 'b':
      return fmt::format("{:b}", magnitude);
    default:
      return fmt::format("{}", magnitude);
  }
}

uint64_t magnitude_of(int64_t i) { return i < 0 ? 0 - static_cast<uint64_t>(i) : static_cast<uint64_t>(i); }

std::string format_integer(const Spec& spec, int64_t value) {
  if (spec.type == 'c') {
    if (value < 0 || value > 0x10FFFF) raise("no character has the number {}", value);
    std::string c;
    append_code_point(c, static_cast<uint32_t>(value));
    return place(spec, false, c, false);
  }
  std::string digits = integer_digits(magnitude_of(value), spec.type);
  if (spec.grouping) digits = group_digits(digits, spec.grouping, spec.type == 0 || spec.type == 'd' ? 3 : 4);
  if (spec.alternate && spec.type != 0 && spec.type != 'd') digits = std::string("0") + spec.type + digits;
  return place(spec, value < 0, digits, true);
}

std::string format_real(const Spec& spec, double value) {
  std::string body;
  const double magnitude = std::fabs(value);
  if (!std::isfinite(value)) {
    body = std::isnan(value) ? "nan" : "inf";
    if (spec.type == 'F' || spec.type == 'E' || spec.type == 'G') body = upper(body);
  } else if (spec.type == 0 && spec.precision < 0) {
    body = repr_real(magnitude);
  } else if (spec.type == '%') {
    body = print_real(magnitude * 100, 'f', spec.precision < 0 ? 6 : spec.precision, spec.alternate);
  } else {
    const char type = spec.type == 0 || spec.type == 'n' ? 'g' : spec.type;
    body = print_real(magnitude, type, spec.precision < 0 ? 6 : spec.precision, spec.alternate);
    if (spec.type == 0 && body.find_first_of(".e") == body.npos) body += ".0";
  }
  if (spec.type == '%') body += '%';
  if (spec.grouping) {
    const size_t whole = std::min(body.find_first_not_of("0123456789"), body.size());
    body = group_digits(body.substr(0, whole), spec.grouping, 3) + body.substr(whole);
  }
  return place(spec, std::signbit(value) && !std::isnan(value), body, true);
}

std::string format_text(const Spec& spec, std::string_view text) {
  charge(text.size());
  if (spec.precision >= 0) text = text.substr(0, byte_offset(text, static_cast<size_t>(spec.precision)));
  return place(spec, false, std::string(text), false);
}

int64_t read_count(std::string_view text, size_t& at) {
  int64_t n = 0;
  while (at < text.size() && text[at] >= '0' && text[at] <= '9') {
    n = n * 10 + (text[at++] - '0');
    if (n > static_cast<int64_t>(kMaxValueBytes)) raise("a format width above {}", kMaxValueBytes);
  }
  return n;
}

bool is_align(char c) { return c == '<' || c == '>' || c == '=' || c == '^'; }

Spec parse_spec(const std::string& text) {
  Spec spec;
  size_t at = 0;
  if (!text.empty()) {
    size_t second = 0;
    next_code_point(text, second);
    if (second < text.size() && is_align(text[second])) {
      spec.fill = text.substr(0, second);
      spec.align = text[second];
      at = second + 1;
    } else if (is_align(text[0])) {
      spec.align = text[at++];
    }
  }
  const auto next_is = [&](std::string_view set) { return at < text.size() && one_of(set, text[at]); };
  if (next_is("+- ")) spec.sign = text[at++];
  if (next_is("#")) spec.alternate = (++at, true);
  if (next_is("0")) {
    ++at;
    if (!spec.align) {
      spec.align = '=';
      spec.fill = "0";
    }
  }
  spec.width = read_count(text, at);
  if (next_is(",_")) spec.grouping = text[at++];
  if (next_is(".")) {
    ++at;
    if (!next_is("0123456789")) raise("format specifier missing precision");
    spec.precision = read_count(text, at);
  }
  if (at < text.size()) spec.type = text[at++];
  if (at < text.size()) raise("invalid format specifier {}", repr_text(text));
  return spec;
}

constexpr std::string_view kRealTypes = "eEfFgG%n";

}  // namespace

std::string format_value(const Value& value, const std::string& text) {
  if (text.empty()) return to_text(value);
  const Spec spec = parse_spec(text);
  const auto unknown = [&] { raise("unknown format code '{}' for object of type '{}'", spec.type, type_name(value)); };
  if (value.is_integral()) {
    if (spec.type == 0 && value.is(Kind::boolean) && text.empty()) return to_text(value);
    if (spec.type != 0 && kRealTypes.find(spec.type) != kRealTypes.npos && spec.type != 'n')
      return format_real(spec, value.real());
    if (spec.type != 0 && !one_of("bcdoxXn", spec.type)) unknown();
    if (spec.precision >= 0) raise("precision not allowed in integer format specifier");
    return format_integer(spec, value.integer());
  }
  if (value.is(Kind::real)) {
    if (spec.type != 0 && kRealTypes.find(spec.type) == kRealTypes.npos) unknown();
    return format_real(spec, value.real());
  }
  if (!value.is(Kind::string)) raise("unsupported format string passed to {}.__format__", type_name(value));
  if (spec.type != 0 && spec.type != 's') unknown();
  if (spec.align == '=' || spec.sign != '-') {
    if (spec.align == '=' && spec.fill == "0") {  // a width with a leading zero pads text on its right
      Spec left = spec;
      left.align = '<';
      return format_text(left, value.text());
    }
    raise("sign and '=' alignment are not allowed for text");
  }
  return format_text(spec, value.text());
}

namespace {

class Percent {
 public:
  Percent(const std::string& format, const Value& arguments) : format_(format), arguments_(arguments) {
    is_tuple_ = arguments.is_list(ListType::tuple) || arguments.is_list(ListType::group);
  }

  std::string run() {
    std::string out;
    while (at_ < format_.size()) {
      const size_t percent = std::min(format_.find('%', at_), format_.size());
      append(out, format_.substr(at_, percent - at_));
      at_ = percent;
      if (at_ < format_.size()) append(out, read_field());
    }
    // What can be subscripted counts as a mapping, whose entries need not all be used.
    const bool is_mapping = arguments_.is(Kind::dict) || arguments_.is(Kind::undefined) ||
                            arguments_.is_list(ListType::list) || arguments_.is_list(ListType::range);
    if (is_tuple_ ? used_ < arguments_.list().items.size() : used_ == 0 && !used_name_ && !is_mapping)
      raise("not all arguments converted during string formatting");
    return out;
  }

 private:
  static void append(std::string& out, const std::string& piece) {
    if (out.size() + piece.size() > kMaxValueBytes) raise("a text of more than {} bytes", kMaxValueBytes);
    charge(piece.size());
    out += piece;
  }

  const Value& take() {
    if (is_tuple_) {
      if (used_ >= arguments_.list().items.size()) raise("not enough arguments for format string");
      return arguments_.list().items[used_++];
    }
    if (used_++ > 0) raise("not enough arguments for format string");
    return arguments_;
  }

  char peek() const {
    if (at_ >= format_.size()) raise("incomplete format");
    return format_[at_];
  }

  int64_t read_number() {
    if (peek() != '*') return read_count(format_, at_);
    ++at_;
    const Value& v = take();
    if (!v.is_integral() || std::abs(v.integer()) > static_cast<int64_t>(kMaxValueBytes)) raise("* wants a small int");
    return v.integer();
  }

  std::optional<Value> read_name() {
    if (peek() != '(') return std::nullopt;
    const size_t close = format_.find(')', at_);
    if (close == format_.npos) raise("incomplete format key");
    if (!arguments_.is(Kind::dict)) raise("format requires a mapping");
    const std::string name = format_.substr(at_ + 1, close - at_ - 1);
    at_ = close + 1;
    used_name_ = true;
    const Value* found = arguments_.dict().find(name);
    if (!found) raise("the format names the key {}, which is missing", repr_text(name));
    return *found;
  }

  std::string read_field() {
    ++at_;
    charge(16);
    const std::optional<Value> named = read_name();
    Spec spec;
    bool left = false, zero = false;
    for (; one_of("-+ #0", peek()); ++at_) {
      const char c = peek();
      left |= c == '-';
      zero |= c == '0';
      if (c == '+' || (c == ' ' && spec.sign != '+')) spec.sign = c;
      spec.alternate |= c == '#';
    }
    spec.width = read_number();
    if (spec.width < 0) {
      left = true;
      spec.width = -spec.width;
    }
    if (peek() == '.') {
      ++at_;
      spec.precision = std::max<int64_t>(0, read_number());
    }
    while (one_of("hlL", peek())) ++at_;
    const char type = peek();
    ++at_;
    if (type == '%') return "%";
    spec.align = left ? '<' : '>';
    return write_field(spec, type, zero && !left, named ? *named : take());
  }

  static std::string write_field(Spec spec, char type, bool zero, const Value& value) {
    if (type == 's' || type == 'r' || type == 'a') return format_text(spec, type == 's' ? to_text(value) : repr(value));
    if (type == 'c' && value.is(Kind::string)) {
      if (value.length() != 1) raise("%c requires int or char");
      return format_text(spec, value.text());
    }
    require_defined(value);
    const bool real_type = one_of("eEfFgG", type);
    if (!real_type && !one_of("diuxXoc", type)) raise("unsupported format character '{}'", type);
    if (!value.is_number()) raise("%{} format: a real number is required, not {}", type, type_name(value));
    if (zero) {
      spec.align = '=';
      spec.fill = "0";
    }
    spec.type = type == 'i' || type == 'u' ? 'd' : type;
    if (real_type) return format_real(spec, value.real());
    return write_integer(spec, value);
  }

  static std::string write_integer(Spec spec, const Value& value) {
    if (value.is(Kind::real) && (spec.type != 'd' || !(std::fabs(value.real()) < 9e18)))
      raise("%{} format: an integer is required, not float", spec.type);
    const int64_t i = value.is(Kind::real) ? static_cast<int64_t>(value.real()) : value.integer();
    if (spec.precision < 0 || spec.type == 'c') return format_integer(spec, i);
    // A precision is the least number of digits.
    std::string digits = pad(integer_digits(magnitude_of(i), spec.type), spec.precision, "0", Align::right);
    if (spec.alternate && spec.type != 'd') digits = std::string("0") + spec.type + digits;
    return place(spec, i < 0, digits, true);
  }

  const std::string& format_;
  const Value& arguments_;
  size_t at_ = 0, used_ = 0;
  bool is_tuple_ = false, used_name_ = false;
};

class Braces {
 public:
  explicit Braces(const Args& args) : args_(args) {}

  std::string run(const std::string& format, int level) {
    if (level > 2) raise("Max string recursion exceeded");
    std::string out;
    for (size_t at = 0; at < format.size();) {
      const char c = format[at++];
      if (c != '{' && c != '}') {
        out += c;
        continue;
      }
      if (at < format.size() && format[at] == c) {
        out += c;
        ++at;
        continue;
      }
      if (c == '}') raise("Single '}}' encountered in format string");
      const size_t end = closing(format, at);
      out += field(format.substr(at, end - at), level);
      if (out.size() > kMaxValueBytes) raise("a text of more than {} bytes", kMaxValueBytes);
      at = end + 1;
    }
    return out;
  }

 private:
  static size_t closing(const std::string& format, size_t at) {
    int open = 1;
    bool bracket = false;
    for (; at < format.size(); ++at) {
      const char c = format[at];
      if (bracket) {
        bracket = c != ']';
        continue;
      }
      if (c == '[') bracket = true;
      open += (c == '{') - (c == '}');
      if (open == 0) return at;
    }
    raise("expected '}}' before end of string");
  }

  std::string field(const std::string& text, int level) {
    const size_t name_end = text.find_first_of("!:");
    std::string spec;
    char conversion = 0;
    if (name_end != text.npos) {
      size_t at = name_end;
      if (text[at] == '!') {
        if (at + 1 >= text.size()) raise("unmatched '{{' in format spec");
        conversion = text[at + 1];
        at += 2;
        if (at < text.size() && text[at] != ':') raise("expected ':' after conversion specifier");
      }
      if (at < text.size()) spec = run(text.substr(at + 1), level + 1);
    }
    const Value value = look_up(text.substr(0, name_end));
    if (conversion == 0) return format_value(value, spec);
    if (conversion != 's' && conversion != 'r') raise("unknown conversion specifier '{}'", conversion);
    return format_value(Value(conversion == 's' ? to_text(value) : repr(value)), spec);
  }

  static bool is_number(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  }

  Value positional(const std::string& name) {
    const bool automatic = name.empty();
    if (numbering_ == 2 && automatic)
      raise("cannot switch from manual field specification to automatic field numbering");
    if (numbering_ == 1 && !automatic)
      raise("cannot switch from automatic field numbering to manual field specification");
    numbering_ = automatic ? 1 : 2;
    const int64_t i = automatic ? next_++ : parse_integer(name, 10).value_or(0);
    if (i < 0 || static_cast<size_t>(i) >= args_.positional.size())
      raise("Replacement index {} out of range for positional args tuple", i);
    return args_.positional[static_cast<size_t>(i)];
  }

  Value look_up(const std::string& path) {
    size_t at = std::min(path.find_first_of(".["), path.size());
    const std::string first = path.substr(0, at);
    Value value;
    if (first.empty() || is_number(first)) {
      value = positional(first);
    } else {
      const auto hit =
          std::find_if(args_.named.begin(), args_.named.end(), [&](const auto& a) { return a.first == first; });
      if (hit == args_.named.end()) raise("the format names the key {}, which is missing", repr_text(first));
      value = hit->second;
    }
    while (at < path.size()) {
      if (path[at] == '.') {
        const size_t end = std::min(path.find_first_of(".[", at + 1), path.size());
        value = get_attribute(value, path.substr(at + 1, end - at - 1));
        at = end;
      } else {
        const size_t end = path.find(']', at);
        if (path[at] != '[' || end == path.npos) raise("malformed field name in format string");
        const std::string key = path.substr(at + 1, end - at - 1);
        value = get_item(value, is_number(key) ? Value(parse_integer(key, 10).value_or(0)) : Value(key));
        at = end + 1;
      }
    }
    return value;
  }

  const Args& args_;
  int numbering_ = 0;  // 1 automatic, 2 manual
  int64_t next_ = 0;
};

}  // namespace

std::string format_percent(const std::string& format, const Value& arguments) {
  return Percent(format, arguments).run();
}

std::string format_braces(const std::string& format, const Args& args) { return Braces(args).run(format, 1); }

double round_to(double value, int64_t digits) {
  if (!std::isfinite(value) || digits > 300) return value;
  if (digits < -300) return std::copysign(0.0, value);
  if (digits >= 0) return std::strtod(print_real(value, 'f', digits, false).c_str(), nullptr);
  const double scale = std::pow(10.0, static_cast<double>(-digits));
  return std::nearbyint(value / scale) * scale;
}

}  // namespace mynah::jinja
