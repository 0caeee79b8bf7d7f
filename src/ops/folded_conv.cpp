#include "ops/folded_conv.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/conv.h"
#include "kernels/rows.h"
#include "ops/divide.h"
#include "ops/internal.h"
#include "ops/pixel_maps.h"
#include "ops/winograd_conv.h"
#include "ops/word_memory.h"

namespace mynah::ops {
namespace {

using kernels::ConvWord;
using kernels::kConvPanel;

constexpr int64_t kGroupWords = int64_t{96} << 10;  // of weights that a task reads again and again
constexpr int64_t kPieceWords = int64_t{64} << 10;  // of pixels
constexpr int64_t kTilePixels = 14;
// Outputs times channels up to which a window of 3x3 in f32 takes less time than one in bf16: its weights are eight times as large.
constexpr int64_t kMostTiledInBf16 = int64_t{48} << 10;
constexpr int64_t kCopyWords = int64_t{8} << 10;  // of a piece of work

thread_local WordScratch operand_words;

ConvWord word_of(ConvNumbers numbers) {
  return numbers == ConvNumbers::bf16 ? ConvWord::bf16 : numbers == ConvNumbers::int8 ? ConvWord::bytes : ConvWord::f32;
}
int64_t numbers_in_word(ConvNumbers numbers) { return numbers == ConvNumbers::bf16 ? 2 : numbers == ConvNumbers::int8 ? 4 : 1; }

uint16_t to_bf16(float v) {
  uint16_t out;
  kernels::rows().f32_to_bf16(&v, &out, 1);
  return out;
}

}  // namespace

// How the pixels of each image become bytes: round(x / scale) + zero; and what follows from it for the outputs.
struct FoldedConv::Bytes {
  std::vector<float> factor;
  std::vector<int32_t> zero;
  std::vector<float> scales;    // [N, outputs rounded up]
  std::vector<int32_t> starts;  // likewise
};

// Pixels as the product reads them, in words: pixel p of line l of image n at words + n * image + l * line + p * pixel.
struct FoldedConv::Map {
  const uint32_t* words;
  int64_t pixel, line, image;
  int64_t step, line_step;  // from the pixel that a place of the result sees first to that of the next place and line
};

FoldedConv::FoldedConv(const Tensor& weight_in, const Tensor& scale, const Tensor& shift, const ConvConfig& config, ConvNumbers numbers)
    : outputs_(weight_in.size(0)), channels_(weight_in.size(1)), kh_(weight_in.size(2)), kw_(weight_in.size(3)), config_(config), numbers_(numbers), table_(&kernels::conv()) {
  MYNAH_CHECK(config.groups == 1);
  if ((numbers == ConvNumbers::bf16 && !table_->has_bf16) || (numbers == ConvNumbers::int8 && !table_->has_bytes)) numbers_ = ConvNumbers::f32;
  NoGrad no_grad;
  Tensor weight = input(weight_in.detach());
  if (scale.defined()) weight = input(weight * reshape(scale, {outputs_, 1, 1, 1}));
  const int64_t padded = round_up(outputs_, kConvPanel);
  if (shift.defined()) shift_ = input(shift).to_vector();
  shift_.resize(static_cast<size_t>(padded), 0.0f);
  const bool three = kh_ == 3 && kw_ == 3 && config.stride == std::array<int64_t, 2>{1, 1} && config.dilation == std::array<int64_t, 2>{1, 1};
  const bool tiled = numbers_ == ConvNumbers::f32 || (numbers_ == ConvNumbers::bf16 && outputs_ * channels_ < kMostTiledInBf16);
  if (tiled && three && channels_ >= kConvPanel) winograd_ = std::make_shared<const WinogradConv>(weight.data<float>(), outputs_, channels_, *table_);
  else pack(weight.data<float>());
}

// Words in the order of lines and places of the window and channels, as a pixel has them; outputs and channels that do not exist are 0.
void FoldedConv::pack(const float* weight) {
  const int64_t group = numbers_in_word(numbers_), taps = kh_ * kw_, depth = channels_ * taps, padded = static_cast<int64_t>(shift_.size());
  cells_ = ceil_div(channels_, group);
  packed_ = aligned_words(taps * cells_ * padded);
  std::fill_n(packed_.get(), taps * cells_ * padded, 0u);
  if (numbers_ == ConvNumbers::int8) {
    weight_scale_.assign(static_cast<size_t>(padded), 0.0f);
    weight_sum_.assign(static_cast<size_t>(padded), 0);
  }
  parallel_for(outputs_, kConvPanel, [&](int64_t first, int64_t end) {
    for (int64_t o = first; o < end; ++o) {
      const float* row = weight + o * depth;
      float largest = 0;
      for (int64_t i = 0; i < depth; ++i) largest = std::isnan(row[i]) ? row[i] : std::max(largest, std::abs(row[i]));
      const float factor = largest > 1e-35f ? 127.0f / largest : 0.0f;
      if (numbers_ == ConvNumbers::int8) weight_scale_[static_cast<size_t>(o)] = largest / 127.0f;
      for (int64_t tap = 0; tap < taps; ++tap)
        for (int64_t c = 0; c < channels_; ++c) {
          const float v = row[c * taps + tap];
          uint32_t& word = packed_.get()[((o / kConvPanel * taps + tap) * cells_ + c / group) * kConvPanel + o % kConvPanel];
          if (group == 1) word = std::bit_cast<uint32_t>(v);
          else if (group == 2) word |= static_cast<uint32_t>(to_bf16(v)) << (16 * (c % 2));
          else {
            const auto code = static_cast<int32_t>(std::isfinite(v * factor) ? std::clamp(std::nearbyint(v * factor), -127.0f, 127.0f) : 0.0f);
            weight_sum_[static_cast<size_t>(o)] += code;
            word |= (static_cast<uint32_t>(code) & 255u) << (8 * (c % 4));
          }
        }
    }
  });
}

std::pair<Tensor, Tensor> FoldedConv::of_norm(const Tensor& mean, const Tensor& variance, const Tensor& weight, const Tensor& bias, float eps) {
  NoGrad no_grad;
  const Tensor factor = weight * rsqrt(add(variance, eps));
  return {factor, bias - mean * factor};
}

namespace {

// The smallest and the largest number of each image, and 0.
std::vector<std::array<float, 2>> ranges_of(const Tensor& x) {
  const int64_t images = x.size(0), lines = x.size(2), width = x.size(3), channels = x.size(1);
  const int64_t grain = row_grain(width * channels), pieces = ceil_div(lines, grain);
  std::vector<std::array<float, 2>> parts(static_cast<size_t>(images * pieces), {0, 0}), all(static_cast<size_t>(images), {0, 0});
  parallel_for(images * pieces, 1, [&](int64_t i, int64_t) {
    auto& part = parts[static_cast<size_t>(i)];
    for (int64_t line = i % pieces * grain; line < std::min(lines, (i % pieces + 1) * grain); ++line) {
      const float* from = x.data<float>() + i / pieces * x.stride(0) + line * x.stride(2);
      if (x.stride(3) == channels) kernels::conv().range(from, width * channels, part.data());
      else
        for (int64_t p = 0; p < width; ++p) kernels::conv().range(from + p * x.stride(3), channels, part.data());
    }
  });
  for (int64_t i = 0; i < images * pieces; ++i) kernels::conv().range(parts[static_cast<size_t>(i)].data(), 2, all[static_cast<size_t>(i / pieces)].data());
  return all;
}

}  // namespace

// `x` by pixels, with the zeros around it. Windows of one pixel see only those that they step on.
FoldedConv::Map FoldedConv::operand(const Tensor& x, const Bytes* bytes) const {
  const int64_t images = x.size(0), channels = x.size(1);
  const auto [down, across] = config_.stride;
  const auto [above, left] = config_.padding;
  const bool bare = above == 0 && left == 0;
  if (bare && numbers_ == ConvNumbers::f32)
    return {reinterpret_cast<const uint32_t*>(x.data<float>()), x.stride(3), x.stride(2), x.stride(0), across * x.stride(3), down * x.stride(2)};
  const bool single = kh_ == 1 && kw_ == 1 && bare;
  const int64_t dy = single ? down : 1, dx = single ? across : 1, height = ceil_div(x.size(2), dy), width = ceil_div(x.size(3), dx);
  const int64_t group = numbers_in_word(numbers_), lines = height + 2 * above, pixels = width + 2 * left;
  const int64_t step = apart(cells_);
  Map map{nullptr, step, pixels * step, lines * pixels * step, (single ? 1 : across) * step, (single ? 1 : down) * pixels * step};
  uint32_t* const words = operand_words.get(images * map.image);
  map.words = words;
  const bool whole = dx == 1 && x.stride(3) == channels && channels % group == 0 && step == cells_;
  parallel_for(images * lines, std::max<int64_t>(1, kCopyWords / map.line), [&](int64_t line, int64_t end) {
    for (; line < end; ++line) {
      const int64_t image = line / lines, from_line = line % lines - above;
      uint32_t* to = words + image * map.image + line % lines * map.line;
      const uint32_t nothing = bytes ? static_cast<uint32_t>(bytes->zero[static_cast<size_t>(image)]) * 0x01010101u : 0u;
      if (from_line < 0 || from_line >= height) {
        std::fill_n(to, map.line, nothing);
        continue;
      }
      const auto convert = [&](const float* from, int64_t n, uint32_t* out) {
        if (bytes) table_->to_bytes(from, n, bytes->factor[static_cast<size_t>(image)], bytes->zero[static_cast<size_t>(image)], reinterpret_cast<uint8_t*>(out));
        else if (group == 2) kernels::rows().f32_to_bf16(from, reinterpret_cast<uint16_t*>(out), n);
        else std::memcpy(out, from, static_cast<size_t>(n) * sizeof(float));
      };
      std::fill_n(to, left * step, nothing);
      std::fill_n(to + (left + width) * step, left * step, nothing);
      to += left * step;
      const float* from = x.data<float>() + image * x.stride(0) + from_line * dy * x.stride(2);
      if (whole) {
        convert(from, width * channels, to);
        continue;
      }
      for (int64_t p = 0; p < width; ++p, to += step) {
        to[cells_ - 1] = 0;  // of which a part may not exist
        convert(from + p * dx * x.stride(3), channels, to);
      }
    }
  });
  return map;
}

void FoldedConv::multiply(const Map& map, const Bytes* bytes, const ConvAfter& after, Tensor& y) const {
  const int64_t images = y.size(0), padded = static_cast<int64_t>(shift_.size());
  const Tensor& added = after.added;
  kernels::ConvJob job{};
  job.word = word_of(numbers_);
  job.pixel = map.step;
  job.line = map.line_step;
  // The pixels that a line of a window sees lie beside each other.
  std::vector<int64_t> runs;
  const bool beside = config_.dilation[1] == 1 && map.pixel == cells_;
  job.units = beside ? kw_ * cells_ : cells_;
  for (int64_t ky = 0; ky < kh_; ++ky)
    for (int64_t kx = 0; kx < (beside ? 1 : kw_); ++kx) runs.push_back(ky * config_.dilation[0] * map.line + kx * config_.dilation[1] * map.pixel);
  job.runs = runs.data();
  job.run_count = static_cast<int64_t>(runs.size());
  job.panel = kh_ * kw_ * cells_ * kConvPanel;
  job.pixels = y.size(3);
  job.lines = y.size(2);
  job.y_pixel = y.stride(3);
  job.y_line = y.stride(2);
  job.after = {nullptr, nullptr, static_cast<kernels::ConvActivation>(after.then), nullptr, added.defined() ? added.stride(3) : 0, added.defined() ? added.stride(2) : 0,
               after.added_last};
  // Lines that follow each other without a gap are one.
  if (job.line == job.pixels * job.pixel) {
    job.pixels *= job.lines;
    job.lines = 1;
  }
  // Tasks: pieces of pixels or lines of an image, times groups of outputs.
  const int64_t weights = job.panel * (padded / kConvPanel), wanted = ceil_div(8 * thread_pool().threads(), images);
  const int64_t step = (job.pixels <= kTilePixels / 2 ? 4 : 2) * kConvPanel;
  const int64_t group = weights <= kGroupWords ? padded : std::max(step, kGroupWords / job.panel * kConvPanel / step * step), groups = ceil_div(padded, group);
  const bool one_line = job.lines == 1;
  const int64_t pieces_wanted = std::max(ceil_div(wanted, groups), ceil_div((one_line ? job.pixels * job.pixel : job.lines * job.line), kPieceWords));
  const int64_t piece = one_line ? round_up(ceil_div(job.pixels, pieces_wanted), kTilePixels) : ceil_div(job.lines, std::min(job.lines, pieces_wanted));
  const int64_t pieces = ceil_div(one_line ? job.pixels : job.lines, piece);
  parallel_for(groups * images * pieces, 1, [&](int64_t task, int64_t) {
    const int64_t output = task / (images * pieces) * group, image = task / pieces % images, first = task % pieces * piece;
    kernels::ConvJob mine = job;
    mine.outputs = std::min(group, outputs_ - output);
    if (mine.outputs <= 0) return;
    const int64_t count = std::min(piece, (one_line ? job.pixels : job.lines) - first);
    (one_line ? mine.pixels : mine.lines) = count;
    mine.x = map.words + image * map.image + first * (one_line ? job.pixel : job.line);
    mine.weights = packed_.get() + output / kConvPanel * job.panel;
    mine.y = y.data<float>() + image * y.stride(0) + first * (one_line ? job.y_pixel : job.y_line) + output;
    if (added.defined()) mine.after.added = added.data<float>() + image * added.stride(0) + first * (one_line ? job.after.added_pixel : job.after.added_line) + output;
    mine.after.shifts = shift_.data() + output;
    if (bytes) {
      mine.after.scales = bytes->scales.data() + image * padded + output;
      mine.starts = bytes->starts.data() + image * padded + output;
    }
    table_->multiply(mine);
  });
}

Tensor FoldedConv::operator()(const Tensor& x_in, const ConvAfter& after_in) const {
  require(x_in.rank() == 4 && x_in.size(1) == channels_, "conv2d: x {}, weight [{},{},{},{}]; expected [N,C,H,W] and [O,C,KH,KW]", x_in.shape().str(), outputs_, channels_, kh_,
          kw_);
  NoGrad no_grad;
  const int64_t reach_y = config_.dilation[0] * (kh_ - 1) + 1, reach_x = config_.dilation[1] * (kw_ - 1) + 1;
  require(x_in.size(2) + 2 * config_.padding[0] >= reach_y && x_in.size(3) + 2 * config_.padding[1] >= reach_x, "conv2d: x {} is smaller than the window {}x{}", x_in.shape().str(),
          kh_, kw_);
  const Tensor x = in_pixels(x_in.detach());
  const int64_t oh = (x.size(2) + 2 * config_.padding[0] - reach_y) / config_.stride[0] + 1, ow = (x.size(3) + 2 * config_.padding[1] - reach_x) / config_.stride[1] + 1;
  ConvAfter after = after_in;
  Tensor y = after.into.defined() ? after.into : empty_pixels(x.size(0), outputs_, oh, ow);
  require(y.shape() == Shape({x.size(0), outputs_, oh, ow}) && by_pixels(y), "conv2d: the result goes to {}, expected {} by pixels", y.shape().str(),
          Shape({x.size(0), outputs_, oh, ow}).str());
  if (after.added.defined()) {
    require(after.added.shape() == y.shape(), "conv2d: the residual has shape {}, expected {}", after.added.shape().str(), y.shape().str());
    after.added = in_pixels(after.added.detach());
  }
  if (winograd_) {
    const Tensor& added = after.added;
    const kernels::ConvAfter then{nullptr, shift_.data(), static_cast<kernels::ConvActivation>(after.then), added.defined() ? added.data<float>() : nullptr,
                                  added.defined() ? added.stride(3) : 0, added.defined() ? added.stride(2) : 0, after.added_last};
    (*winograd_)(x, config_.padding, then, added.defined() ? added.stride(0) : 0, y);
    return y;
  }
  if (numbers_ != ConvNumbers::int8) {
    multiply(operand(x, nullptr), nullptr, after, y);
    return y;
  }
  const auto ranges = ranges_of(x);
  const size_t padded = shift_.size();
  Bytes bytes;
  for (const auto& [low, high] : ranges) {
    const float scale = (high - low) / 255.0f;
    bytes.factor.push_back(scale > 1e-35f ? 1 / scale : 0.0f);
    bytes.zero.push_back(bytes.factor.back() > 0 ? static_cast<int32_t>(std::nearbyint(-low * bytes.factor.back())) : 0);
    for (size_t o = 0; o < padded; ++o) {
      bytes.scales.push_back(weight_scale_[o] * scale);
      bytes.starts.push_back(-bytes.zero.back() * weight_sum_[o]);
    }
  }
  multiply(operand(x, &bytes), &bytes, after, y);
  return y;
}

}  // namespace mynah::ops
