// SpecAugment (arXiv:1904.08779) as the reference's models of sound use it while training: spans of time, and of features, are hidden.
#pragma once
#include <cstdint>
#include <vector>

#include "mynah/json.h"

namespace mynah::nn {

class SpecAugment {
 public:
  // config.json's apply_spec_augment (`otherwise` where it is missing) and mask_time_*, mask_feature_*.
  SpecAugment(const Json& config, bool otherwise);

  // Which of `steps` moments are hidden, row by row, 1 for hidden: [rows, steps]. `lengths`: the moments of each row that count. Empty if
  // nothing is hidden, as outside training. Drawn from the same numbers as dropout.
  std::vector<uint8_t> hidden_moments(int64_t steps, const std::vector<int64_t>& lengths) const;
  // Likewise of `features` features, all of which count.
  std::vector<uint8_t> hidden_features(int64_t rows, int64_t features) const;

 private:
  struct Spans {
    double probability;  // of a place to lie in a span
    int64_t length, fewest;
    std::vector<uint8_t> draw(int64_t size, const std::vector<int64_t>& lengths) const;
  };
  Spans time_, features_;
};

}  // namespace mynah::nn
