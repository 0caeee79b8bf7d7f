// "Did you mean": the nearest of the known names.
#pragma once
#include <string>
#include <vector>

namespace mynah {

// ", did you mean X?" for the nearest name by edit distance, or nothing if none is near.
std::string did_you_mean(const std::string& word, const std::vector<std::string>& names);

}  // namespace mynah
