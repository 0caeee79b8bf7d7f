#include "ops/folded_conv.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "kernels/gemm.h"
#include "kernels/rows.h"
#include "ops/internal.h"

namespace mynah::ops {
namespace {

constexpr std::align_val_t kAlign{64};
constexpr int64_t kRoundUnits = 1024;             // of k, so that a panel of both sides stays in the nearest cache
constexpr int64_t kSharedWords = int64_t{1} << 20;  // columns of a whole image that threads share
constexpr int64_t kTileWords = int64_t{96} << 10;   // columns that one thread packs for itself
constexpr int64_t kBlockPanels = 8;               // of weights in a task
constexpr int64_t kLeastColumns = 64;
constexpr int64_t kSpreadPanels = 8, kSpreadWords = int64_t{64} << 10;  // of columns written side by side; of those that are then rounded

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }
kernels::Arithmetic arithmetic_of(bool in_bf16) { return in_bf16 ? kernels::Arithmetic::bf16 : kernels::Arithmetic::f32; }

std::shared_ptr<float> words(int64_t count) {
  return {static_cast<float*>(::operator new(static_cast<size_t>(count) * sizeof(float), kAlign)), [](float* p) { ::operator delete(p, kAlign); }};
}

// A buffer that grows and is then reused by its thread.
struct Scratch {
  std::shared_ptr<float> data;
  int64_t size = 0;
  float* get(int64_t count) {
    if (count > size) {
      data = words(count);
      size = count;
    }
    return data.get();
  }
};
thread_local Scratch shared_columns, own_columns, spread_columns;

}  // namespace

// What the windows slide over.
struct FoldedConv::Places {
  int64_t h, w, oh, ow;
  int64_t count() const { return oh * ow; }
};

FoldedConv::FoldedConv(const Tensor& weight_in, const Tensor& scale, const Tensor& shift, const ConvConfig& config, bool in_bf16)
    : outputs_(weight_in.size(0)), channels_(weight_in.size(1)), kh_(weight_in.size(2)), kw_(weight_in.size(3)), depth_(channels_ * kh_ * kw_), config_(config) {
  MYNAH_CHECK(config.groups == 1);
  const kernels::GemmTable& table = kernels::gemm();
  table_ = &table;
  NoGrad no_grad;
  Tensor weight = input(weight_in.detach());
  if (scale.defined()) weight = input(weight * reshape(scale, {outputs_, 1, 1, 1}));
  shift_ = shift.defined() ? input(shift).to_vector() : std::vector<float>(static_cast<size_t>(outputs_), 0.0f);
  in_bf16_ = in_bf16 && table.bf16_group == 2;
  const int64_t tile = in_bf16_ && table.bf16_tile > 0 ? table.bf16_tile : 1;
  units_ = in_bf16_ ? round_up(ceil_div(depth_, table.bf16_group), tile) : depth_;
  tile_rows_ = tile > 1 ? tile : ceil_div(outputs_, ceil_div(outputs_, table.tile_rows));
  panel_ = units_ * table.lanes;
  packed_ = words(ceil_div(outputs_, tile_rows_) * panel_);
  const kernels::GemmSource rows{weight.data<float>(), kernels::Element::f32, outputs_, depth_, 1};
  if (tile > 1) table.pack_tiles(rows, outputs_, depth_, packed_.get(), panel_);
  else table.pack(arithmetic_of(in_bf16_), rows, outputs_, tile_rows_, depth_, packed_.get(), panel_);
}

std::pair<Tensor, Tensor> FoldedConv::of_norm(const Tensor& mean, const Tensor& variance, const Tensor& weight, const Tensor& bias, float eps) {
  NoGrad no_grad;
  const Tensor factor = weight * rsqrt(add(variance, eps));
  return {factor, bias - mean * factor};
}

namespace {

// A run of places in one row of the result, seen by one tap of the window: where its pixels stand in a plane, which of them are
// inside, and where they go in the packed columns of a channel.
struct Piece {
  int64_t from, to;
  int begin, end, run;
};
thread_local std::vector<Piece> pieces;

}  // namespace

// Columns in f32 of the `count` places from `first` on, as panels [depth, lanes]; zeros beyond the last place. Few panels at a time: so many
// are written from their beginnings to their ends side by side, while each plane is read along its rows.
void FoldedConv::spread(const Places& s, const float* planes, int64_t first, int64_t count, float* to) const {
  const int64_t lanes = static_cast<const kernels::GemmTable*>(table_)->lanes, taps = kh_ * kw_;
  const int64_t down = config_.stride[0], across = config_.stride[1];
  pieces.clear();
  for (int64_t tap = 0; tap < taps; ++tap)
    for (int64_t done = 0; done < count;) {
      const int64_t lane = done % lanes, oy = (first + done) / s.ow, ox = (first + done) % s.ow, run = std::min({lanes - lane, s.ow - ox, count - done});
      const int64_t y = oy * down + tap / kw_ * config_.dilation[0] - config_.padding[0], x = ox * across + tap % kw_ * config_.dilation[1] - config_.padding[1];
      int64_t begin = x >= 0 ? 0 : ceil_div(-x, across), end = s.w - x <= 0 ? 0 : ceil_div(s.w - x, across);
      if (y < 0 || y >= s.h) begin = end = 0;
      begin = std::min(begin, run);
      end = std::clamp(end, begin, run);
      pieces.push_back({y * s.w + x, done / lanes * depth_ * lanes + tap * lanes + lane, static_cast<int>(begin), static_cast<int>(end), static_cast<int>(run)});
      done += run;
    }
  for (int64_t c = 0; c < channels_; ++c) {
    const float* plane = planes + c * s.h * s.w;
    float* channel = to + c * taps * lanes;
    for (const Piece& p : pieces) {
      float* at = channel + p.to;
      const float* from = plane + p.from;
      // Whole panels of the usual widths.
      if (across == 1 && p.begin == 0 && p.end == 16) {
        std::memcpy(at, from, 16 * sizeof(float));
        continue;
      }
      if (across == 1 && p.begin == 0 && p.end == 8 && p.run == 8) {
        std::memcpy(at, from, 8 * sizeof(float));
        continue;
      }
      for (int i = 0; i < p.begin; ++i) at[i] = 0;
      if (across == 1)
        for (int i = p.begin; i < p.end; ++i) at[i] = from[i];
      else
        for (int i = p.begin; i < p.end; ++i) at[i] = from[i * across];
      for (int i = p.end; i < p.run; ++i) at[i] = 0;
    }
  }
  // What lies beyond the last place is multiplied too.
  if (const int64_t inside = count % lanes)
    for (int64_t k = 0; k < depth_; ++k) {
      float* row = to + count / lanes * depth_ * lanes + k * lanes;
      std::fill(row + inside, row + lanes, 0.0f);
    }
}

// Columns of the places from `first` on as the product reads them: panels of `lanes` places, units_ words a column.
void FoldedConv::pack(const Places& s, const float* planes, int64_t first, int64_t count, float* to) const {
  const auto& table = *static_cast<const kernels::GemmTable*>(table_);
  const int64_t lanes = table.lanes;
  const int64_t step = lanes * (in_bf16_ ? std::clamp<int64_t>(kSpreadWords / (depth_ * lanes), 1, kSpreadPanels) : kSpreadPanels);
  float* const panels = in_bf16_ ? spread_columns.get(depth_ * step) : nullptr;
  for (int64_t done = 0; done < count; done += step) {
    const int64_t now = std::min(step, count - done);
    spread(s, planes, first + done, now, in_bf16_ ? panels : to + done * units_);
    for (int64_t at = 0; in_bf16_ && at < now; at += lanes)
      table.pack(kernels::Arithmetic::bf16, {panels + at * depth_, kernels::Element::f32, lanes, 1, lanes}, lanes, lanes, depth_, to + (done + at) * units_, units_ * lanes);
  }
}

// Rows [row, row + rows) of the result at the places [first, first + count), whose packed columns are given; y and `added` are planes
// of one image.
void FoldedConv::multiply(const Places& s, const float* columns, int64_t row, int64_t rows, int64_t first, int64_t count, float* y, const float* added, bool relu) const {
  const auto& table = *static_cast<const kernels::GemmTable*>(table_);
  const int64_t places = s.count();
  for (int64_t unit = 0; unit < units_; unit += kRoundUnits) {
    kernels::GemmBlock block{};
    block.units = std::min(kRoundUnits, units_ - unit);
    block.a = packed_.get() + row / tile_rows_ * panel_ + unit * table.lanes;
    block.a_panel = panel_;
    block.rows = rows;
    block.tile_rows = tile_rows_;
    block.b = columns + unit * table.lanes;
    block.b_panel = units_ * table.lanes;
    block.columns = count;
    block.c = y + row * places + first;
    block.ldc = places;
    block.add_to_c = unit > 0;
    table.multiply(arithmetic_of(in_bf16_), block);
  }
  for (int64_t r = row; r < row + rows; ++r) {
    float* to = y + r * places + first;
    kernels::rows().shift(added ? added + r * places + first : nullptr, shift_[static_cast<size_t>(r)], relu, to, count);
  }
}

Tensor FoldedConv::operator()(const Tensor& x_in, bool relu, const Tensor& added_in) const {
  require(x_in.rank() == 4 && x_in.size(1) == channels_, "conv2d: x {}, weight [{},{},{},{}]; expected [N,C,H,W] and [O,C,KH,KW]", x_in.shape().str(), outputs_, channels_, kh_,
          kw_);
  const Tensor x = input(x_in.detach());
  Places s{x.size(2), x.size(3), 0, 0};
  const int64_t reach_y = config_.dilation[0] * (kh_ - 1) + 1, reach_x = config_.dilation[1] * (kw_ - 1) + 1;
  require(s.h + 2 * config_.padding[0] >= reach_y && s.w + 2 * config_.padding[1] >= reach_x, "conv2d: x {} is smaller than the window {}x{}", x.shape().str(), kh_, kw_);
  s.oh = (s.h + 2 * config_.padding[0] - reach_y) / config_.stride[0] + 1;
  s.ow = (s.w + 2 * config_.padding[1] - reach_x) / config_.stride[1] + 1;
  const int64_t images = x.size(0), places = s.count(), lanes = static_cast<const kernels::GemmTable*>(table_)->lanes;
  Tensor y = Tensor::empty({images, outputs_, s.oh, s.ow});
  // Windows of one pixel at every place see a plane as one long row.
  if (kh_ * kw_ == 1 && config_.stride[0] == 1 && config_.stride[1] == 1 && config_.padding[0] == 0 && config_.padding[1] == 0) s = {1, places, 1, places};
  const Tensor added = added_in.defined() ? input(added_in.detach()) : Tensor();
  require(!added.defined() || added.shape() == y.shape(), "conv2d: the residual has shape {}, expected {}", added_in.shape().str(), y.shape().str());
  const auto planes = [&](int64_t i) { return x.data<float>() + i * channels_ * s.h * s.w; };
  const auto out = [&](int64_t i) { return y.data<float>() + i * outputs_ * places; };
  const auto more = [&](int64_t i) { return added.defined() ? added.data<float>() + i * outputs_ * places : nullptr; };
  const int64_t block_rows = kBlockPanels * tile_rows_;
  if (units_ * places > kSharedWords) {
    // Every task packs columns of its own and goes through all weights.
    const int64_t tile = std::max(lanes, kTileWords / units_ / lanes * lanes), tiles = ceil_div(places, tile);
    parallel_for(images * tiles, 1, [&](int64_t begin, int64_t) {
      const int64_t i = begin / tiles, first = begin % tiles * tile, count = std::min(tile, places - first);
      float* columns = own_columns.get(units_ * round_up(tile, lanes));
      pack(s, planes(i), first, count, columns);
      for (int64_t row = 0; row < outputs_; row += block_rows) multiply(s, columns, row, std::min(block_rows, outputs_ - row), first, count, out(i), more(i), relu);
    });
    return y;
  }
  // The columns of an image are packed by all, then blocks of the result are shared out.
  int64_t tile = round_up(places, lanes);
  const int64_t row_blocks = ceil_div(outputs_, block_rows), wanted = 8 * thread_pool().threads();
  while (row_blocks * ceil_div(places, tile) < wanted && tile > kLeastColumns) tile = std::max(kLeastColumns, round_up(tile / 2, lanes));
  const int64_t tiles = ceil_div(places, tile), grain = std::max<int64_t>(1, (int64_t{16} << 10) / (depth_ * lanes));
  float* columns = shared_columns.get(units_ * round_up(places, lanes));
  for (int64_t i = 0; i < images; ++i) {
    parallel_for(ceil_div(places, lanes), grain, [&](int64_t begin, int64_t end) {
      pack(s, planes(i), begin * lanes, std::min(end * lanes, places) - begin * lanes, columns + begin * units_ * lanes);
    });
    parallel_for(row_blocks * tiles, 1, [&](int64_t task, int64_t) {
      const int64_t row = task / tiles * block_rows, first = task % tiles * tile;
      multiply(s, columns + first * units_, row, std::min(block_rows, outputs_ - row), first, std::min(tile, places - first), out(i), more(i), relu);
    });
  }
  return y;
}

}  // namespace mynah::ops
