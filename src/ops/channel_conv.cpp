#include "ops/channel_conv.h"

#include "kernels/conv.h"
#include "ops/internal.h"
#include "ops/pixel_maps.h"

namespace mynah::ops {

ChannelConv::ChannelConv(const Tensor& weight_in, const Tensor& shift, const ConvConfig& config)
    : channels_(weight_in.size(0)), kh_(weight_in.size(2)), kw_(weight_in.size(3)), config_(config) {
  MYNAH_CHECK(weight_in.size(1) == 1 && config.groups == channels_);
  NoGrad no_grad;
  const Tensor weight = input(weight_in.detach());
  const int64_t taps = kh_ * kw_;
  weights_.resize(static_cast<size_t>(taps * channels_));
  for (int64_t c = 0; c < channels_; ++c)
    for (int64_t t = 0; t < taps; ++t) weights_[static_cast<size_t>(t * channels_ + c)] = weight.data<float>()[c * taps + t];
  shifts_ = shift.defined() ? shift.to_vector() : std::vector<float>(static_cast<size_t>(channels_), 0.0f);
}

Tensor ChannelConv::operator()(const Tensor& x_in) const {
  require(x_in.rank() == 4 && x_in.size(1) == channels_, "conv2d: x {}, weight [{},1,{},{}]; expected [N,C,H,W]", x_in.shape().str(), channels_, kh_, kw_);
  NoGrad no_grad;
  const Tensor x = padded_pixels(in_pixels(x_in.detach()), config_.padding);
  const auto [down, across] = config_.stride;
  const int64_t reach_y = config_.dilation[0] * (kh_ - 1) + 1, reach_x = config_.dilation[1] * (kw_ - 1) + 1;
  require(x.size(2) >= reach_y && x.size(3) >= reach_x, "conv2d: x {} is smaller than the window {}x{}", x_in.shape().str(), kh_, kw_);
  Tensor y = dense_pixels(x.size(0), channels_, (x.size(2) - reach_y) / down + 1, (x.size(3) - reach_x) / across + 1);
  const int64_t lines = y.size(2);
  parallel_for(x.size(0) * lines, row_grain(channels_ * y.size(3) * kh_ * kw_, 1 << 18), [&](int64_t line, int64_t end) {
    for (; line < end; ++line) {
      const int64_t image = line / lines, at = line % lines;
      kernels::conv().multiply_channels({x.data<float>() + image * x.stride(0) + at * down * x.stride(2), across * x.stride(3), config_.dilation[0] * x.stride(2),
                                         config_.dilation[1] * x.stride(3), kh_, kw_, weights_.data(), shifts_.data(), channels_, y.size(3),
                                         y.data<float>() + image * y.stride(0) + at * y.stride(2), y.stride(3)});
    }
  });
  return y;
}

}  // namespace mynah::ops
