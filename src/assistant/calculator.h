// Arithmetic as people say and write it.
#pragma once
#include <optional>
#include <string_view>

namespace mynah::assistant {

// "three times (4 + 5)", "15% of 80", "the square root of two": what it comes to. Absent for a text that is not wholly
// arithmetic, or a number alone. Throws failure where there is no result, as of a division by zero.
std::optional<double> calculate(std::string_view text);

}  // namespace mynah::assistant
