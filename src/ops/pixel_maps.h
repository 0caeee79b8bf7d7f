// Maps [N,C,H,W] whose numbers lie pixel by pixel, the channels of one beside each other: what folded convolutions read and write. They are
// ordinary f32 tensors with such strides, which every op takes; a run of channels of one (narrow) is such a map too, so that parts can be
// written side by side instead of being joined. Nothing here is recorded.
#pragma once
#include <array>

#include "mynah/tensor.h"

namespace mynah::ops {

Tensor empty_pixels(int64_t images, int64_t channels, int64_t height, int64_t width);
// The same with nothing between the pixels, so that they are also the rows [N*H*W, C] of a matrix.
Tensor dense_pixels(int64_t images, int64_t channels, int64_t height, int64_t width);
bool by_pixels(const Tensor& x);
// x itself, or a copy that lies so. x [N,C,H,W] of any strides and floating type.
Tensor in_pixels(const Tensor& x);
// x, by pixels, with zeros around it, `padding` lines above and below and as many pixels left and right; x itself without padding.
Tensor padded_pixels(const Tensor& x, std::array<int64_t, 2> padding);
// Copies x into `into`, of the same shape and by pixels.
void copy_pixels(const Tensor& x, Tensor into);
// Twice as high and wide, every pixel four times, in `into`. Both by pixels.
void double_pixels(const Tensor& x, Tensor into);
// The largest of every window, by pixels; zeros around x do not count. `into`: of the result's shape and by pixels.
void max_pool_pixels(const Tensor& x, std::array<int64_t, 2> kernel, std::array<int64_t, 2> stride, std::array<int64_t, 2> padding, Tensor into);

}  // namespace mynah::ops
