#include "bundle/some_of.h"

#include <fmt/ranges.h>

#include <algorithm>

namespace mynah::bundle {

std::string some_of(const std::vector<std::string>& items) {
  constexpr size_t kShown = 4;
  std::string text = fmt::format("{}", fmt::join(items.begin(), items.begin() + static_cast<long>(std::min(items.size(), kShown)), "; "));
  if (items.size() > kShown) text += fmt::format(" and {} more", items.size() - kShown);
  return text;
}

}  // namespace mynah::bundle
