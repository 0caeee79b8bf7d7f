// Watermark of arXiv:2306.04634: a part of the vocabulary, drawn anew from the last tokens at every step, is made likelier.
// The draws are those of the reference (PyTorch's Mersenne twister and its randperm), so that its detector finds them.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "mynah/generate.h"

namespace mynah::generation {

class Watermark {
 public:
  Watermark(const WatermarkingConfig& config, int64_t vocabulary);
  // Adds the bias to the green tokens' scores. `tokens`: prompt and answer so far; too few of them change nothing.
  void operator()(std::span<const int32_t> tokens, std::span<float> scores) const;

 private:
  std::vector<int32_t> green(std::span<const int32_t> context) const;

  WatermarkingConfig config_;
  int64_t green_count_;
  std::vector<int32_t> table_;  // selfhash: a permutation that hashes tokens
  int64_t vocabulary_;
};

}  // namespace mynah::generation
