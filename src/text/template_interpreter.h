// Runs the syntax tree of a template.
#pragma once
#include <ctime>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "text/template_parser.h"

namespace mynah::jinja {

struct RunProblem {
  std::string reason;
  int line;
};

// Bytes [begin, end) of the output that `{% generation %}` blocks wrote.
using GeneratedSpans = std::vector<std::pair<size_t, size_t>>;

// The text that `tree` gives for `variables`. Throws RunProblem.
std::string run_template(const Tree& tree, const Json& variables, const std::optional<std::tm>& now,
                         GeneratedSpans* generated = nullptr);

}  // namespace mynah::jinja
