// Convolutions whose weights stay as they are, for networks that only answer: the batch norm behind a convolution is folded into its
// weights, these are packed once, and the activation and a residual are applied while a tile is still in the cache.
#pragma once
#include <memory>

#include "mynah/ops.h"

namespace mynah::ops {

class FoldedConv {
 public:
  // weight [O,C,KH,KW] (one group), multiplied with scale [O] (undefined: 1); shift [O] is added (undefined: 0). `in_bf16`: products of
  // operands rounded to bf16, summed in f32, where the machine multiplies pairs of them; else in f32.
  FoldedConv(const Tensor& weight, const Tensor& scale, const Tensor& shift, const ConvConfig& config, bool in_bf16 = false);

  // x [N,C,H,W] -> conv2d(x) + added, negative ones cut to 0 if `relu`; `added`: of the result's shape, or undefined. Bits depend
  // neither on the other images nor on the number of threads. Not recorded. Throws failure for a misshapen x.
  Tensor operator()(const Tensor& x, bool relu, const Tensor& added = {}) const;

  // The factor and the summand of each channel that batch_norm(x, mean, variance, weight, bias, eps) amounts to.
  static std::pair<Tensor, Tensor> of_norm(const Tensor& mean, const Tensor& variance, const Tensor& weight, const Tensor& bias, float eps);

 private:
  struct Places;
  void spread(const Places& s, const float* planes, int64_t first, int64_t count, float* to) const;
  void pack(const Places& s, const float* planes, int64_t first, int64_t count, float* to) const;
  void multiply(const Places& s, const float* columns, int64_t row, int64_t rows, int64_t first, int64_t count, float* y, const float* added, bool relu) const;

  int64_t outputs_, channels_, kh_, kw_, depth_;
  bool in_bf16_;
  int64_t units_;                  // words of a packed column
  int64_t tile_rows_, panel_;      // height of a packed panel of weights, words from one to the next
  ConvConfig config_;
  std::vector<float> shift_;
  std::shared_ptr<float> packed_;
  const void* table_;              // the kernels it is packed for
};

}  // namespace mynah::ops
