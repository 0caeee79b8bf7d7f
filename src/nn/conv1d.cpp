#include "nn/conv1d.h"

namespace mynah::nn {

Conv1d::Conv1d(const Weights& w, std::string_view name, int64_t in, int64_t out, const Conv1dConfig& config, Init init)
    : c(config) {
  const Shape shape = c.transposed ? Shape{in, out / c.groups, c.kernel} : Shape{out, in / c.groups, c.kernel};
  const Weights at = w / name;
  const bool normed = !at.has("weight") && (at.has("weight_g") || at.has("parametrizations.weight.original0"));
  if (normed)
    norm = WeightNorm(w, name, shape, 0, init);
  else
    norm.v = at.tensor("weight", shape, init);
  if (c.bias) bias = at.tensor("bias", {out}, Init::zeros());
  if (!norm.v.defined() || norm.v.requires_grad()) return;
  fixed = norm();
  packed = ops::PackedConv1d::pack(fixed, bias, {c.stride, c.padding, c.dilation, c.groups, c.transposed});
  if (packed) fixed = {};
}

Tensor Conv1d::operator()(const Tensor& in, float slope, const Tensor& residual) const {
  if (packed && !in.requires_grad()) return (*packed)(in, slope, residual);
  const Tensor weight = fixed.defined() ? fixed : norm(), x = slope == 1 ? in : maximum(in, in * slope);
  const Tensor y = c.transposed ? conv_transpose1d(x, weight, bias, c.stride, c.padding, 0, c.groups, c.dilation)
                                : conv1d(x, weight, bias, c.stride, c.padding, c.dilation, c.groups);
  return residual.defined() ? y + residual : y;
}

}  // namespace mynah::nn
