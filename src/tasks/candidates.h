// Boxes that detectors propose, and which of them are kept.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

namespace mynah::tasks {

struct Candidate {
  float score;
  int64_t label;
  std::array<float, 4> box;  // left, top, right, bottom
};

// Best first, at most 300, without those whose intersection with a better one of their label is more than `overlap` of their union.
std::vector<Candidate> without_overlaps(std::vector<Candidate> all, float overlap);

}  // namespace mynah::tasks
