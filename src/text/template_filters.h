// The tables of filters by name.
#pragma once
#include <span>

#include "text/template_objects.h"

namespace mynah::jinja {

using Filter = Value (*)(const Value& value, Args& args);
struct FilterEntry {
  std::string_view name;
  Filter filter;
};

std::span<const FilterEntry> text_filters();

}  // namespace mynah::jinja
