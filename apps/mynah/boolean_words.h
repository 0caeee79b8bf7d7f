// Booleans on the command line.
#pragma once
#include <string>
#include <vector>

namespace mynah::app {

// Booleans stand alone or carry true, false, 1 or 0 as the next word; any other next word is not theirs. `flags`: "--do-sample".
std::vector<std::string> join_boolean_values(const std::vector<std::string>& words, const std::vector<std::string>& flags);

}  // namespace mynah::app
