#include <algorithm>

#include "text/template_builtins.h"

namespace mynah::jinja {
namespace {

constexpr int64_t kMaxRange = 100'000;  // Jinja2's own limit
constexpr int64_t kFarthest = int64_t{1} << 60;

Value make_range(Args& args) {
  if (args.positional.empty() || args.positional.size() > 3 || !args.named.empty())
    raise("range() takes 1 to 3 arguments");
  int64_t bounds[3] = {0, 0, 1};
  for (size_t i = 0; i < args.positional.size(); ++i) {
    const Value& v = args.positional[i];
    require_defined(v);
    if (!v.is_integral()) raise("'{}' object cannot be interpreted as an integer", type_name(v));
    if (v.integer() > kFarthest || v.integer() < -kFarthest) raise("range() takes numbers up to 2**60");
    bounds[args.positional.size() == 1 ? 1 : i] = v.integer();
  }
  const auto [start, stop, step] = bounds;
  if (step == 0) raise("range() arg 3 must not be zero");
  const int64_t distance = step > 0 ? stop - start : start - stop;
  const int64_t length = distance <= 0 ? 0 : (distance - 1) / std::abs(step) + 1;
  if (length > kMaxRange) raise("Range too big. The sandbox blocks ranges larger than {}.", kMaxRange);
  std::vector<Value> items;
  items.reserve(static_cast<size_t>(length));
  for (int64_t i = 0; i < length; ++i) items.emplace_back(start + i * step);
  Value range(ListType::range, std::move(items));
  range.list().start = start;
  range.list().stop = stop;
  range.list().step = step;
  return range;
}

void fill(DictObject& dict, std::string_view function, const Args& args) {
  if (args.positional.size() > 1) raise("{}() takes at most one positional argument", function);
  for (const Value& source : args.positional) {
    if (source.is(Kind::dict)) {
      for (const auto& [key, value] : source.dict().items) dict.set(key, value);
      continue;
    }
    for (const Value& entry : iterate(source)) {
      const std::vector<Value> pair = iterate(entry);
      if (pair.size() != 2) raise("{}() takes pairs, got a sequence of {} items", function, pair.size());
      dict.set(pair[0], pair[1]);
    }
  }
  for (const auto& [key, value] : args.named) dict.set(Value(key), value);
}

Value make_dict(Args& args) {
  auto dict = std::make_shared<DictObject>();
  fill(*dict, "dict", args);
  return Value(std::move(dict));
}

struct CyclerObject : WithAttributes {
  std::string_view type_name() const override { return "Cycler"; }
  std::optional<Value> attribute(std::string_view name, const Value& self) override {
    if (name == "current") return items[position];
    if (name == "next")
      return make_function(
          [this](Args&) {
            const Value now = items[position];
            position = (position + 1) % items.size();
            return now;
          },
          self);
    if (name == "reset")
      return make_function(
          [this](Args&) {
            position = 0;
            return Value();
          },
          self);
    return std::nullopt;
  }
  std::vector<Value> items;
  size_t position = 0;
};

Value make_cycler(Args& args) {
  if (args.positional.empty()) raise("at least one item has to be provided");
  auto cycler = std::make_shared<CyclerObject>();
  for (const Value& item : args.positional) cycler->depth = std::max(cycler->depth, item.depth() + 1);
  if (cycler->depth > kMaxValueDepth) raise("objects nested more than {} deep", kMaxValueDepth);
  cycler->items = args.positional;
  return Value(std::shared_ptr<Object>(std::move(cycler)));
}

Value make_joiner(Args& args) {
  const Bound a("joiner", args, {"sep"}, 0);
  const Value separator = a.value_or(0, Value(", "));
  return make_function(
      [separator, used = false](Args&) mutable { return std::exchange(used, true) ? separator : Value(""); },
      separator);
}

Value make_namespace(Args& args, GlobalState& state) {
  auto space = std::make_shared<NamespaceObject>();
  fill(space->attributes, "namespace", args);
  state.namespaces.push_back(space);
  return Value(std::shared_ptr<Object>(std::move(space)));
}

Value raise_exception(Args& args) {
  const Bound a("raise_exception", args, {"message"}, 1);
  raise("{}", to_text(a[0]));
}

Value strftime_now(Args& args, const GlobalState& state) {
  const Bound a("strftime_now", args, {"format"}, 1);
  const std::string format = a.text(0);
  if (format.size() > 256) raise("strftime_now(): a format of more than 256 bytes");
  if (format.empty()) return Value("");
  std::tm now{};
  if (state.now) {
    now = *state.now;
  } else {
    const std::time_t seconds = std::time(nullptr);
    localtime_r(&seconds, &now);
  }
  char buffer[8192];
  const size_t n = std::strftime(buffer, sizeof buffer, format.c_str(), &now);
  return Value(std::string(buffer, n));
}

}  // namespace

std::optional<Value> find_global(std::string_view name, GlobalState& state) {
  if (name == "range") return make_function(make_range);
  if (name == "dict") return make_function(make_dict);
  if (name == "cycler") return make_function(make_cycler);
  if (name == "joiner") return make_function(make_joiner);
  if (name == "namespace") return make_function([&state](Args& args) { return make_namespace(args, state); });
  if (name == "raise_exception") return make_function(raise_exception);
  if (name == "strftime_now") return make_function([&state](Args& args) { return strftime_now(args, state); });
  return std::nullopt;
}

}  // namespace mynah::jinja
