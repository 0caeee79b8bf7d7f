// The filters, tests and global functions of Jinja2, with those that transformers adds.
#pragma once
#include <ctime>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "text/template_objects.h"

namespace mynah::jinja {

// value|name(args) and value is name(args). Throw for unknown names.
Value apply_filter(std::string_view name, const Value& value, Args& args);
bool apply_test(std::string_view name, const Value& value, Args& args);
bool has_filter(std::string_view name);

// What global functions need from the rendering that runs.
struct GlobalState {
  std::optional<std::tm> now;                                // what strftime_now() sees
  std::vector<std::shared_ptr<NamespaceObject>> namespaces;  // all made so far: namespaces can form rings
};
// The global function of that name, if there is one. `state` must outlive it.
std::optional<Value> find_global(std::string_view name, GlobalState& state);

}  // namespace mynah::jinja
