// Labels of rows, and the outputs of a classifier that they mean.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mynah/json.h"

namespace mynah::train {

// A whole number, also when a CSV file spells it; true is 1.
std::optional<int64_t> as_integer(const Json& value);
// The names of a classifier's outputs, by number.
std::vector<std::string> class_names(const Json& config);
// The output that a label, a name or a number, means. Throws failure if there is none.
int32_t class_of(const Json& label, const std::vector<std::string>& names, const std::string& where);

}  // namespace mynah::train
