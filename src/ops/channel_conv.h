// Convolutions of each channel alone whose weights stay as they are, over maps that lie pixel by pixel (ops/pixel_maps.h). In f32.
#pragma once
#include <vector>

#include "mynah/ops.h"

namespace mynah::ops {

class ChannelConv {
 public:
  // weight [C,1,KH,KW], shift [C] or undefined; config.groups is C.
  ChannelConv(const Tensor& weight, const Tensor& shift, const ConvConfig& config);
  // x [N,C,H,W] -> the dense map by pixels of conv2d(x). Bits depend neither on the other images nor on the number of threads. Not recorded.
  // Throws failure for a misshapen x.
  Tensor operator()(const Tensor& x) const;

 private:
  int64_t channels_, kh_, kw_;
  ConvConfig config_;
  std::vector<float> weights_, shifts_;  // [KH,KW,C], [C]
};

}  // namespace mynah::ops
