// Python's operators on template values: arithmetic, comparison, subscripts and attributes.
#pragma once
#include "text/template_parser.h"
#include "text/template_value.h"

namespace mynah::jinja {

Value binary(Op op, const Value& a, const Value& b);
bool compare(Op op, const Value& a, const Value& b);
Value negate(const Value& v);
Value plus(const Value& v);

// object[index]: as Jinja2, what is absent is undefined, and a string index may name an attribute.
Value get_item(const Value& object, const Value& index);
// object.name: attributes and methods first, then the key of a dict.
Value get_attribute(const Value& object, const std::string& name);
// object[start:stop:step]; none: absent.
Value get_slice(const Value& object, const Value& start, const Value& stop, const Value& step);
// One, or several with dots, as `attribute=` of filters takes them. `path` is a string, an integer or none (the item).
Value get_path(Value item, const Value& path);

}  // namespace mynah::jinja
