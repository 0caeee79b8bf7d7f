#include "suggest.h"

#include <algorithm>

namespace mynah::app {
namespace {

size_t distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

}  // namespace

std::string did_you_mean(const std::string& word, const std::vector<std::string>& names) {
  const std::string* best = nullptr;
  size_t least = 0;
  for (const std::string& name : names) {
    const size_t d = distance(word, name);
    if (!best || d < least) {
      best = &name;
      least = d;
    }
  }
  return best && least <= std::max<size_t>(1, word.size() / 3) ? ", did you mean " + *best + "?" : "";
}

}  // namespace mynah::app
