// How many letters must be inserted, removed or replaced to turn one word into another: for "did you mean".
#pragma once
#include <cstddef>
#include <string_view>

namespace mynah {

size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace mynah
