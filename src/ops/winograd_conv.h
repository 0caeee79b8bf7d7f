// Convolutions of 3x3 windows in f32 by Winograd's minimal filtering, arXiv:1509.09308: F(4x4, 3x3) takes 36 products for 16 places and a channel
// instead of 144, F(2x2, 3x3) 16 for four instead of 36 and needs less than half of the memory for weights.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "mynah/tensor.h"

namespace mynah::kernels {
struct ConvTable;
struct ConvAfter;
struct WinogradTile;
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
  const kernels::WinogradTile* tile_;
  int64_t seen_, positions_;          // pixels that a tile sees in a direction and in both
  std::shared_ptr<uint32_t> packed_;  // positions of panels [C][16]
  std::vector<float> zeros_;          // a pixel of the padding
};

}  // namespace mynah::ops
