#include <algorithm>

#include "text/template_builtins.h"
#include "text/template_operators.h"
#include "text/template_string.h"

namespace mynah::jinja {
namespace {

bool is_sequence(const Value& v) {
  if (v.is(Kind::string) || v.is(Kind::dict) || v.is(Kind::undefined)) return true;
  if (!v.is(Kind::list)) return false;
  const ListType type = v.list().type;
  return type == ListType::list || type == ListType::tuple || type == ListType::group || type == ListType::range;
}

bool same_object(const Value& a, const Value& b) {
  if (a.kind() != b.kind()) return false;
  if (a.is(Kind::list) || a.is(Kind::dict) || a.is(Kind::object)) return a.object() == b.object();
  return !a.is(Kind::undefined) && equal(a, b);
}

bool has_case(const Value& v, bool (*wanted)(uint32_t), bool (*unwanted)(uint32_t)) {
  const std::string text = to_text(v);
  bool any = false;
  for (size_t at = 0; at < text.size();) {
    const uint32_t c = next_code_point(text, at);
    if (unwanted(c)) return false;
    any |= wanted(c);
  }
  return any;
}

bool remainder_is(const Value& v, int64_t divisor, int64_t rest) {
  if (v.is(Kind::string)) raise("not all arguments converted during string formatting");
  return equal(binary(Op::mod, v, Value(divisor)), Value(rest));
}

using Test = bool (*)(const Value& v);
struct TestEntry {
  std::string_view name;
  Test test;
};
constexpr TestEntry kTests[] = {
    {"defined", [](const Value& v) { return !v.is(Kind::undefined); }},
    {"undefined", [](const Value& v) { return v.is(Kind::undefined); }},
    {"none", [](const Value& v) { return v.is(Kind::none); }},
    {"boolean", [](const Value& v) { return v.is(Kind::boolean); }},
    {"true", [](const Value& v) { return v.is(Kind::boolean) && v.integer(); }},
    {"false", [](const Value& v) { return v.is(Kind::boolean) && !v.integer(); }},
    {"integer", [](const Value& v) { return v.is(Kind::integer); }},
    {"float", [](const Value& v) { return v.is(Kind::real); }},
    {"number", [](const Value& v) { return v.is_number(); }},
    {"string", [](const Value& v) { return v.is(Kind::string); }},
    {"mapping", [](const Value& v) { return v.is(Kind::dict); }},
    {"sequence", is_sequence},
    {"iterable", [](const Value& v) { return is_sequence(v) || v.is(Kind::list); }},
    {"callable",
     [](const Value& v) { return v.is(Kind::undefined) || (v.as<Callable>() && !v.as<NamespaceObject>()); }},
    {"escaped", [](const Value&) { return false; }},
    {"lower", [](const Value& v) { return has_case(v, is_lower, is_upper); }},
    {"upper", [](const Value& v) { return has_case(v, is_upper, is_lower); }},
    {"odd", [](const Value& v) { return remainder_is(v, 2, 1); }},
    {"even", [](const Value& v) { return remainder_is(v, 2, 0); }},
};

using BinaryTest = bool (*)(const Value& v, const Value& other);
struct BinaryTestEntry {
  std::string_view name;
  BinaryTest test;
};
template <Op op>
bool compare_test(const Value& v, const Value& other) {
  return compare(op, v, other);
}
constexpr BinaryTestEntry kBinaryTests[] = {
    {"divisibleby",
     [](const Value& v, const Value& other) {
       if (v.is(Kind::string)) raise("not all arguments converted during string formatting");
       return equal(binary(Op::mod, v, other), Value(int64_t{0}));
     }},
    {"sameas", same_object},
    {"in", compare_test<Op::in>},
    {"==", compare_test<Op::eq>},
    {"eq", compare_test<Op::eq>},
    {"equalto", compare_test<Op::eq>},
    {"!=", compare_test<Op::ne>},
    {"ne", compare_test<Op::ne>},
    {">", compare_test<Op::gt>},
    {"gt", compare_test<Op::gt>},
    {"greaterthan", compare_test<Op::gt>},
    {">=", compare_test<Op::ge>},
    {"ge", compare_test<Op::ge>},
    {"<", compare_test<Op::lt>},
    {"lt", compare_test<Op::lt>},
    {"lessthan", compare_test<Op::lt>},
    {"<=", compare_test<Op::le>},
    {"le", compare_test<Op::le>},
};

template <class Table>
auto look_up(const Table& table, std::string_view name) {
  const auto hit = std::find_if(std::begin(table), std::end(table), [&](const auto& e) { return e.name == name; });
  return hit == std::end(table) ? nullptr : &*hit;
}

}  // namespace

bool apply_test(std::string_view name, const Value& value, Args& args) {
  charge_step();
  charge_text(value);
  if (const TestEntry* entry = look_up(kTests, name)) {
    const Bound a(name, args, {}, 0);
    return entry->test(value);
  }
  if (const BinaryTestEntry* entry = look_up(kBinaryTests, name)) {
    if (args.positional.size() + args.named.size() != 1) raise("the test '{}' takes one argument", name);
    return entry->test(value, args.positional.empty() ? args.named[0].second : args.positional[0]);
  }
  if (name == "filter") return value.is(Kind::string) && has_filter(value.text());
  if (name == "test")
    return value.is(Kind::string) && (look_up(kTests, value.text()) || look_up(kBinaryTests, value.text()));
  raise("No test named {}.", repr_text(name));
}

}  // namespace mynah::jinja
