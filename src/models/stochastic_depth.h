// Stochastic depth (arXiv:1603.09382) that grows from layer to layer: nothing at the first, `rate` at the last.
#pragma once
#include <cstdint>
#include <numeric>
#include <vector>

namespace mynah {

class StochasticDepth {
 public:
  // `depths`: layers of each stage.
  StochasticDepth(float rate, const std::vector<int64_t>& depths) : rate_(rate), last_(std::accumulate(depths.begin(), depths.end(), int64_t{0}) - 1) {}
  // Of the next layer, in the order in which they are made.
  float next() {
    const int64_t layer = made_++;
    return last_ > 0 ? rate_ * static_cast<float>(layer) / static_cast<float>(last_) : 0;
  }

 private:
  float rate_;
  int64_t last_, made_ = 0;
};

}  // namespace mynah
