#include "ops/packed_conv.h"

#include <algorithm>
#include <cstring>

#include "base/require.h"
#include "base/thread_pool.h"
#include "kernels/gemm.h"
#include "kernels/rows.h"
#include "mynah/autograd.h"
#include "mynah/ops.h"
#include "ops/divide.h"
#include "ops/word_memory.h"

namespace mynah::ops {
namespace {

using kernels::Arithmetic;
using kernels::Element;

constexpr int64_t kMostUnits = 1024;       // of k at once, as in gemm.cpp
constexpr int64_t kBlockWords = 48 << 10;  // of packed columns: they stay in the second-level cache beside the rows
constexpr int64_t kMostColumns = 1024;

thread_local WordScratch columns_scratch, window_scratch, result_scratch;

void copy_leaky(const float* from, int64_t n, float slope, float* to) {
  if (slope == 1) std::memcpy(to, from, static_cast<size_t>(n) * sizeof(float));
  else kernels::rows().leaky_relu(slope, from, to, n);
}

}  // namespace

// One group of one row of the batch: what the product reads.
struct PackedConv1d::Line {
  const float* x;
  int64_t length, out_length;
  int64_t padding;
  float slope;
  int64_t group;
};

std::shared_ptr<const PackedConv1d> PackedConv1d::pack(const Tensor& weight, const Tensor& bias, const Config& config) {
  require(weight.rank() == 3, "packed conv1d: weight {}, expected three dimensions", weight.shape().str());
  if (config.transposed && (config.dilation != 1 || config.groups != 1)) return nullptr;
  const NoGrad none;
  const Tensor w = contiguous(to(weight, DType::f32));
  std::shared_ptr<PackedConv1d> p(new PackedConv1d);
  PackedConv1d& to = *p;
  to.c_ = config;
  to.kernel_ = w.size(2);
  if (config.transposed) {
    // Output n = q stride + r - padding reads taps r, r + stride ... of inputs q, q - 1 ...: a convolution with outputs
    // x stride rows.
    const int64_t in = w.size(0), out = w.size(1), stride = config.stride, taps = ceil_div(to.kernel_, stride);
    to.channels_ = in;
    to.outputs_ = out;
    to.rows_ = out * stride;
    to.taps_ = taps;
    to.depth_ = in;
    std::vector<float> turned(static_cast<size_t>(to.rows_ * in * taps));
    for (int64_t c = 0; c < in; ++c)
      for (int64_t o = 0; o < out; ++o)
        for (int64_t k = 0; k < to.kernel_; ++k)
          turned[static_cast<size_t>(((o * stride + k % stride) * in + c) * taps + taps - 1 - k / stride)] =
              w.data<float>()[(c * out + o) * to.kernel_ + k];
    to.pack_rows(turned.data(), in * taps, taps, 1);
  } else {
    require(w.size(0) % config.groups == 0, "packed conv1d: weight {} in {} groups", weight.shape().str(),
            config.groups);
    to.channels_ = w.size(1) * config.groups;
    to.outputs_ = w.size(0);
    to.rows_ = w.size(0) / config.groups;
    to.taps_ = to.kernel_;
    to.depth_ = w.size(1);
    if (to.depth_ == 1 && to.rows_ == 1 && config.stride == 1)
      to.plain_.assign(w.data<float>(), w.data<float>() + w.numel());
    else
      to.pack_rows(w.data<float>(), to.depth_ * to.kernel_, to.kernel_, 1);
  }
  to.bias_.assign(static_cast<size_t>(to.outputs_), 0.0f);
  if (bias.defined()) {
    require(bias.shape() == Shape{to.outputs_}, "packed conv1d: bias {}, expected [{}]", bias.shape().str(),
            to.outputs_);
    to.bias_ = bias.to_vector();
  }
  return p;
}

// Products are summed tap by tap, within it channel by channel.
void PackedConv1d::pack_rows(const float* weight, int64_t row_stride, int64_t channel_stride, int64_t tap_stride) {
  table_ = &kernels::gemm();
  const kernels::GemmTable& table = *table_;
  const int64_t lanes = table.lanes, units = taps_ * depth_;
  tile_rows_ = ceil_div(rows_, ceil_div(rows_, table.tile_rows));
  group_words_ = ceil_div(rows_, tile_rows_) * units * lanes;
  const auto memory = aligned_words(group_words_ * c_.groups);
  packed_ = std::shared_ptr<float[]>(memory, reinterpret_cast<float*>(memory.get()));
  for (int64_t g = 0; g < c_.groups; ++g)
    for (int64_t k = 0; k < taps_; ++k) {
      const float* from = weight + g * rows_ * row_stride + k * tap_stride;
      table.pack(Arithmetic::f32, {from, Element::f32, rows_, row_stride, channel_stride}, rows_, tile_rows_, depth_,
                 packed_.get() + g * group_words_ + k * depth_ * lanes, units * lanes);
    }
}

// Results of places [first, first + columns) of all rows, at out + row * row_stride.
void PackedConv1d::multiply_block(const Line& line, int64_t first, int64_t columns, float* out,
                                  int64_t row_stride) const {
  const kernels::GemmTable& table = *table_;
  const int64_t lanes = table.lanes, units = taps_ * depth_, panel = units * lanes;
  const int64_t step = c_.transposed ? 1 : c_.stride;
  // The part of the input that these places see, with zeros around it.
  const int64_t begin = first * step - line.padding, width = (columns - 1) * step + (taps_ - 1) * c_.dilation + 1;
  const int64_t from = std::clamp<int64_t>(begin, 0, line.length),
                to = std::clamp<int64_t>(begin + width, 0, line.length);
  const float* window = line.x + begin;
  int64_t window_stride = line.length;
  if (line.slope != 1 || from != begin || to != begin + width) {
    float* copy = window_scratch.floats(depth_ * width);
    for (int64_t c = 0; c < depth_; ++c) {
      float* row = copy + c * width;
      std::fill_n(row, from - begin, 0.0f);
      copy_leaky(line.x + c * line.length + from, to - from, line.slope, row + (from - begin));
      std::fill(row + (to - begin), row + width, 0.0f);
    }
    window = copy;
    window_stride = width;
  }
  float* packed = columns_scratch.floats(ceil_div(columns, lanes) * panel);
  for (int64_t k = 0; k < taps_; ++k)
    table.pack(Arithmetic::f32, {window + k * c_.dilation, Element::f32, columns, step, window_stride}, columns, lanes,
               depth_, packed + k * depth_ * lanes, panel);
  for (int64_t unit = 0; unit < units; unit += kMostUnits) {
    kernels::GemmBlock block{};
    block.units = std::min(kMostUnits, units - unit);
    block.a = packed_.get() + line.group * group_words_ + unit * lanes;
    block.a_panel = panel;
    block.rows = rows_;
    block.tile_rows = tile_rows_;
    block.b = packed + unit * lanes;
    block.b_panel = panel;
    block.columns = columns;
    block.c = out;
    block.ldc = row_stride;
    block.add_to_c = unit > 0;
    table.multiply(Arithmetic::f32, block);
  }
}

namespace {

// Places of a block: as many as the cache holds, fewer where there would be too few blocks to share out.
int64_t block_columns(int64_t places, int64_t units, int64_t lanes) {
  const int64_t step = 4 * lanes, fitting = std::clamp<int64_t>(kBlockWords / std::max<int64_t>(units, 1) / step * step,
                                                                step, kMostColumns);
  return std::min(fitting, std::max(step, round_up(ceil_div(places, 8), step)));
}

}  // namespace

void PackedConv1d::convolve(const Line& line, const float* residual, float* y) const {
  const int64_t columns = block_columns(line.out_length, taps_ * depth_, table_->lanes);
  parallel_for(ceil_div(line.out_length, columns), 1, [&](int64_t block, int64_t end) {
    for (; block < end; ++block) {
      const int64_t first = block * columns, n = std::min(columns, line.out_length - first);
      multiply_block(line, first, n, y + first, line.out_length);
      for (int64_t r = 0; r < rows_; ++r) {
        const float* more = residual ? residual + r * line.out_length + first : nullptr;
        kernels::rows().shift(more, bias_[static_cast<size_t>(line.group * rows_ + r)], false, y + r * line.out_length + first, n);
      }
    }
  });
}

void PackedConv1d::transpose_convolve(const Line& line, float* y) const {
  const int64_t stride = c_.stride, places = ceil_div(line.out_length + c_.padding, stride);
  const int64_t columns = block_columns(places, taps_ * depth_, table_->lanes);
  parallel_for(ceil_div(places, columns), 1, [&](int64_t block, int64_t end) {
    for (; block < end; ++block) {
      const int64_t first = block * columns, n = std::min(columns, places - first);
      float* z = result_scratch.floats(rows_ * columns);
      multiply_block(line, first, n, z, columns);
      for (int64_t o = 0; o < outputs_; ++o) {
        const float bias = bias_[static_cast<size_t>(o)];
        for (int64_t r = 0; r < stride; ++r) {
          const float* row = z + (o * stride + r) * columns;
          for (int64_t i = 0; i < n; ++i) {
            const int64_t at = (first + i) * stride + r - c_.padding;
            if (at >= 0 && at < line.out_length) y[o * line.out_length + at] = row[i] + bias;
          }
        }
      }
    }
  });
}

// A convolution of one channel alone.
void PackedConv1d::each_channel(const float* x, int64_t length, int64_t out_length, float slope, const float* residual,
                                float* y, int64_t channel) const {
  const float* w = plain_.data() + channel * kernel_;
  std::fill_n(y, out_length, 0.0f);
  for (int64_t k = 0; k < kernel_; ++k) {
    const int64_t shift = k * c_.dilation - c_.padding, first = std::clamp<int64_t>(-shift, 0, out_length),
                  last = std::clamp<int64_t>(length - shift, first, out_length);
    for (int64_t t = first; t < last; ++t) {
      const float v = x[t + shift];
      y[t] += w[k] * std::max(v, v * slope);
    }
  }
  const float bias = bias_[static_cast<size_t>(channel)];
  for (int64_t t = 0; t < out_length; ++t) y[t] = y[t] + bias + (residual ? residual[t] : 0.0f);
}

Tensor PackedConv1d::operator()(const Tensor& x_in, float slope, const Tensor& residual_in) const {
  const NoGrad none;
  require(x_in.rank() == 3 && x_in.size(1) == channels_, "conv1d: x {}, expected [N,{},T]", x_in.shape().str(),
          channels_);
  const Tensor x = contiguous(to(x_in, DType::f32));
  const int64_t length = x.size(2);
  const int64_t out = c_.transposed ? (length - 1) * c_.stride - 2 * c_.padding + kernel_
                                    : (length + 2 * c_.padding - c_.dilation * (kernel_ - 1) - 1) / c_.stride + 1;
  require(length > 0 && out > 0 && length + 2 * c_.padding >= (c_.transposed ? 1 : c_.dilation * (kernel_ - 1) + 1),
          "conv1d: x {} is smaller than the window {}", x.shape().str(), kernel_);
  Tensor y = Tensor::empty({x.size(0), outputs_, out});
  const Tensor residual = residual_in.defined() ? contiguous(to(residual_in, DType::f32)) : Tensor();
  require(!residual.defined() || residual.shape() == y.shape(), "conv1d: residual {}, expected {}",
          residual.defined() ? residual.shape().str() : "", y.shape().str());
  if (!plain_.empty()) {
    parallel_for(x.size(0) * channels_, std::max<int64_t>(1, (1 << 14) / out), [&](int64_t r, int64_t end) {
      for (; r < end; ++r)
        each_channel(x.data<float>() + r * length, length, out, slope,
                     residual.defined() ? residual.data<float>() + r * out : nullptr, y.data<float>() + r * out,
                     r % channels_);
    });
    return y;
  }
  for (int64_t i = 0; i < x.size(0) * c_.groups; ++i) {
    const Line line{x.data<float>() + i * depth_ * length,  length, out,
                    c_.transposed ? taps_ - 1 : c_.padding, slope,  i % c_.groups};
    if (c_.transposed)
      transpose_convolve(line, y.data<float>() + i * outputs_ * out);
    else
      convolve(line, residual.defined() ? residual.data<float>() + i * rows_ * out : nullptr,
               y.data<float>() + i * rows_ * out);
  }
  return y;
}

}  // namespace mynah::ops
