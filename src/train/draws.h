// Uniform numbers of one row in one pass, one after another, the same for any order of the rows.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/random.h"

namespace mynah::train {

class Draws {
 public:
  // `stream` names the row and the pass.
  Draws(uint64_t seed, uint64_t stream) : seed_(seed), stream_(stream) {}
  float operator()() { return mynah::uniform(seed_, stream_, next_++, RandomPurpose::data_order); }
  double uniform(double low, double high) { return low + (high - low) * static_cast<double>((*this)()); }
  bool even() { return (*this)() < 0.5f; }
  // 0 .. n - 1
  int64_t below(int64_t n) { return std::min(n - 1, static_cast<int64_t>(static_cast<double>((*this)()) * static_cast<double>(n))); }
  template <class Value>
  void shuffle(std::vector<Value>* values) {
    for (auto i = static_cast<int64_t>(values->size()) - 1; i > 0; --i)
      std::swap((*values)[static_cast<size_t>(i)], (*values)[static_cast<size_t>(below(i + 1))]);
  }

 private:
  uint64_t seed_, stream_, next_ = uint64_t{1} << 32;  // far from the draws of the order of rows
};

}  // namespace mynah::train
