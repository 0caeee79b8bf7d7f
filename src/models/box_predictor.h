// Three linear maps with relu between them, which turn the row of a detector's query into a box or a class.
#pragma once
#include <string>
#include <vector>

#include "mynah/ops.h"
#include "nn/layers.h"

namespace mynah {

struct BoxPredictor {
  BoxPredictor(const nn::Weights& w, int64_t in, int64_t out, nn::Init init) {
    for (int64_t i = 0; i < 3; ++i) layers.emplace_back(w / "layers", std::to_string(i), in, i == 2 ? out : in, init);
  }
  Tensor operator()(const Tensor& x) const { return layers[2](relu(layers[1](relu(layers[0](x))))); }

  std::vector<nn::Linear> layers;
};

}  // namespace mynah
