#include "text/template_objects.h"

#include <algorithm>

namespace mynah::jinja {

LoopObject::LoopObject(std::vector<Value> loop_items) : items(std::move(loop_items)) {
  for (const Value& item : items) depth = std::max(depth, item.depth() + 1);
  if (depth > kMaxValueDepth) raise("objects nested more than {} deep", kMaxValueDepth);
}

std::optional<Value> LoopObject::attribute(std::string_view name, const Value& self) {
  const int64_t length = static_cast<int64_t>(items.size());
  if (name == "index") return Value(index0 + 1);
  if (name == "index0") return Value(index0);
  if (name == "revindex") return Value(length - index0);
  if (name == "revindex0") return Value(length - index0 - 1);
  if (name == "first") return Value(index0 == 0);
  if (name == "last") return Value(index0 + 1 == length);
  if (name == "length") return Value(length);
  if (name == "depth") return Value(int64_t{1});
  if (name == "depth0") return Value(int64_t{0});
  if (name == "previtem")
    return index0 == 0 ? Value::undefined("there is no previous item") : items[static_cast<size_t>(index0 - 1)];
  if (name == "nextitem")
    return index0 + 1 >= length ? Value::undefined("there is no next item") : items[static_cast<size_t>(index0 + 1)];
  if (name == "cycle")
    return make_function(
        [this](Args& args) {
          if (args.positional.empty()) raise("no items for cycling given");
          return args.positional[static_cast<size_t>(index0) % args.positional.size()];
        },
        self);
  return std::nullopt;
}

Bound::Bound(std::string_view function, Args& args, std::initializer_list<std::string_view> parameters, size_t needed)
    : function_(function), names_(parameters), values_(parameters.size()) {
  if (args.positional.size() > names_.size())
    raise("{}() takes at most {} arguments ({} given)", function, names_.size(), args.positional.size());
  for (size_t i = 0; i < args.positional.size(); ++i) values_[i] = args.positional[i];
  for (const auto& [name, value] : args.named) {
    const auto at = static_cast<size_t>(std::find(names_.begin(), names_.end(), name) - names_.begin());
    if (at == names_.size()) raise("{}() got an unexpected keyword argument '{}'", function, name);
    if (values_[at]) raise("{}() got two values for '{}'", function, name);
    values_[at] = value;
  }
  for (size_t i = 0; i < needed; ++i)
    if (!values_[i]) raise("{}() is missing the argument '{}'", function, names_[i]);
}

int64_t Bound::integer(size_t i, int64_t other) const {
  if (!given(i)) return other;
  require_defined(*values_[i]);
  if (!values_[i]->is_integral())
    raise("{}(): '{}' is a {}, not an integer", function_, names_[i], type_name(*values_[i]));
  return values_[i]->integer();
}

std::string Bound::text(size_t i) const {
  require_defined(*values_[i]);
  if (!values_[i]->is(Kind::string))
    raise("{}(): '{}' is a {}, not a string", function_, names_[i], type_name(*values_[i]));
  return values_[i]->text();
}

}  // namespace mynah::jinja
