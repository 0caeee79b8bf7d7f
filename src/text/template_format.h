// Python's two ways of formatting text: '%s' % x and '{}'.format(x).
#pragma once
#include "text/template_objects.h"

namespace mynah::jinja {

// `arguments`: a tuple for several places, a dict for named ones, else the one value.
std::string format_percent(const std::string& format, const Value& arguments);
std::string format_braces(const std::string& format, const Args& args);
// format(value, spec), the part of a {} field behind the colon.
std::string format_value(const Value& value, const std::string& spec);
// round(value, digits), half to even.
double round_to(double value, int64_t digits);

}  // namespace mynah::jinja
