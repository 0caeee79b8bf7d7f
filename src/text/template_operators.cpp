#include "text/template_operators.h"

#include <algorithm>
#include <cmath>

#include "text/template_format.h"
#include "text/template_methods.h"
#include "text/template_objects.h"
#include "text/template_string.h"

namespace mynah::jinja {
namespace {

constexpr std::string_view symbol(Op op) {
  constexpr std::string_view kSymbols[] = {
      "+", "-", "*", "/", "//", "%", "**", "==", "!=", "<", "<=", ">", ">=", "in", "not in"};
  return kSymbols[static_cast<size_t>(op)];
}

[[noreturn]] void overflow() { raise("an integer of more than 64 bits"); }

int64_t floor_divide(int64_t a, int64_t b) {
  if (b == 0) raise("integer division or modulo by zero");
  if (b == -1) {
    if (a == INT64_MIN) overflow();
    return -a;
  }
  return a / b - ((a % b != 0) && ((a < 0) != (b < 0)));
}

int64_t modulo(int64_t a, int64_t b) {
  if (b == 0) raise("integer modulo by zero");
  if (b == -1) return 0;
  const int64_t r = a % b;
  return r != 0 && ((r < 0) != (b < 0)) ? r + b : r;
}

double real_modulo(double a, double b) {
  if (b == 0) raise("float modulo by zero");
  double r = std::fmod(a, b);
  if (r != 0) {
    if ((b < 0) != (r < 0)) r += b;
  } else {
    r = std::copysign(0.0, b);
  }
  return r;
}

// Python derives the floor quotient from the remainder, which rounds differently from floor(a / b).
double real_floor_divide(double a, double b) {
  if (b == 0) raise("float floor division by zero");
  const double r = real_modulo(a, b);
  const double quotient = (a - r) / b;
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double floored = std::floor(quotient);
  return quotient - floored > 0.5 ? floored + 1 : floored;
}

Value integer_power(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) raise("0.0 cannot be raised to a negative power");
    return Value(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  int64_t result = 1;
  while (exponent > 0) {
    if (exponent & 1 && __builtin_mul_overflow(result, base, &result)) overflow();
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) overflow();
  }
  return Value(result);
}

Value real_power(double base, double exponent) {
  if (base == 0 && exponent < 0) raise("0.0 cannot be raised to a negative power");
  if (base < 0 && std::isfinite(exponent) && exponent != std::floor(exponent))
    raise("complex numbers are not supported");
  const double result = std::pow(base, exponent);
  if (std::isinf(result) && std::isfinite(base) && std::isfinite(exponent)) raise("the power is too large");
  return Value(result);
}

Value integer_arithmetic(Op op, int64_t a, int64_t b) {
  int64_t r = 0;
  switch (op) {
    case Op::add:
      return __builtin_add_overflow(a, b, &r) ? (overflow(), Value()) : Value(r);
    case Op::sub:
      return __builtin_sub_overflow(a, b, &r) ? (overflow(), Value()) : Value(r);
    case Op::mul:
      return __builtin_mul_overflow(a, b, &r) ? (overflow(), Value()) : Value(r);
    case Op::div:
      if (b == 0) raise("division by zero");
      return Value(static_cast<double>(static_cast<long double>(a) / static_cast<long double>(b)));
    case Op::floor_div:
      return Value(floor_divide(a, b));
    case Op::mod:
      return Value(modulo(a, b));
    default:
      return integer_power(a, b);
  }
}

Value real_arithmetic(Op op, double a, double b) {
  switch (op) {
    case Op::add:
      return Value(a + b);
    case Op::sub:
      return Value(a - b);
    case Op::mul:
      return Value(a * b);
    case Op::div:
      if (b == 0) raise("float division by zero");
      return Value(a / b);
    case Op::floor_div:
      return Value(real_floor_divide(a, b));
    case Op::mod:
      return Value(real_modulo(a, b));
    default:
      return real_power(a, b);
  }
}

bool is_repeatable(const Value& v) { return v.is_list(ListType::list) || v.is_list(ListType::tuple); }

Value repeat_list(const Value& list, int64_t times) {
  const auto& items = list.list().items;
  if (times <= 0 || items.empty()) return Value(list.list().type, {});
  if (static_cast<uint64_t>(times) > kMaxItems / items.size()) raise("a list of more than {} items", kMaxItems);
  std::vector<Value> out;
  out.reserve(items.size() * static_cast<size_t>(times));
  for (int64_t i = 0; i < times; ++i) out.insert(out.end(), items.begin(), items.end());
  return Value(list.list().type, std::move(out));
}

Value join_lists(const Value& a, const Value& b) {
  if (a.list().items.size() + b.list().items.size() > kMaxItems) raise("a list of more than {} items", kMaxItems);
  std::vector<Value> out = a.list().items;
  out.insert(out.end(), b.list().items.begin(), b.list().items.end());
  return Value(a.list().type, std::move(out));
}

Value join_texts(const Value& a, const Value& b) {
  if (a.text().size() + b.text().size() > kMaxValueBytes) raise("a text of more than {} bytes", kMaxValueBytes);
  return Value(a.text() + b.text());
}

}  // namespace

Value binary(Op op, const Value& a, const Value& b) {
  if (op == Op::mod && a.is(Kind::string)) return Value(format_percent(a.text(), b));
  require_defined(a);
  require_defined(b);
  if (a.is_integral() && b.is_integral()) return integer_arithmetic(op, a.integer(), b.integer());
  if (a.is_number() && b.is_number()) return real_arithmetic(op, a.real(), b.real());
  if (op == Op::add) {
    if (a.is(Kind::string) && b.is(Kind::string)) return join_texts(a, b);
    if (is_repeatable(a) && is_repeatable(b) && a.list().type == b.list().type) return join_lists(a, b);
    if (a.is(Kind::string)) raise("can only concatenate str (not \"{}\") to str", type_name(b));
    if (is_repeatable(a)) raise("can only concatenate {0} (not \"{1}\") to {0}", type_name(a), type_name(b));
  }
  if (op == Op::mul && (a.is_integral() || b.is_integral())) {
    const Value& times = a.is_integral() ? a : b;
    const Value& what = a.is_integral() ? b : a;
    if (what.is(Kind::string)) return Value(repeat(what.text(), times.integer()));
    if (is_repeatable(what)) return repeat_list(what, times.integer());
  }
  raise("unsupported operand types for {}: '{}' and '{}'", symbol(op), type_name(a), type_name(b));
}

bool compare(Op op, const Value& a, const Value& b) {
  switch (op) {
    case Op::eq:
      return equal(a, b);
    case Op::ne:
      return !equal(a, b);
    case Op::lt:
      return less(a, b);
    case Op::gt:
      return less(b, a);
    case Op::le:
      return less(a, b) || equal(a, b);
    case Op::ge:
      return less(b, a) || equal(a, b);
    case Op::in:
      return contains(b, a);
    default:
      return !contains(b, a);
  }
}

Value negate(const Value& v) {
  require_defined(v);
  if (v.is(Kind::real)) return Value(-v.real());
  if (!v.is_integral()) raise("bad operand type for unary -: '{}'", type_name(v));
  if (v.integer() == INT64_MIN) overflow();
  return Value(-v.integer());
}

Value plus(const Value& v) {
  require_defined(v);
  if (!v.is_number()) raise("bad operand type for unary +: '{}'", type_name(v));
  return v.is(Kind::real) ? v : Value(v.integer());
}

namespace {

std::string object_name(const Value& v) { return v.is(Kind::none) ? "None" : fmt::format("{} object", type_name(v)); }

std::optional<Value> own_attribute(const Value& object, std::string_view name) {
  if (auto* with = object.as<WithAttributes>()) return with->attribute(name, object);
  if (object.is_list(ListType::group) && (name == "grouper" || name == "list"))
    return object.list().items[name == "list"];
  return find_method(object, name);
}

// Whether Python's own object has such an attribute, which the sandbox hides.
bool is_hidden(std::string_view name) {
  return name.size() > 4 && name.substr(0, 2) == "__" && name.substr(name.size() - 2) == "__";
}

Value hidden(const Value& object, const std::string& name) {
  return Value::undefined(fmt::format("access to attribute '{}' of '{}' object is unsafe", name, type_name(object)));
}

Value no_item(const Value& object, const Value& index) {
  if (index.is(Kind::string))
    return Value::undefined(fmt::format("'{}' has no attribute {}", object_name(object), repr(index)));
  return Value::undefined(fmt::format("{} has no element {}", object_name(object), repr(index)));
}

std::optional<Value> element(const Value& object, const Value& index) {
  if (object.is(Kind::dict)) {
    const Value* found = object.dict().find(index);
    return found ? std::optional<Value>(*found) : std::nullopt;
  }
  if (!index.is_integral()) return std::nullopt;
  const bool is_text = object.is(Kind::string);
  if (!is_text && !object.is(Kind::list)) return std::nullopt;
  if (!is_text) {
    const ListType type = object.list().type;
    if (type == ListType::iterator || type == ListType::keys || type == ListType::values || type == ListType::items)
      return std::nullopt;
  }
  const int64_t length = static_cast<int64_t>(is_text ? object.length() : object.list().items.size());
  const int64_t i = index.integer() < 0 ? index.integer() + length : index.integer();
  if (i < 0 || i >= length) return std::nullopt;
  if (!is_text) return object.list().items[static_cast<size_t>(i)];
  const std::string& text = object.text();
  if (text.size() == object.length()) return Value(text.substr(static_cast<size_t>(i), 1));
  charge(4 * static_cast<size_t>(i));
  const size_t begin = byte_offset(text, static_cast<size_t>(i));
  size_t end = begin;
  next_code_point(text, end);
  return Value(text.substr(begin, end - begin));
}

}  // namespace

Value get_item(const Value& object, const Value& index) {
  require_defined(object);
  if (!unhashable_part(index))
    if (auto found = element(object, index)) return *found;
  if (index.is(Kind::string)) {
    if (is_hidden(index.text())) return hidden(object, index.text());
    if (auto found = own_attribute(object, index.text())) return *found;
  }
  return no_item(object, index);
}

Value get_attribute(const Value& object, const std::string& name) {
  require_defined(object);
  if (is_hidden(name)) return hidden(object, name);
  if (auto found = own_attribute(object, name)) return *found;
  if (object.is(Kind::dict))
    if (const Value* found = object.dict().find(name)) return *found;
  return Value::undefined(fmt::format("'{}' has no attribute {}", object_name(object), repr_text(name)));
}

namespace {

std::optional<int64_t> slice_bound(const Value& v) {
  if (v.is(Kind::none)) return std::nullopt;
  require_defined(v);
  if (!v.is_integral()) raise("slice indices must be integers or None, not {}", type_name(v));
  return v.integer();
}

// start:stop:step brought into the range of `length` items, as slice.indices() does.
struct Slice {
  int64_t start, stop, step;
};
Slice make_slice(int64_t length, std::optional<int64_t> start, std::optional<int64_t> stop, int64_t step) {
  if (step == 0) raise("slice step cannot be zero");
  const int64_t low = step > 0 ? 0 : -1, high = step > 0 ? length : length - 1;
  const auto place = [&](std::optional<int64_t> bound, int64_t absent) {
    if (!bound) return absent;
    return std::clamp(*bound < 0 ? std::max(*bound, -length - 1) + length : *bound, low, high);
  };
  return {place(start, step > 0 ? low : high), place(stop, step > 0 ? high : low), step};
}

std::vector<size_t> indices_of(const Slice& slice) {
  std::vector<size_t> indices;
  for (int64_t i = slice.start; slice.step > 0 ? i < slice.stop : i > slice.stop;) {
    indices.push_back(static_cast<size_t>(i));
    if (__builtin_add_overflow(i, slice.step, &i)) break;
  }
  return indices;
}

Value slice_text(const Value& object, const std::vector<size_t>& indices) {
  const std::string& text = object.text();
  charge(4 * text.size());
  std::vector<size_t> offsets;  // of every code point, only where they are not bytes
  if (text.size() != object.length())
    for (size_t at = 0; at < text.size(); next_code_point(text, at)) offsets.push_back(at);
  offsets.push_back(text.size());
  std::string out;
  for (const size_t i : indices) {
    if (text.size() == object.length())
      out += text[i];
    else
      out.append(text, offsets[i], offsets[i + 1] - offsets[i]);
  }
  return Value(std::move(out));
}

}  // namespace

Value get_slice(const Value& object, const Value& start, const Value& stop, const Value& step) {
  require_defined(object);
  const bool is_text = object.is(Kind::string);
  if (!is_text && !is_repeatable(object) && !object.is_list(ListType::range) && !object.is_list(ListType::group))
    raise("'{}' object cannot be sliced", type_name(object));
  const int64_t length = static_cast<int64_t>(is_text ? object.length() : object.list().items.size());
  charge(static_cast<size_t>(length));
  const Slice slice = make_slice(length, slice_bound(start), slice_bound(stop), slice_bound(step).value_or(1));
  const std::vector<size_t> indices = indices_of(slice);
  if (is_text) return slice_text(object, indices);
  const ListObject& list = object.list();
  std::vector<Value> out;
  out.reserve(indices.size());
  for (const size_t i : indices) out.push_back(list.items[i]);
  Value sliced(list.type == ListType::group ? ListType::tuple : list.type, std::move(out));
  if (list.type == ListType::range) {
    sliced.list().start = list.start + slice.start * list.step;
    sliced.list().stop = list.start + slice.stop * list.step;
    if (__builtin_mul_overflow(list.step, slice.step, &sliced.list().step)) overflow();
  }
  return sliced;
}

Value get_path(Value item, const Value& path) {
  if (path.is(Kind::none)) return item;
  if (!path.is(Kind::string)) return get_item(item, path);
  for (const std::string& part : split(path.text(), ".", -1)) {
    const bool digits =
        !part.empty() && std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
    item = get_item(item, digits ? Value(parse_integer(part, 10).value_or(0)) : Value(part));
  }
  return item;
}

}  // namespace mynah::jinja
