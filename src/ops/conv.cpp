// Convolutions in one and two dimensions and their transposes: patches become columns of a matrix (im2col), a matrix product
// does the work. One dimension is two with a height of 1. Small images share a matrix; every element of a result is one chain whatever
// else is in the batch, so results do not depend on it.
#include <algorithm>
#include <cstring>

#include "kernels/rows.h"
#include "ops/divide.h"
#include "ops/gemm.h"
#include "ops/internal.h"
#include "ops/op_entry.h"
#include "ops/word_memory.h"

namespace mynah {
namespace {

using ops::ceil_div;
using ops::gemm;
using ops::MatrixView;

MatrixView matrix(const float* p, int64_t row_stride) { return {p, DType::f32, row_stride, 1}; }
MatrixView turned(const float* p, int64_t row_stride) { return {p, DType::f32, 1, row_stride}; }

// What a convolution slides over: `channels` planes of H x W seen through KH x KW windows at OH x OW places.
struct Windows {
  int64_t channels, h, w, kh, kw, oh, ow;
  ConvConfig c;

  int64_t rows() const { return channels * kh * kw; }  // of the column matrix
  int64_t places() const { return oh * ow; }
  // A window of one pixel at every place: the columns are the planes themselves.
  bool plain() const {
    return kh == 1 && kw == 1 && c.stride[0] == 1 && c.stride[1] == 1 && c.padding[0] == 0 && c.padding[1] == 0;
  }
  // Places along x for which column offset `at` lies inside the plane: [first, last).
  std::pair<int64_t, int64_t> inside(int64_t at) const {
    const int64_t s = c.stride[1];
    const int64_t first = at >= 0 ? 0 : (-at + s - 1) / s;
    const int64_t last = w - at <= 0 ? 0 : std::min(ow, (w - at + s - 1) / s);
    return {std::min(first, ow), std::max(std::min(first, ow), last)};
  }
  template <class Row>
  void each_row(int64_t begin, int64_t end, const Row& row) const {
    for (int64_t r = begin; r < end; ++r) row(r, r / (kh * kw), r / kw % kh * c.dilation[0] - c.padding[0], r % kw * c.dilation[1] - c.padding[1]);
  }
};

// Rows of small maps are shorter than a call of memcpy or memset takes.
void copy_short(const float* from, int64_t n, float* to) {
  constexpr int64_t kStep = 8;
  if (n < kStep) {
    for (int64_t part = kStep / 2; part > 0; part /= 2) {
      if (!(n & part)) continue;
      if (part == 4) std::memcpy(to, from, 16);
      else if (part == 2) std::memcpy(to, from, 8);
      else *to = *from;
      from += part, to += part;
    }
    return;
  }
  for (int64_t i = 0; i + kStep < n; i += kStep) std::memcpy(to + i, from + i, kStep * sizeof(float));
  std::memcpy(to + n - kStep, from + n - kStep, kStep * sizeof(float));
}
void clear_short(float* to, int64_t n) {
  static constexpr float kZeros[64] = {};
  for (; n > 64; n -= 64, to += 64) copy_short(kZeros, 64, to);
  copy_short(kZeros, n, to);
}

// Four numbers at once, which the compiler does not do by itself for loops of unknown length.
typedef float Four __attribute__((vector_size(16)));
Four four(const float* x) {
  Four v;
  std::memcpy(&v, x, sizeof(v));
  return v;
}
void put(float* to, Four v) { std::memcpy(to, &v, sizeof(v)); }

// Every other number: nothing behind the last one is read.
void copy_every_second(const float* from, int64_t n, float* to) {
  typedef int32_t Lanes __attribute__((vector_size(16)));
  int64_t i = 0;
  for (; i + 4 < n; i += 4) put(to + i, __builtin_shuffle(four(from + 2 * i), four(from + 2 * i + 4), Lanes{0, 2, 4, 6}));
  for (; i < n; ++i) to[i] = from[2 * i];
}
void add_short(const float* from, int64_t n, float* to) {
  int64_t i = 0;
  for (; i + 4 <= n; i += 4) put(to + i, four(to + i) + four(from + i));
  for (; i < n; ++i) to[i] += from[i];
}

// planes [channels, h, w] -> columns [channels * kh * kw, oh * ow], rows `stride` apart
void unfold(const Windows& s, const float* planes, float* columns, int64_t stride) {
  parallel_for(s.rows(), ops::row_grain(s.places()), [&](int64_t begin, int64_t end) {
    s.each_row(begin, end, [&](int64_t r, int64_t channel, int64_t dy, int64_t dx) {
      const auto [first, last] = s.inside(dx);
      for (int64_t y = 0; y < s.oh; ++y) {
        float* to = columns + r * stride + y * s.ow;
        const int64_t at = y * s.c.stride[0] + dy;
        if (at < 0 || at >= s.h) {
          clear_short(to, s.ow);
          continue;
        }
        const float* from = planes + (channel * s.h + at) * s.w + dx;
        clear_short(to, first);
        if (s.c.stride[1] == 1) copy_short(from + first, last - first, to + first);
        else if (s.c.stride[1] == 2) copy_every_second(from + 2 * first, last - first, to + first);
        else
          for (int64_t x = first; x < last; ++x) to[x] = from[x * s.c.stride[1]];
        clear_short(to + last, s.ow - last);
      }
    });
  });
}

// The transpose of unfold: adds columns [channels * kh * kw, oh * ow] to planes [channels, h, w].
void fold(const Windows& s, const float* columns, int64_t stride, float* planes) {
  const int64_t taps = s.kh * s.kw;
  parallel_for(s.channels, ops::row_grain(taps * s.places()), [&](int64_t begin, int64_t end) {
    s.each_row(begin * taps, end * taps, [&](int64_t r, int64_t channel, int64_t dy, int64_t dx) {
      const auto [first, last] = s.inside(dx);
      for (int64_t y = 0; y < s.oh; ++y) {
        const int64_t at = y * s.c.stride[0] + dy;
        if (at < 0 || at >= s.h) continue;
        const float* from = columns + r * stride + y * s.ow;
        float* to = planes + (channel * s.h + at) * s.w + dx;
        if (s.c.stride[1] == 1) add_short(from + first, last - first, to + first);
        else
          for (int64_t x = first; x < last; ++x) to[x * s.c.stride[1]] += from[x];
      }
    });
  });
}

// One window for each plane: sums over the taps, plane by plane, without columns.
void depthwise(const Windows& s, const float* planes, const float* weight, int64_t filters, int64_t count, float* y) {
  const int64_t taps = s.kh * s.kw;
  parallel_for(count, ops::row_grain(taps * s.places()), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float *plane = planes + i * s.h * s.w, *filter = weight + i % filters * taps;
      float* out = y + i * s.places();
      std::fill(out, out + s.places(), 0.0f);
      for (int64_t row = 0; row < s.oh; ++row)
        s.each_row(0, taps, [&](int64_t tap, int64_t, int64_t dy, int64_t dx) {
          const int64_t at = row * s.c.stride[0] + dy;
          if (at < 0 || at >= s.h) return;
          const auto [first, last] = s.inside(dx);
          const float* from = plane + at * s.w + dx;
          float *to = out + row * s.ow, f = filter[tap];
          if (s.c.stride[1] == 1)
            for (int64_t x = first; x < last; ++x) to[x] += f * from[x];
          else
            for (int64_t x = first; x < last; ++x) to[x] += f * from[x * s.c.stride[1]];
        });
    }
  });
}

// A convolution of a batch: each group of channels has `outputs` filters.
struct Convolution {
  Windows s;
  int64_t images, groups, outputs;

  int64_t in_size() const { return s.channels * s.h * s.w; }     // of a group of an image
  int64_t out_size() const { return outputs * s.places(); }
  // Images whose columns stand side by side: enough places for a wide product.
  int64_t block() const {
    constexpr int64_t kWidePlaces = 512;
    return std::clamp<int64_t>(kWidePlaces / s.places(), 1, images);
  }
  int64_t blocks() const { return ceil_div(images, block()); }
};

// Enough blocks go to a thread each; the products of few are shared out one after the other. What products are computed in goes along.
template <class Body>
void each_block(int64_t blocks, const Body& body) {
  if (blocks < thread_pool().threads()) {
    for (int64_t block = 0; block < blocks; ++block) body(block);
    return;
  }
  parallel_for(blocks, 1, [&, bf16 = ops::ProductScope::is_bf16()](int64_t block, int64_t end) {
    const ops::ProductScope scope(bf16);
    for (; block < end; ++block) body(block);
  });
}

thread_local ops::WordScratch column_scratch, result_scratch, gradient_scratch;

// The columns of `count` images of a group from `first` on, side by side; rows count * places() apart.
const float* columns_of(const Convolution& c, const float* x, int64_t group, int64_t first, int64_t count) {
  const auto planes = [&](int64_t image) { return x + (image * c.groups + group) * c.in_size(); };
  if (c.s.plain() && count == 1) return planes(first);
  const int64_t stride = count * c.s.places();
  float* columns = column_scratch.floats(c.s.rows() * stride);
  for (int64_t i = 0; i < count; ++i) unfold(c.s, planes(first + i), columns + i * c.s.places(), stride);
  return columns;
}

// The outputs of `count` images of a group side by side, rows count * places() apart.
const float* gradient_of(const Convolution& c, const float* g, int64_t group, int64_t first, int64_t count) {
  const int64_t places = c.s.places();
  const auto outputs = [&](int64_t image) { return g + (image * c.groups + group) * c.out_size(); };
  if (count == 1) return outputs(first);
  float* beside = result_scratch.floats(count * c.out_size());
  for (int64_t o = 0; o < c.outputs; ++o)
    for (int64_t i = 0; i < count; ++i) std::copy_n(outputs(first + i) + o * places, places, beside + (o * count + i) * places);
  return beside;
}

void convolve(const Convolution& c, const float* x, const float* weight, float* y) {
  const int64_t blocks = c.blocks(), places = c.s.places(), depth = c.s.rows();
  each_block(blocks * c.groups, [&](int64_t task) {
    const int64_t group = task % c.groups, first = task / c.groups * c.block(), count = std::min(c.block(), c.images - first), wide = count * places;
    const float* columns = columns_of(c, x, group, first, count);
    float* const out = y + (first * c.groups + group) * c.out_size();
    float* const beside = count == 1 ? out : result_scratch.floats(count * c.out_size());
    gemm(c.outputs, wide, depth, matrix(weight + group * c.outputs * depth, depth), matrix(columns, wide), beside, wide);
    for (int64_t i = 0; i < count && count > 1; ++i)
      for (int64_t o = 0; o < c.outputs; ++o) std::copy_n(beside + o * wide + i * places, places, out + i * c.groups * c.out_size() + o * places);
  });
}

// Adds to dx (unless null) and dw. The gradient of the weights is summed over pieces of the batch, which depend on its size alone, and then over these.
void convolve_back(const Convolution& c, const float* x, const float* weight, const float* g, float* dx, float* dw) {
  constexpr int64_t kMostPieces = 16;
  const int64_t places = c.s.places(), depth = c.s.rows(), each = ceil_div(c.blocks(), kMostPieces), pieces = ceil_div(c.blocks(), each), size = c.groups * c.outputs * depth;
  std::vector<float> parts(static_cast<size_t>(pieces > 1 ? pieces * size : 0));
  each_block(pieces * c.groups, [&](int64_t task) {
    const int64_t group = task % c.groups, piece = task / c.groups, at = group * c.outputs * depth;
    float* const sum = (pieces > 1 ? parts.data() + piece * size : dw) + at;
    for (int64_t block = piece * each; block < std::min(c.blocks(), (piece + 1) * each); ++block) {
      const int64_t first = block * c.block(), count = std::min(c.block(), c.images - first), wide = count * places;
      const float *columns = columns_of(c, x, group, first, count), *outer = gradient_of(c, g, group, first, count);
      gemm(c.outputs, depth, wide, matrix(outer, wide), turned(columns, wide), sum, depth, block > piece * each);
      if (!dx) continue;
      float* const inner = gradient_scratch.floats(depth * wide);
      gemm(depth, wide, c.outputs, turned(weight + at, depth), matrix(outer, wide), inner, wide);
      for (int64_t i = 0; i < count; ++i) fold(c.s, inner + i * places, wide, dx + ((first + i) * c.groups + group) * c.in_size());
    }
  });
  for (int64_t piece = 0; piece < pieces && pieces > 1; ++piece)
    parallel_for(size, 1 << 14, [&](int64_t i, int64_t end) { kernels::rows().axpy(1, parts.data() + piece * size + i, dw + i, end - i); });
}

void check_config(const char* op, const ConvConfig& c) {
  for (int i = 0; i < 2; ++i)
    require(c.stride[i] > 0 && c.dilation[i] > 0 && c.padding[i] >= 0 && c.output_padding[i] >= 0, "{}: stride {}, dilation {}, padding {}, expected positive ones",
            op, c.stride[i], c.dilation[i], c.padding[i]);
  require(c.groups > 0, "{}: {} groups, expected at least 1", op, c.groups);
}

Tensor optional_bias(const char* op, const Tensor& bias, int64_t outputs) {
  if (!bias.defined()) return {};
  require(bias.shape() == Shape{outputs}, "{}: bias has shape {}, expected [{}]", op, bias.shape().str(), outputs);
  return ops::input(bias);
}

void add_bias(const Tensor& bias, Tensor& y) {
  const int64_t outputs = y.size(1), places = y.size(2) * y.size(3);
  parallel_for(y.size(0) * outputs, ops::row_grain(places), [&](int64_t r, int64_t end) {
    for (; r < end; ++r) {
      const float b = bias.data<float>()[r % outputs];
      float* row = y.data<float>() + r * places;
      for (int64_t i = 0; i < places; ++i) row[i] += b;
    }
  });
}

// [N, O, H, W] -> [O]
Tensor bias_gradient(const Tensor& g) {
  const int64_t outputs = g.size(1), places = g.size(2) * g.size(3);
  Tensor db = Tensor::zeros({outputs});
  for (int64_t n = 0; n < g.size(0); ++n)
    for (int64_t o = 0; o < outputs; ++o)
      db.data<float>()[o] += static_cast<float>(kernels::rows().sum(g.data<float>() + (n * outputs + o) * places, places));
  return db;
}

Tensor with_height(const Tensor& x) { return unsqueeze(x, 2); }
ConvConfig in_one_dimension(int64_t stride, int64_t padding, int64_t dilation, int64_t groups, int64_t output_padding = 0) {
  return {{1, stride}, {0, padding}, {1, dilation}, groups, {0, output_padding}};
}

}  // namespace

Tensor conv2d(const Tensor& x_in, const Tensor& weight_in, const Tensor& bias_in, const ConvConfig& config) {
  check_config("conv2d", config);
  require(x_in.rank() == 4 && weight_in.rank() == 4 && x_in.size(1) == weight_in.size(1) * config.groups && weight_in.size(0) % config.groups == 0,
          "conv2d: x {}, weight {}, {} groups; expected [N,C,H,W] and [O,C/G,KH,KW]", x_in.shape().str(), weight_in.shape().str(), config.groups);
  const Tensor x = ops::input(x_in), weight = ops::input(weight_in);
  const int64_t images = x.size(0), groups = config.groups, outputs = weight.size(0), each = outputs / groups;
  Windows s{weight.size(1), x.size(2), x.size(3), weight.size(2), weight.size(3), 0, 0, config};
  s.oh = (s.h + 2 * config.padding[0] - config.dilation[0] * (s.kh - 1) - 1) / config.stride[0] + 1;
  s.ow = (s.w + 2 * config.padding[1] - config.dilation[1] * (s.kw - 1) - 1) / config.stride[1] + 1;
  require(s.h + 2 * config.padding[0] >= config.dilation[0] * (s.kh - 1) + 1 && s.w + 2 * config.padding[1] >= config.dilation[1] * (s.kw - 1) + 1,
          "conv2d: x {} is smaller than the window {}", x.shape().str(), weight.shape().str());
  const Tensor bias = optional_bias("conv2d", bias_in, outputs);
  Tensor y = Tensor::empty({images, outputs, s.oh, s.ow});
  if (s.channels == 1 && each == 1) depthwise(s, x.data<float>(), weight.data<float>(), groups, images * groups, y.data<float>());
  else convolve({s, images, groups, each}, x.data<float>(), weight.data<float>(), y.data<float>());
  if (bias.defined()) add_bias(bias, y);
  std::vector<Tensor> inputs{x, weight};
  if (bias.defined()) inputs.push_back(bias);
  return record(y, inputs, [=, want_x = x.requires_grad(), x = x.detach(), weight = weight.detach(), biased = bias.defined()](const Tensor& g) {
    Tensor dx = want_x ? Tensor::zeros(x.shape()) : Tensor(), dw = Tensor::zeros(weight.shape());
    convolve_back({s, images, groups, each}, x.data<float>(), weight.data<float>(), g.data<float>(), want_x ? dx.data<float>() : nullptr, dw.data<float>());
    Grads grads{dx, dw};
    if (biased) grads.push_back(bias_gradient(g));
    return grads;
  });
}

Tensor conv_transpose2d(const Tensor& x_in, const Tensor& weight_in, const Tensor& bias_in, const ConvConfig& config) {
  check_config("conv_transpose2d", config);
  require(x_in.rank() == 4 && weight_in.rank() == 4 && x_in.size(1) == weight_in.size(0) && weight_in.size(0) % config.groups == 0,
          "conv_transpose2d: x {}, weight {}, {} groups; expected [N,C,H,W] and [C,O/G,KH,KW]", x_in.shape().str(), weight_in.shape().str(), config.groups);
  const Tensor x = ops::input(x_in), weight = ops::input(weight_in);
  const int64_t images = x.size(0), groups = config.groups, inputs_each = x.size(1) / groups, each = weight.size(1);
  Windows s{each, 0, 0, weight.size(2), weight.size(3), x.size(2), x.size(3), config};  // of the convolution that this one transposes
  s.h = (s.oh - 1) * config.stride[0] - 2 * config.padding[0] + config.dilation[0] * (s.kh - 1) + config.output_padding[0] + 1;
  s.w = (s.ow - 1) * config.stride[1] - 2 * config.padding[1] + config.dilation[1] * (s.kw - 1) + config.output_padding[1] + 1;
  require(s.h > 0 && s.w > 0, "conv_transpose2d: nothing is left of x {} with padding {}x{}", x.shape().str(), config.padding[0], config.padding[1]);
  const Tensor bias = optional_bias("conv_transpose2d", bias_in, each * groups);
  Tensor y = Tensor::zeros({images, each * groups, s.h, s.w}), columns = Tensor::empty({s.rows(), s.places()});
  const int64_t in_size = inputs_each * s.places(), out_size = each * s.h * s.w;
  for (int64_t i = 0; i < images * groups; ++i) {
    gemm(s.rows(), s.places(), inputs_each, turned(weight.data<float>() + i % groups * inputs_each * s.rows(), s.rows()),
         matrix(x.data<float>() + i * in_size, s.places()), columns.data<float>(), s.places());
    fold(s, columns.data<float>(), s.places(), y.data<float>() + i * out_size);
  }
  if (bias.defined()) add_bias(bias, y);
  std::vector<Tensor> inputs{x, weight};
  if (bias.defined()) inputs.push_back(bias);
  return record(y, inputs, [=, want_x = x.requires_grad(), x = x.detach(), weight = weight.detach(), biased = bias.defined()](const Tensor& g) {
    Tensor dx = want_x ? Tensor::empty(x.shape()) : Tensor(), dw = Tensor::zeros(weight.shape()), unfolded = Tensor::empty({s.rows(), s.places()});
    for (int64_t i = 0; i < images * groups; ++i) {
      unfold(s, g.data<float>() + i * out_size, unfolded.data<float>(), s.places());
      const int64_t at = i % groups * inputs_each * s.rows();
      gemm(inputs_each, s.rows(), s.places(), matrix(x.data<float>() + i * in_size, s.places()), turned(unfolded.data<float>(), s.places()),
           dw.data<float>() + at, s.rows(), true);
      if (want_x)
        gemm(inputs_each, s.places(), s.rows(), matrix(weight.data<float>() + at, s.rows()), matrix(unfolded.data<float>(), s.places()),
             dx.data<float>() + i * in_size, s.places());
    }
    Grads grads{dx, dw};
    if (biased) grads.push_back(bias_gradient(g));
    return grads;
  });
}

Tensor conv1d(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t stride, int64_t padding, int64_t dilation, int64_t groups) {
  require(x.rank() == 3 && weight.rank() == 3, "conv1d: x {}, weight {}; expected [N,C,T] and [O,C/G,K]", x.shape().str(), weight.shape().str());
  return squeeze(conv2d(with_height(x), with_height(weight), bias, in_one_dimension(stride, padding, dilation, groups)), 2);
}

Tensor conv_transpose1d(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t stride, int64_t padding, int64_t output_padding, int64_t groups,
                        int64_t dilation) {
  require(x.rank() == 3 && weight.rank() == 3, "conv_transpose1d: x {}, weight {}; expected [N,C,T] and [C,O/G,K]", x.shape().str(), weight.shape().str());
  return squeeze(conv_transpose2d(with_height(x), with_height(weight), bias, in_one_dimension(stride, padding, dilation, groups, output_padding)), 2);
}

namespace {

std::vector<OpSample> conv_samples() {
  const auto call = [](ConvConfig config) { return [=](const std::vector<Tensor>& in) { return conv2d(in[0], in[1], in.size() > 2 ? in[2] : Tensor(), config); }; };
  const auto three = [](const Shape& x, const Shape& w) { return std::vector<Tensor>{sample_tensor(x), sample_tensor(w, 1), sample_tensor({w[0]}, 2)}; };
  return {{"window of 3 with padding", three({2, 3, 5, 6}, {4, 3, 3, 3}), call({{1, 1}, {1, 1}})},
          {"stride, dilation, uneven window", three({1, 2, 9, 8}, {3, 2, 3, 2}), call({{2, 3}, {2, 0}, {2, 1}})},
          {"small images side by side", three({36, 2, 4, 4}, {3, 2, 3, 3}), call({{1, 1}, {1, 1}})},
          {"large images", three({3, 1, 25, 50}, {2, 1, 3, 3}), call({{2, 2}, {1, 1}})},
          {"single pixels", three({2, 3, 2, 4}, {5, 3, 1, 1}), call({})},
          {"groups", three({1, 4, 4, 4}, {6, 2, 2, 2}), call({{1, 1}, {0, 1}, {1, 1}, 2})},
          {"no bias, one plane each", {sample_tensor({1, 3, 5, 5}), sample_tensor({3, 1, 3, 3}, 1)}, call({{2, 2}, {1, 1}, {1, 1}, 3})},
          {"benchmark", three({1, 64, 56, 56}, {64, 64, 3, 3}), call({{1, 1}, {1, 1}}), -1, false, 2.0 * 64 * 64 * 9 * 56 * 56}};
}
std::vector<OpSample> transpose_samples() {
  const auto call = [](ConvConfig config) { return [=](const std::vector<Tensor>& in) { return conv_transpose2d(in[0], in[1], in[2], config); }; };
  const auto three = [](const Shape& x, const Shape& w, int64_t groups) {
    return std::vector<Tensor>{sample_tensor(x), sample_tensor(w, 1), sample_tensor({w[1] * groups}, 2)};
  };
  return {{"stride and padding", three({2, 3, 3, 4}, {3, 2, 4, 3}, 1), call({{2, 2}, {1, 0}, {1, 1}, 1, {0, 1}})},
          {"groups and dilation", three({1, 4, 3, 3}, {4, 1, 2, 3}, 2), call({{1, 2}, {0, 1}, {2, 1}, 2})}};
}
std::vector<OpSample> line_samples() {
  return {{"stride and padding", {sample_tensor({2, 3, 9}), sample_tensor({4, 3, 3}, 1), sample_tensor({4}, 2)}, [](const auto& in) { return conv1d(in[0], in[1], in[2], 2, 1); }},
          {"groups and dilation", {sample_tensor({1, 4, 8}), sample_tensor({4, 2, 2}, 1)}, [](const auto& in) { return conv1d(in[0], in[1], {}, 1, 2, 3, 2); }}};
}
std::vector<OpSample> line_transpose_samples() {
  return {{"stride and padding", {sample_tensor({2, 3, 5}), sample_tensor({3, 2, 4}, 1), sample_tensor({2}, 2)}, [](const auto& in) { return conv_transpose1d(in[0], in[1], in[2], 2, 1); }}};
}

}  // namespace

extern const OpEntry op_conv2d{"conv2d", "x [N, C, H, W], weight [O, C/G, KH, KW], bias [O] -> [N, O, OH, OW]", "arXiv:1603.07285", conv_samples};
extern const OpEntry op_conv_transpose2d{"conv_transpose2d", "x [N, C, H, W], weight [C, O/G, KH, KW], bias [O] -> [N, O, OH, OW]", "arXiv:1603.07285",
                                         transpose_samples};
extern const OpEntry op_conv1d{"conv1d", "x [N, C, T], weight [O, C/G, K], bias [O] -> [N, O, OT]", "arXiv:1603.07285", line_samples};
extern const OpEntry op_conv_transpose1d{"conv_transpose1d", "x [N, C, T], weight [C, O/G, K], bias [O] -> [N, O, OT]", "arXiv:1603.07285",
                                         line_transpose_samples};

}  // namespace mynah
