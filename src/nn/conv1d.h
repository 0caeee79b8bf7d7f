// A convolution over time as modules hold it: "<name>.weight" (or its direction and length, weight_norm.h) and
// "<name>.bias" [out].
#pragma once
#include <memory>
#include <string_view>

#include "mynah/ops.h"
#include "nn/weight_norm.h"
#include "ops/packed_conv.h"

namespace mynah::nn {

struct Conv1dConfig {
  int64_t kernel = 1, stride = 1, padding = 0, dilation = 1, groups = 1;
  bool bias = true;
  bool transposed = false;  // the weight is [in, out / groups, kernel] instead of [out, in / groups, kernel]

  // A window that leaves the length as it is, for odd kernels.
  static Conv1dConfig same(int64_t kernel, int64_t dilation = 1) {
    return {.kernel = kernel, .padding = (kernel * dilation - dilation) / 2, .dilation = dilation};
  }
};

struct Conv1d {
  Conv1d() = default;
  Conv1d(const Weights& w, std::string_view name, int64_t in, int64_t out, const Conv1dConfig& config = {},
         Init init = {});
  // conv(leaky_relu(x, slope)) + residual, [B, in, T] -> [B, out, T']; `residual` has the result's shape or is
  // undefined.
  Tensor operator()(const Tensor& x, float slope = 1, const Tensor& residual = {}) const;

  Conv1dConfig c;
  WeightNorm norm;
  Tensor fixed;                                     // the weight, computed once where it is not trained
  std::shared_ptr<const ops::PackedConv1d> packed;  // likewise
  Tensor bias;
};

}  // namespace mynah::nn
