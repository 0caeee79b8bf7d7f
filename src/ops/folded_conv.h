// Convolutions whose weights stay as they are, for networks that only answer: the batch norm behind a convolution is folded into its
// weights, these are packed once, maps are read and written pixel by pixel (ops/pixel_maps.h) so that windows need no copies of them, and
// the activation and a residual are applied while a result is still in the cache.
#pragma once
#include <memory>
#include <vector>

#include "mynah/ops.h"

namespace mynah::kernels {
struct ConvTable;
struct ConvAfter;
}

namespace mynah::ops {

class WinogradConv;

// What products are computed in; f32 where the machine has no instruction for the others. f32: operands as they are, windows of 3x3 by
// Winograd's tiles. bf16: operands rounded to it, sums in f32; windows of 3x3 between few channels as in f32, which is faster there. int8:
// weights have a scale for each output, maps one (and a zero) for each image, both from their largest numbers; sums are exact.
enum class ConvNumbers { f32, bf16, int8 };

enum class ConvThen { nothing, relu, silu };

// What follows a folded convolution.
struct ConvAfter {
  ConvThen then = ConvThen::nothing;
  Tensor added = {};        // of the result's shape, or undefined
  bool added_last = false;  // after the activation
  Tensor into = {};         // where the result goes, by pixels; undefined: a new map
};

class FoldedConv {
 public:
  // weight [O,C,KH,KW] (one group), multiplied with scale [O] (undefined: 1); shift [O] is added (undefined: 0).
  FoldedConv(const Tensor& weight, const Tensor& scale, const Tensor& shift, const ConvConfig& config, ConvNumbers numbers = ConvNumbers::f32);

  // x [N,C,H,W] -> the map by pixels of then(conv2d(x) + added), or then(conv2d(x)) + added. Bits depend neither on the other images nor on
  // the number of threads. Not recorded. Throws failure for a misshapen x.
  Tensor operator()(const Tensor& x, const ConvAfter& after = {}) const;

  // The factor and the summand of each channel that batch_norm(x, mean, variance, weight, bias, eps) amounts to.
  static std::pair<Tensor, Tensor> of_norm(const Tensor& mean, const Tensor& variance, const Tensor& weight, const Tensor& bias, float eps);

 private:
  struct Map;
  struct Bytes;
  void pack(const float* weight);
  Map operand(const Tensor& x, const Bytes* bytes) const;
  void multiply(const Map& map, const Bytes* bytes, const ConvAfter& after, Tensor& y) const;

  int64_t outputs_, channels_, kh_, kw_;
  ConvConfig config_;
  ConvNumbers numbers_;
  const kernels::ConvTable* table_;              // the kernels it is packed for
  int64_t cells_ = 0;                            // words of a pixel
  std::shared_ptr<uint32_t> packed_;             // panels [KH * KW * cells][16]
  std::vector<float> shift_, weight_scale_;      // [O rounded up to panels]; the latter of int8
  std::vector<int32_t> weight_sum_;              // of int8 codes
  std::shared_ptr<const WinogradConv> winograd_;  // instead of packed_
};

}  // namespace mynah::ops
