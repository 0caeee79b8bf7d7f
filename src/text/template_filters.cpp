// Filters of sequences and mappings, and those that apply others.
#include "text/template_filters.h"

#include <algorithm>
#include <unordered_set>

#include "text/template_builtins.h"
#include "text/template_methods.h"
#include "text/template_operators.h"
#include "text/template_string.h"

namespace mynah::jinja {
namespace {

Value iterator_of(std::vector<Value> items) { return Value(ListType::iterator, std::move(items)); }
Value list_of(std::vector<Value> items) { return Value(ListType::list, std::move(items)); }
Value fold_case(Value v) { return v.is(Kind::string) ? Value(lower(v.text())) : v; }
Value pair_of(Value a, Value b) { return Value(ListType::tuple, {std::move(a), std::move(b)}); }

Value length_filter(const Value& value, Args& args) {
  const Bound a("length", args, {}, 0);
  switch (value.kind()) {
    case Kind::undefined:
      return Value(int64_t{0});
    case Kind::string:
      return Value(static_cast<int64_t>(value.length()));
    case Kind::dict:
      return Value(static_cast<int64_t>(value.dict().items.size()));
    case Kind::list:
      if (value.list().type != ListType::iterator) return Value(static_cast<int64_t>(value.list().items.size()));
      [[fallthrough]];
    default:
      raise("object of type '{}' has no len()", type_name(value));
  }
}

Value first_filter(const Value& value, Args& args) {
  const Bound a("first", args, {}, 0);
  if (value.is_list(ListType::iterator)) {
    ListObject& list = value.list();
    if (list.next < list.items.size()) return list.items[list.next++];
  } else if (const auto items = iterate(value); !items.empty()) {
    return items.front();
  }
  return Value::undefined("No first item, sequence was empty.");
}

Value last_filter(const Value& value, Args& args) {
  const Bound a("last", args, {}, 0);
  if (value.is_list(ListType::iterator)) raise("'generator' object is not reversible");
  const auto items = iterate(value);
  return items.empty() ? Value::undefined("No last item, sequence was empty.") : items.back();
}

Value list_filter(const Value& value, Args& args) {
  const Bound a("list", args, {}, 0);
  return list_of(iterate(value));
}

Value reverse_filter(const Value& value, Args& args) {
  const Bound a("reverse", args, {}, 0);
  std::vector<Value> items = iterate(value);
  std::reverse(items.begin(), items.end());
  if (!value.is(Kind::string))
    return value.is_list(ListType::iterator) ? list_of(std::move(items)) : iterator_of(std::move(items));
  std::string out;
  for (const Value& c : items) out += c.text();
  return Value(std::move(out));
}

Value items_filter(const Value& value, Args& args) {
  const Bound a("items", args, {}, 0);
  std::vector<Value> items;
  if (value.is(Kind::undefined)) return iterator_of({});
  if (!value.is(Kind::dict)) raise("Can only get item pairs from a mapping.");
  for (const auto& [key, v] : value.dict().items) items.push_back(pair_of(key, v));
  return iterator_of(std::move(items));
}

// The items of `items` in the order of their keys; equal keys keep their order, reversed or not.
std::vector<Value> sorted_by(const std::vector<Value>& items, const std::vector<Value>& keys, bool reverse) {
  std::vector<size_t> order(items.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return reverse ? less(keys[b], keys[a]) : less(keys[a], keys[b]); });
  std::vector<Value> out;
  out.reserve(items.size());
  for (const size_t i : order) out.push_back(items[i]);
  return out;
}

Value sort_filter(const Value& value, Args& args) {
  const Bound a("sort", args, {"reverse", "case_sensitive", "attribute"}, 0);
  const bool exact = a.flag(1, false);
  std::vector<Value> paths{a.value_or(2, Value())}, keys;
  if (paths[0].is(Kind::string)) {
    const std::vector<std::string> parts = split(paths[0].text(), ",", -1);
    paths.clear();
    for (const std::string& part : parts) paths.emplace_back(part);
  }
  const std::vector<Value> items = iterate(value);
  for (const Value& item : items) {
    std::vector<Value> key;
    for (const Value& path : paths) key.push_back(exact ? get_path(item, path) : fold_case(get_path(item, path)));
    keys.push_back(list_of(std::move(key)));
  }
  return list_of(sorted_by(items, keys, a.flag(0, false)));
}

Value dictsort_filter(const Value& value, Args& args) {
  const Bound a("dictsort", args, {"case_sensitive", "by", "reverse"}, 0);
  const std::string by = a.given(1) ? a.text(1) : "key";
  if (by != "key" && by != "value") raise("You can only sort by either \"key\" or \"value\"");
  require_defined(value);
  if (!value.is(Kind::dict)) raise("'{}' object has no attribute 'items'", type_name(value));
  std::vector<Value> items, keys;
  for (const auto& [key, v] : value.dict().items) {
    items.push_back(pair_of(key, v));
    const Value& k = by == "key" ? key : v;
    keys.push_back(a.flag(0, false) ? k : fold_case(k));
  }
  return list_of(sorted_by(items, keys, a.flag(2, false)));
}

Value unique_filter(const Value& value, Args& args) {
  const Bound a("unique", args, {"case_sensitive", "attribute"}, 0);
  std::unordered_set<Value, ValueHash, ValueEqual> seen;
  std::vector<Value> out;
  for (const Value& item : iterate(value)) {
    Value key = get_path(item, a.value_or(1, Value()));
    if (!a.flag(0, false)) key = fold_case(key);
    require_hashable(key);
    if (seen.insert(key).second) out.push_back(item);
  }
  return iterator_of(std::move(out));
}

template <bool greatest>
Value extreme_filter(const Value& value, Args& args) {
  const Bound a(greatest ? "max" : "min", args, {"case_sensitive", "attribute"}, 0);
  std::optional<Value> best, best_key;
  for (const Value& item : iterate(value)) {
    Value key = get_path(item, a.value_or(1, Value()));
    if (!a.flag(0, false)) key = fold_case(key);
    if (best && !(greatest ? less(*best_key, key) : less(key, *best_key))) continue;
    best = item;
    best_key = key;
  }
  return best ? *best : Value::undefined("No aggregated item, sequence was empty.");
}

Value sum_filter(const Value& value, Args& args) {
  const Bound a("sum", args, {"attribute", "start"}, 0);
  Value total = a.value_or(1, Value(int64_t{0}));
  if (total.is(Kind::string)) raise("sum() can't sum strings [use ''.join(seq) instead]");
  for (const Value& item : iterate(value)) total = binary(Op::add, total, a.has(0) ? get_path(item, a[0]) : item);
  return total;
}

Value batch_filter(const Value& value, Args& args) {
  const Bound a("batch", args, {"linecount", "fill_with"}, 1);
  const int64_t count = a.integer(0, 0);
  std::vector<Value> lines, line;
  for (const Value& item : iterate(value)) {
    if (static_cast<int64_t>(line.size()) == count) lines.push_back(list_of(std::exchange(line, {})));
    line.push_back(item);
  }
  if (!line.empty()) {
    if (a.has(1) && static_cast<int64_t>(line.size()) < count) {
      if (count > static_cast<int64_t>(kMaxItems)) raise("a list of more than {} items", kMaxItems);
      line.resize(static_cast<size_t>(count), a[1]);
    }
    lines.push_back(list_of(std::move(line)));
  }
  return iterator_of(std::move(lines));
}

Value slice_filter(const Value& value, Args& args) {
  const Bound a("slice", args, {"slices", "fill_with"}, 1);
  const std::vector<Value> items = iterate(value);
  const int64_t slices = a.integer(0, 0), length = static_cast<int64_t>(items.size());
  if (slices == 0) raise("integer division or modulo by zero");
  if (slices > static_cast<int64_t>(kMaxItems)) raise("a list of more than {} items", kMaxItems);
  std::vector<Value> out;
  auto at = items.begin();
  for (int64_t i = 0; i < slices; ++i) {
    const bool longer = i < length % slices;
    std::vector<Value> part(at, at + (length / slices + longer));
    at += static_cast<std::ptrdiff_t>(part.size());
    if (a.has(1) && !longer) part.push_back(a[1]);
    out.push_back(list_of(std::move(part)));
  }
  return iterator_of(std::move(out));
}

Value groupby_filter(const Value& value, Args& args) {
  const Bound a("groupby", args, {"attribute", "default", "case_sensitive"}, 1);
  const auto key_of = [&](const Value& item) {
    Value key = get_path(item, a[0]);
    return key.is(Kind::undefined) && a.has(1) ? a[1] : key;
  };
  const std::vector<Value> items = iterate(value);
  std::vector<Value> keys, groups;
  for (const Value& item : items) keys.push_back(a.flag(2, false) ? key_of(item) : fold_case(key_of(item)));
  const auto pairs = [&] {
    std::vector<Value> both;
    for (size_t i = 0; i < items.size(); ++i) both.push_back(pair_of(keys[i], items[i]));
    return sorted_by(both, keys, false);
  }();
  for (size_t begin = 0, end = 0; begin < pairs.size(); begin = end) {
    std::vector<Value> group;
    const Value& key = pairs[begin].list().items[0];
    for (; end < pairs.size() && equal(pairs[end].list().items[0], key); ++end)
      group.push_back(pairs[end].list().items[1]);
    if (group.empty()) raise("groupby() cannot group by a value that is not equal to itself");
    const Value shown = key_of(group[0]);
    groups.push_back(Value(ListType::group, {shown, list_of(std::move(group))}));
  }
  return list_of(std::move(groups));
}

// ---- filters that apply others ----

std::string take_name(Args& args, std::string_view filter) {
  if (args.positional.empty()) raise("{} requires a filter or attribute argument", filter);
  const Value name = args.positional.front();
  args.positional.erase(args.positional.begin());
  require_defined(name);
  return to_text(name);
}

Value map_filter(const Value& value, Args& args) {
  if (!truth(value)) return iterator_of({});
  std::vector<Value> out;
  if (args.positional.empty() &&
      std::any_of(args.named.begin(), args.named.end(), [](const auto& a) { return a.first == "attribute"; })) {
    const Bound a("map", args, {"attribute", "default"}, 0);
    for (const Value& item : iterate(value)) {
      Value v = get_path(item, a[0]);
      out.push_back(v.is(Kind::undefined) && a.has(1) ? a[1] : v);
    }
    return iterator_of(std::move(out));
  }
  const std::string name = take_name(args, "map");
  for (const Value& item : iterate(value)) {
    Args each = args;
    out.push_back(apply_filter(name, item, each));
  }
  return iterator_of(std::move(out));
}

template <bool wanted, bool by_attribute>
Value select_filter(const Value& value, Args& args) {
  if (!truth(value)) return iterator_of({});
  Value path;
  if (by_attribute) {
    if (args.positional.empty()) raise("Missing parameter for attribute name");
    path = args.positional.front();
    args.positional.erase(args.positional.begin());
  }
  const bool has_test = !args.positional.empty();
  const std::string test = has_test ? take_name(args, "select") : "";
  std::vector<Value> out;
  for (const Value& item : iterate(value)) {
    charge_step();
    const Value tested = get_path(item, path);
    Args each = args;
    if ((has_test ? apply_test(test, tested, each) : truth(tested)) == wanted) out.push_back(item);
  }
  return iterator_of(std::move(out));
}

Value default_filter(const Value& value, Args& args) {
  const Bound a("default", args, {"default_value", "boolean"}, 0);
  const bool replace_it = value.is(Kind::undefined) || (a.flag(1, false) && !truth(value));
  return replace_it ? a.value_or(0, Value("")) : value;
}

Value attr_filter(const Value& value, Args& args) {
  const Bound a("attr", args, {"name"}, 1);
  const std::string name = a.text(0);
  if (!value.is(Kind::dict)) return get_attribute(value, name);
  return find_method(value, name)
      .value_or(Value::undefined(fmt::format("'dict object' has no attribute {}", repr_text(name))));
}

constexpr FilterEntry kSequenceFilters[] = {
    {"attr", attr_filter},
    {"batch", batch_filter},
    {"count", length_filter},
    {"d", default_filter},
    {"default", default_filter},
    {"dictsort", dictsort_filter},
    {"first", first_filter},
    {"groupby", groupby_filter},
    {"items", items_filter},
    {"last", last_filter},
    {"length", length_filter},
    {"list", list_filter},
    {"map", map_filter},
    {"max", extreme_filter<true>},
    {"min", extreme_filter<false>},
    {"reject", select_filter<false, false>},
    {"rejectattr", select_filter<false, true>},
    {"reverse", reverse_filter},
    {"select", select_filter<true, false>},
    {"selectattr", select_filter<true, true>},
    {"slice", slice_filter},
    {"sort", sort_filter},
    {"sum", sum_filter},
    {"unique", unique_filter},
};

Filter find_filter(std::string_view name) {
  for (const std::span<const FilterEntry> table : {std::span<const FilterEntry>(kSequenceFilters), text_filters()})
    for (const FilterEntry& entry : table)
      if (entry.name == name) return entry.filter;
  return nullptr;
}

}  // namespace

bool has_filter(std::string_view name) { return find_filter(name) != nullptr; }

Value apply_filter(std::string_view name, const Value& value, Args& args) {
  charge_step();
  charge_text(value);
  const Filter filter = find_filter(name);
  if (!filter) raise("No filter named {}.", repr_text(name));
  return filter(value, args);
}

}  // namespace mynah::jinja
