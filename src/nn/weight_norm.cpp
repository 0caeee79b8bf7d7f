#include "nn/weight_norm.h"

#include "mynah/ops.h"

namespace mynah::nn {

WeightNorm::WeightNorm(const Weights& w, std::string_view name, const Shape& shape, int dimension, Init init) : dim(dimension) {
  const Weights at = w / name;
  if (at.has("weight")) {
    v = at.tensor("weight", shape, init);
    return;
  }
  Shape lengths = shape;
  for (int i = 0; i < shape.rank(); ++i)
    if (i != dim) lengths[i] = 1;
  const bool old = at.has("weight_g");
  g = at.tensor(old ? "weight_g" : "parametrizations.weight.original0", lengths, Init::ones());
  v = at.tensor(old ? "weight_v" : "parametrizations.weight.original1", shape, init);
}

Tensor WeightNorm::operator()() const {
  if (!g.defined()) return v;
  Tensor squares = square(v);
  for (int i = 0; i < v.rank(); ++i)
    if (i != dim) squares = sum(squares, i, true);
  return v * (g / sqrt(squares));
}

}  // namespace mynah::nn
