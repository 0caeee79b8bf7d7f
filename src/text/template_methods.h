// Methods of str, dict, list and tuple that do not change their object.
#pragma once
#include <optional>

#include "text/template_objects.h"

namespace mynah::jinja {

// The method `name` of `self`, bound to it. Methods that would change a list or dict are undefined, as in the sandbox.
std::optional<Value> find_method(const Value& self, std::string_view name);

}  // namespace mynah::jinja
