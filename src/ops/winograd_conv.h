// Convolutions of 3x3 windows in f32 by Winograd's F(2x2, 3x3), arXiv:1509.09308: 16 products for four places and a channel instead of 36.
#pragma once
#include <cstdint>
#include <memory>

#include "mynah/tensor.h"

namespace mynah::kernels {
struct ConvTable;
struct ConvAfter;
}

namespace mynah::ops {

class WinogradConv {
 public:
  // weight [O,C,3,3], dense.
  WinogradConv(const float* weight, int64_t outputs, int64_t channels, const kernels::ConvTable& table);
  // x and y by pixels, `padding` zeros around x; `after` as kernels::ConvJob has it, for the first pixel of the first image; images of
  // `added` are `added_image` apart.
  void operator()(const Tensor& x, std::array<int64_t, 2> padding, const kernels::ConvAfter& after, int64_t added_image, Tensor& y) const;

 private:
  int64_t outputs_, channels_;
  int64_t position_;  // words of packed weights of a position
  const kernels::ConvTable* table_;
  std::shared_ptr<uint32_t> packed_;  // 16 positions of panels [C][16]
};

}  // namespace mynah::ops
