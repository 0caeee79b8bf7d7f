// Maps [B,C,h,w] of vision networks as rows of places [B*h*w, C] and back, and the modules that work on maps.
#pragma once
#include <array>
#include <string_view>

#include "mynah/ops.h"
#include "nn/batch_norm.h"
#include "nn/weights.h"
#include "ops/folded_conv.h"

namespace mynah {

struct MapSize {
  explicit MapSize(const Tensor& maps) : images(maps.size(0)), height(maps.size(2)), width(maps.size(3)) {}
  MapSize(int64_t images_, int64_t height_, int64_t width_) : images(images_), height(height_), width(width_) {}
  int64_t images, height, width;
};

Tensor map_rows(const Tensor& maps);                      // [B,C,h,w] -> [B*h*w, C]
Tensor maps_of(const Tensor& rows, const MapSize& size);  // and back
// Bilinear with the corners of both sizes aligned.
Tensor resize_aligned(const Tensor& maps, int64_t height, int64_t width);

// What folded convolutions compute in where matrices are kept so.
inline ops::ConvNumbers conv_numbers(nn::MatrixType matrices) {
  return matrices == nn::MatrixType::bf16 ? ops::ConvNumbers::bf16 : matrices == nn::MatrixType::int8 ? ops::ConvNumbers::int8 : ops::ConvNumbers::f32;
}

// "<name>.weight" [out, in / groups, kernel, kernel] and "<name>.bias" [out]
struct MapConvolution {
  MapConvolution() = default;
  MapConvolution(const nn::Weights& w, std::string_view name, int64_t in, int64_t out, int64_t kernel, nn::Init init, int64_t groups_ = 1, bool with_bias = true,
                 nn::Init bias_init = nn::Init::zeros())
      : weight((w / name).tensor("weight", {out, in / groups_, kernel, kernel}, init)), groups(groups_) {
    if (with_bias) bias = (w / name).tensor("bias", {out}, bias_init);
  }
  Tensor forward(const Tensor& x, std::array<int64_t, 2> stride = {1, 1}, std::array<int64_t, 2> padding = {0, 0}) const {
    return conv2d(x, weight, bias, {stride, padding, {1, 1}, groups});
  }
  // Same size: half the kernel of zeros around.
  Tensor same(const Tensor& x) const { return forward(x, {1, 1}, {weight.size(2) / 2, weight.size(3) / 2}); }
  bool defined() const { return weight.defined(); }

  Tensor weight, bias;
  int64_t groups = 1;
};

// Batch norm: "<name>.weight", ".bias", ".running_mean", ".running_var" [C]
struct MapNorm {
  MapNorm() = default;
  MapNorm(const nn::Weights& w, std::string_view name, int64_t size, float epsilon, float momentum_ = 0.1f)
      : weight((w / name).tensor("weight", {size}, nn::Init::ones())),
        bias((w / name).tensor("bias", {size}, nn::Init::zeros())),
        mean((w / name).buffer("running_mean", {size}, nn::Init::zeros())),
        variance((w / name).buffer("running_var", {size}, nn::Init::ones())),
        eps(epsilon),
        momentum(momentum_) {}
  Tensor operator()(const Tensor& x) const { return nn::batch_norm(x, mean, variance, weight, bias, eps, momentum); }

  Tensor weight, bias, mean, variance;
  float eps = 0, momentum = 0;
};

}  // namespace mynah
