#include "tasks/candidates.h"

#include <algorithm>

namespace mynah::tasks {
namespace {

constexpr size_t kMost = 300, kMostCompared = 30000;

float area(const std::array<float, 4>& b) { return std::max(b[2] - b[0], 0.0f) * std::max(b[3] - b[1], 0.0f); }

float overlap_of(const std::array<float, 4>& a, const std::array<float, 4>& b) {
  const float both = area({std::max(a[0], b[0]), std::max(a[1], b[1]), std::min(a[2], b[2]), std::min(a[3], b[3])});
  const float either = area(a) + area(b) - both;
  return either > 0 ? both / either : 0;
}

}  // namespace

std::vector<Candidate> without_overlaps(std::vector<Candidate> all, float overlap) {
  std::stable_sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) { return a.score > b.score; });
  if (all.size() > kMostCompared) all.resize(kMostCompared);
  std::vector<Candidate> kept;
  for (const Candidate& c : all) {
    if (kept.size() == kMost) break;
    const bool hidden = std::any_of(kept.begin(), kept.end(), [&](const Candidate& k) { return k.label == c.label && overlap_of(k.box, c.box) > overlap; });
    if (!hidden) kept.push_back(c);
  }
  return kept;
}

}  // namespace mynah::tasks
