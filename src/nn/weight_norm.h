// Weights stored as a direction v and a length g: w = g v / |v|, the norm taken over all dimensions but one. arXiv:1602.07868
#pragma once
#include <string_view>

#include "nn/weights.h"

namespace mynah::nn {

struct WeightNorm {
  WeightNorm() = default;
  // "<name>.weight_g" and "<name>.weight_v" (or parametrizations.weight.original0 and 1, as newer checkpoints say; or a plain
  // "<name>.weight"). `shape` of v; g keeps dimension `dim` and has 1 elsewhere.
  WeightNorm(const Weights& w, std::string_view name, const Shape& shape, int dim, Init init = {});
  Tensor operator()() const;  // the weight

  Tensor g, v;  // g undefined: v is the weight
  int dim = 0;
};

}  // namespace mynah::nn
