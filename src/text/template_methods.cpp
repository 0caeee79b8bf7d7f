#include "text/template_methods.h"

#include <algorithm>

#include "text/template_format.h"
#include "text/template_string.h"

namespace mynah::jinja {
namespace {

using Method = Value (*)(const Value& self, Args& args);
struct Entry {
  std::string_view name;
  Method method;
};

void no_arguments(std::string_view name, const Args& args) {
  if (!args.positional.empty() || !args.named.empty()) raise("{}() takes no arguments", name);
}

std::optional<std::string> optional_text(const Bound& a, size_t i) {
  return a.has(i) ? std::optional(a.text(i)) : std::nullopt;
}

template <bool left, bool right>
Value strip_method(const Value& self, Args& args) {
  const Bound a("strip", args, {"chars"}, 0);
  return Value(strip(self.text(), optional_text(a, 0), left, right));
}

template <std::string (*convert)(std::string_view)>
Value convert_method(const Value& self, Args& args) {
  no_arguments("this method", args);
  return Value(convert(self.text()));
}

Value list_of(std::vector<std::string> texts) {
  std::vector<Value> items;
  items.reserve(texts.size());
  for (std::string& text : texts) items.emplace_back(std::move(text));
  return Value(ListType::list, std::move(items));
}

template <bool from_right>
Value split_method(const Value& self, Args& args) {
  const Bound a("split", args, {"sep", "maxsplit"}, 0);
  const auto separator = optional_text(a, 0);
  const int64_t limit = a.integer(1, -1);
  return list_of(from_right ? rsplit(self.text(), separator, limit) : split(self.text(), separator, limit));
}

Value splitlines_method(const Value& self, Args& args) {
  const Bound a("splitlines", args, {"keepends"}, 0);
  return list_of(split_lines(self.text(), a.flag(0, false)));
}

Value replace_method(const Value& self, Args& args) {
  const Bound a("replace", args, {"old", "new", "count"}, 2);
  return Value(replace(self.text(), a.text(0), a.text(1), a.integer(2, -1)));
}

// The part of `self` that the arguments start and end (code points) leave, and where it begins in code points.
struct Part {
  std::string_view text;
  int64_t begin;
  bool valid;  // false when start lies behind the end
};
Part part_of(const Value& self, const Bound& a, size_t start_at) {
  const int64_t length = static_cast<int64_t>(self.length());
  const auto place = [&](int64_t i) { return i < 0 ? std::max<int64_t>(0, std::max(i, -length) + length) : i; };
  const int64_t begin = a.has(start_at) ? place(a.integer(start_at, 0)) : 0;
  const int64_t end = a.has(start_at + 1) ? std::min(place(a.integer(start_at + 1, length)), length) : length;
  if (begin > end) return {{}, begin, false};
  if (begin == 0 && end == length) return {self.text(), 0, true};
  charge(self.text().size());
  const size_t from = byte_offset(self.text(), static_cast<size_t>(begin));
  const size_t to = byte_offset(self.text(), static_cast<size_t>(end));
  return {std::string_view(self.text()).substr(from, to - from), begin, true};
}

template <bool at_end>
Value affix_method(const Value& self, Args& args) {
  const Bound a(at_end ? "endswith" : "startswith", args, {"prefix", "start", "end"}, 1);
  const Part part = part_of(self, a, 1);
  const auto fits = [&](const Value& affix) {
    require_defined(affix);
    if (!affix.is(Kind::string)) raise("startswith first arg must be str or a tuple of str, not {}", type_name(affix));
    charge(affix.text().size());
    return part.valid && (at_end ? part.text.ends_with(affix.text()) : part.text.starts_with(affix.text()));
  };
  if (!a[0].is_list(ListType::tuple)) return Value(fits(a[0]));
  const auto& affixes = a[0].list().items;
  return Value(std::any_of(affixes.begin(), affixes.end(), fits));
}

template <bool from_right, bool must_exist>
Value find_method_of_text(const Value& self, Args& args) {
  const Bound a(must_exist ? "index" : "find", args, {"sub", "start", "end"}, 1);
  const Part part = part_of(self, a, 1);
  const std::string needle = a.text(0);
  const size_t at = !part.valid ? part.text.npos : from_right ? rfind(part.text, needle) : find(part.text, needle);
  if (at == part.text.npos) {
    if (must_exist) raise("substring not found");
    return Value(int64_t{-1});
  }
  return Value(part.begin + static_cast<int64_t>(count_code_points(part.text.substr(0, at))));
}

Value count_method(const Value& self, Args& args) {
  const Bound a("count", args, {"sub", "start", "end"}, 1);
  const Part part = part_of(self, a, 1);
  const std::string needle = a.text(0);
  if (!part.valid) return Value(int64_t{0});
  if (needle.empty()) return Value(static_cast<int64_t>(count_code_points(part.text)) + 1);
  int64_t n = 0;
  for (size_t at = 0; (at = find(part.text, needle, at)) != part.text.npos; at += needle.size()) ++n;
  return Value(n);
}

Value join_method(const Value& self, Args& args) {
  const Bound a("join", args, {"iterable"}, 1);
  std::string out;
  bool first = true;
  int64_t i = 0;
  for (const Value& item : iterate(a[0])) {
    if (!item.is(Kind::string)) raise("sequence item {}: expected str instance, {} found", i, type_name(item));
    if (!first) out += self.text();
    first = false;
    out += item.text();
    ++i;
    if (out.size() > kMaxValueBytes) raise("a text of more than {} bytes", kMaxValueBytes);
  }
  return Value(std::move(out));
}

Value format_method(const Value& self, Args& args) { return Value(format_braces(self.text(), args)); }

Value format_map_method(const Value& self, Args& args) {
  const Bound a("format_map", args, {"mapping"}, 1);
  if (!a[0].is(Kind::dict)) raise("format_map() takes a dict, not {}", type_name(a[0]));
  Args named;
  for (const auto& [key, value] : a[0].dict().items)
    if (key.is(Kind::string)) named.named.emplace_back(key.text(), value);
  return Value(format_braces(self.text(), named));
}

template <class Test>
Value all_code_points(const Value& self, Args& args, Test&& test) {
  no_arguments("this method", args);
  const std::string& text = self.text();
  charge(text.size());
  for (size_t at = 0; at < text.size();)
    if (!test(next_code_point(text, at))) return Value(false);
  return Value(!text.empty());
}
Value isdigit_method(const Value& self, Args& args) {
  return all_code_points(self, args, [](uint32_t c) { return is_decimal(c) || c == 0xB2 || c == 0xB3 || c == 0xB9; });
}
Value isdecimal_method(const Value& self, Args& args) { return all_code_points(self, args, is_decimal); }
Value isalpha_method(const Value& self, Args& args) { return all_code_points(self, args, is_alpha); }
Value isspace_method(const Value& self, Args& args) { return all_code_points(self, args, is_space); }
Value isalnum_method(const Value& self, Args& args) {
  return all_code_points(self, args, [](uint32_t c) { return is_alpha(c) || is_decimal(c); });
}
Value isidentifier_method(const Value& self, Args& args) {
  bool first = true;
  return all_code_points(self, args, [&](uint32_t c) {
    const bool ok = c == '_' || is_alpha(c) || (!first && is_decimal(c));
    first = false;
    return ok;
  });
}
Value isascii_method(const Value& self, Args& args) {
  no_arguments("isascii", args);
  return Value(self.text().size() == self.length());
}

template <bool (*wanted)(uint32_t), bool (*unwanted)(uint32_t)>
Value case_test(const Value& self, Args& args) {
  no_arguments("this method", args);
  charge(self.text().size());
  bool any = false;
  for (size_t at = 0; at < self.text().size();) {
    const uint32_t c = next_code_point(self.text(), at);
    if (unwanted(c)) return Value(false);
    any |= wanted(c);
  }
  return Value(any);
}

Value istitle_method(const Value& self, Args& args) {
  no_arguments("istitle", args);
  charge(self.text().size());
  bool inside = false, any = false;
  for (size_t at = 0; at < self.text().size();) {
    const uint32_t c = next_code_point(self.text(), at);
    const bool up = is_upper(c), low = is_lower(c);
    if ((up && inside) || (low && !inside)) return Value(false);
    inside = up || low;
    any |= inside;
  }
  return Value(any);
}

template <Align align>
Value pad_method(const Value& self, Args& args) {
  const Bound a("just", args, {"width", "fillchar"}, 1);
  const std::string fill = a.given(1) ? a.text(1) : " ";
  if (count_code_points(fill) != 1) raise("the fill character must be exactly one character long");
  const int64_t width = a.integer(0, 0);
  if (align != Align::center) return Value(pad(self.text(), width, fill, align));
  // Python's center() puts the odd blank before the text only when the width is odd.
  const int64_t missing = width - static_cast<int64_t>(self.length());
  if (missing <= 0) return self;
  const int64_t before = missing / 2 + (missing & width & 1);
  return Value(repeat(fill, before) + self.text() + repeat(fill, missing - before));
}

Value zfill_method(const Value& self, Args& args) {
  const Bound a("zfill", args, {"width"}, 1);
  const std::string& text = self.text();
  const bool sign = !text.empty() && (text[0] == '+' || text[0] == '-');
  return Value(text.substr(0, sign) + pad(text.substr(sign), a.integer(0, 0) - sign, "0", Align::right));
}

template <bool from_right>
Value partition_method(const Value& self, Args& args) {
  const Bound a("partition", args, {"sep"}, 1);
  const std::string separator = a.text(0);
  if (separator.empty()) raise("empty separator");
  const std::string& text = self.text();
  const size_t at = from_right ? rfind(text, separator) : find(text, separator);
  std::vector<Value> parts;
  if (at == text.npos) {
    parts = {Value(""), Value(""), Value("")};
    parts[from_right ? 2 : 0] = self;
  } else {
    parts = {Value(text.substr(0, at)), Value(separator), Value(text.substr(at + separator.size()))};
  }
  return Value(ListType::tuple, std::move(parts));
}

Value removeprefix_method(const Value& self, Args& args) {
  const Bound a("removeprefix", args, {"prefix"}, 1);
  const std::string prefix = a.text(0);
  return self.text().starts_with(prefix) ? Value(self.text().substr(prefix.size())) : self;
}
Value removesuffix_method(const Value& self, Args& args) {
  const Bound a("removesuffix", args, {"suffix"}, 1);
  const std::string suffix = a.text(0);
  return self.text().ends_with(suffix) ? Value(self.text().substr(0, self.text().size() - suffix.size())) : self;
}

constexpr Entry kTextMethods[] = {
    {"capitalize", convert_method<capitalize>},
    {"casefold", convert_method<lower>},
    {"center", pad_method<Align::center>},
    {"count", count_method},
    {"endswith", affix_method<true>},
    {"find", find_method_of_text<false, false>},
    {"format", format_method},
    {"format_map", format_map_method},
    {"index", find_method_of_text<false, true>},
    {"isalnum", isalnum_method},
    {"isalpha", isalpha_method},
    {"isascii", isascii_method},
    {"isdecimal", isdecimal_method},
    {"isdigit", isdigit_method},
    {"isidentifier", isidentifier_method},
    {"islower", case_test<is_lower, is_upper>},
    {"isnumeric", isdigit_method},
    {"isspace", isspace_method},
    {"istitle", istitle_method},
    {"isupper", case_test<is_upper, is_lower>},
    {"join", join_method},
    {"ljust", pad_method<Align::left>},
    {"lower", convert_method<lower>},
    {"lstrip", strip_method<true, false>},
    {"partition", partition_method<false>},
    {"removeprefix", removeprefix_method},
    {"removesuffix", removesuffix_method},
    {"replace", replace_method},
    {"rfind", find_method_of_text<true, false>},
    {"rindex", find_method_of_text<true, true>},
    {"rjust", pad_method<Align::right>},
    {"rpartition", partition_method<true>},
    {"rsplit", split_method<true>},
    {"rstrip", strip_method<false, true>},
    {"split", split_method<false>},
    {"splitlines", splitlines_method},
    {"startswith", affix_method<false>},
    {"strip", strip_method<true, true>},
    {"swapcase", convert_method<swapcase>},
    {"title", convert_method<title>},
    {"upper", convert_method<upper>},
    {"zfill", zfill_method},
};

Value keys_method(const Value& self, Args& args) {
  no_arguments("keys", args);
  return Value(ListType::keys, iterate(self));
}
Value values_method(const Value& self, Args& args) {
  no_arguments("values", args);
  std::vector<Value> values;
  for (const auto& item : self.dict().items) values.push_back(item.second);
  return Value(ListType::values, std::move(values));
}
Value items_method(const Value& self, Args& args) {
  no_arguments("items", args);
  std::vector<Value> items;
  for (const auto& [key, value] : self.dict().items)
    items.emplace_back(ListType::tuple, std::vector<Value>{key, value});
  return Value(ListType::items, std::move(items));
}
Value get_method(const Value& self, Args& args) {
  const Bound a("get", args, {"key", "default"}, 1);
  const Value* found = self.dict().find(a[0]);
  return found ? *found : a.value_or(1, Value());
}
Value copy_method(const Value& self, Args& args) {
  no_arguments("copy", args);
  return self;  // nothing can change either
}

constexpr Entry kDictMethods[] = {{"copy", copy_method},
                                  {"get", get_method},
                                  {"items", items_method},
                                  {"keys", keys_method},
                                  {"values", values_method}};
constexpr std::string_view kDictChanges[] = {"clear", "pop", "popitem", "setdefault", "update"};

Value list_index_method(const Value& self, Args& args) {
  const Bound a("index", args, {"value"}, 1);
  const auto& items = self.list().items;
  for (size_t i = 0; i < items.size(); ++i)
    if (equal(items[i], a[0])) return Value(static_cast<int64_t>(i));
  raise("{} is not in list", repr(a[0]));
}
Value list_count_method(const Value& self, Args& args) {
  const Bound a("count", args, {"value"}, 1);
  const auto& items = self.list().items;
  return Value(
      static_cast<int64_t>(std::count_if(items.begin(), items.end(), [&](const Value& x) { return equal(x, a[0]); })));
}

constexpr Entry kListMethods[] = {{"copy", copy_method}, {"count", list_count_method}, {"index", list_index_method}};
constexpr Entry kTupleMethods[] = {{"count", list_count_method}, {"index", list_index_method}};
constexpr std::string_view kListChanges[] = {"append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"};

template <size_t n>
Method look_up(const Entry (&entries)[n], std::string_view name) {
  const auto hit = std::find_if(std::begin(entries), std::end(entries), [&](const Entry& e) { return e.name == name; });
  return hit == std::end(entries) ? nullptr : hit->method;
}

template <size_t n>
bool is_change(const std::string_view (&names)[n], std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

}  // namespace

std::optional<Value> find_method(const Value& self, std::string_view name) {
  Method method = nullptr;
  bool change = false;
  if (self.is(Kind::string)) {
    method = look_up(kTextMethods, name);
  } else if (self.is(Kind::dict)) {
    method = look_up(kDictMethods, name);
    change = is_change(kDictChanges, name);
  } else if (self.is_list(ListType::list)) {
    method = look_up(kListMethods, name);
    change = is_change(kListChanges, name);
  } else if (self.is_list(ListType::tuple) || self.is_list(ListType::range)) {
    method = look_up(kTupleMethods, name);
  }
  if (change)
    return Value::undefined(fmt::format("access to attribute '{}' of '{}' object is unsafe", name, type_name(self)));
  if (!method) return std::nullopt;
  return make_function(
      [method, self](Args& args) {
        charge_text(self);
        return method(self, args);
      },
      self);
}

}  // namespace mynah::jinja
