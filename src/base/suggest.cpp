#include "base/suggest.h"

#include <algorithm>

#include "base/edit_distance.h"

namespace mynah {
std::string did_you_mean(const std::string& word, const std::vector<std::string>& names) {
  const std::string* best = nullptr;
  size_t least = 0;
  for (const std::string& name : names) {
    const size_t d = edit_distance(word, name);
    if (!best || d < least) {
      best = &name;
      least = d;
    }
  }
  return best && least <= std::max<size_t>(1, word.size() / 3) ? ", did you mean " + *best + "?" : "";
}

}  // namespace mynah
