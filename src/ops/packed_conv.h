// A convolution over time whose weight never changes, packed once for the machine's matrix product. Time is cut into
// blocks whose columns are packed straight from the samples, so that no column matrix is written to memory; what stands
// before and behind the convolution in vocoders (a leaky rectifier, a bias, a residual) is done on the way. Not
// recorded: for inference.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "mynah/tensor.h"

namespace mynah::kernels {
struct GemmTable;
}

namespace mynah::ops {

class PackedConv1d {
 public:
  struct Config {
    int64_t stride = 1, padding = 0, dilation = 1, groups = 1;
    bool transposed = false;  // dilation and groups are 1 then
  };
  // weight [O, C/G, K] or, transposed, [C, O, K]; bias [O] or undefined. f32 of any strides. Null for what is not
  // packed: a transposed one with dilation or groups.
  static std::shared_ptr<const PackedConv1d> pack(const Tensor& weight, const Tensor& bias, const Config& config);

  // conv(leaky_relu(x, slope)) + residual: x [B,C,T] f32 -> [B,O,T']. `residual` has the result's shape or is
  // undefined; 0 <= slope <= 1.
  Tensor operator()(const Tensor& x, float slope = 1, const Tensor& residual = {}) const;

 private:
  struct Line;
  PackedConv1d() = default;
  void pack_rows(const float* weight, int64_t row_stride, int64_t channel_stride, int64_t tap_stride);
  void multiply_block(const Line& line, int64_t first, int64_t columns, float* out, int64_t row_stride) const;
  void convolve(const Line& line, const float* residual, float* y) const;
  void transpose_convolve(const Line& line, float* y) const;
  void each_channel(const float* x, int64_t length, int64_t out_length, float slope, const float* residual, float* y,
                    int64_t channel) const;

  Config c_;
  const kernels::GemmTable* table_ = nullptr;        // the kernels it is packed for
  int64_t channels_ = 0, outputs_ = 0, kernel_ = 0;  // of the whole convolution
  int64_t rows_ = 0, taps_ = 0, depth_ = 0;          // of one group's product: rows, window, channels in
  int64_t tile_rows_ = 0, group_words_ = 0;          // of packed rows
  std::vector<float> bias_;                          // [O], zeros without one
  std::vector<float> plain_;                         // weights of convolutions of each channel alone [C, K]
  std::shared_ptr<float[]> packed_;                  // group by group
};

}  // namespace mynah::ops
