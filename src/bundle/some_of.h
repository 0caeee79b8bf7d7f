// Lists in messages, kept to one line.
#pragma once
#include <string>
#include <vector>

namespace mynah::bundle {

// "a; b; c; d and 12 more"
std::string some_of(const std::vector<std::string>& items);

}  // namespace mynah::bundle
