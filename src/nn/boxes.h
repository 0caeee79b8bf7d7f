// Boxes in pictures: left, top, right, bottom in any unit.
#pragma once
#include <algorithm>
#include <array>

namespace mynah::nn {

// The area that both cover as a share of what either covers.
inline double overlap_of(const std::array<double, 4>& a, const std::array<double, 4>& b) {
  const double width = std::min(a[2], b[2]) - std::max(a[0], b[0]), height = std::min(a[3], b[3]) - std::max(a[1], b[1]);
  if (width <= 0 || height <= 0) return 0;
  const auto area = [](const std::array<double, 4>& box) { return (box[2] - box[0]) * (box[3] - box[1]); };
  return width * height / (area(a) + area(b) - width * height);
}

}  // namespace mynah::nn
