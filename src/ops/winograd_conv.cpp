#include "ops/winograd_conv.h"

#include <algorithm>
#include <array>
#include <bit>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/conv.h"
#include "ops/divide.h"
#include "ops/word_memory.h"

namespace mynah::ops {
namespace {

using kernels::kConvPanel;

constexpr int64_t kMostSeen = 6, kMostPositions = kMostSeen * kMostSeen, kMostPlaces = 16;
constexpr int64_t kLargeWeights = int64_t{128} << 10;  // outputs times channels from which the small tiles' smaller weights are worth more
constexpr int64_t kRoundWords = int64_t{512} << 10;    // of transformed pixels: they stay in the caches
constexpr int64_t kTaskTiles = 28, kTaskOutputs = 64;
constexpr int64_t kTransformWords = int64_t{8} << 10;  // of a piece of work

thread_local WordScratch transformed_pixels, position_sums;

// G of the finite points: what three weights amount to at each of them and at the infinite one.
std::vector<std::array<double, 3>> filter_turn(const std::vector<double>& points) {
  std::vector<std::array<double, 3>> rows;
  for (const double p : points) {
    double product = 1;
    for (const double other : points)
      if (other != p) product *= p - other;
    rows.push_back({1 / product, p / product, p * p / product});
  }
  rows.push_back({0, 0, 1});
  return rows;
}

// The points of the kernels' tiles (kernels/conv_winograd.inc).
std::vector<std::array<double, 3>> filter_turn(int64_t places) {
  if (places == 4) return filter_turn({0, 0.625, -0.625, 1.5, -1.5});
  auto small = filter_turn({0, 1, -1});
  small[0][0] = 1;  // whose pixels are turned with the other sign
  return small;
}

}  // namespace

WinogradConv::WinogradConv(const float* weight, int64_t outputs, int64_t channels, const kernels::ConvTable& table)
    : outputs_(outputs),
      channels_(channels),
      position_(ceil_div(outputs, kConvPanel) * channels * kConvPanel),
      table_(&table),
      tile_(outputs * channels <= kLargeWeights ? &table.large_tile : &table.small_tile),
      seen_(tile_->places + 2),
      positions_(seen_ * seen_),
      packed_(aligned_words(positions_ * position_)),
      zeros_(static_cast<size_t>(channels), 0.0f) {
  std::fill_n(packed_.get(), positions_ * position_, 0u);
  const auto turn = filter_turn(tile_->places);
  parallel_for(outputs, 16, [&](int64_t o, int64_t end) {
    for (; o < end; ++o)
      for (int64_t c = 0; c < channels; ++c) {
        // G g G^T
        const float* g = weight + (o * channels + c) * 9;
        for (int64_t i = 0; i < positions_; ++i) {
          const auto &down = turn[static_cast<size_t>(i / seen_)], &across = turn[static_cast<size_t>(i % seen_)];
          double value = 0;
          for (size_t y = 0; y < 3; ++y) value += down[y] * (across[0] * g[3 * y] + across[1] * g[3 * y + 1] + across[2] * g[3 * y + 2]);
          packed_.get()[i * position_ + (o / kConvPanel * channels + c) * kConvPanel + o % kConvPanel] = std::bit_cast<uint32_t>(static_cast<float>(value));
        }
      }
  });
}

namespace {

// The tiles of all images and where their pixels stand.
struct Tiles {
  const Tensor& x;
  Tensor& y;
  std::array<int64_t, 2> padding;
  int64_t places;  // of the result that a tile has in each direction
  const float* zeros;
  int64_t down = ceil_div(y.size(2), places), across = ceil_div(y.size(3), places);

  int64_t count() const { return y.size(0) * down * across; }
  // First line and place of a tile in the result.
  struct At {
    int64_t image, line, place;
  };
  At at(int64_t tile) const { return {tile / (down * across), tile / across % down * places, tile % across * places}; }
  void pixels(const At& t, const float** out) const {
    const int64_t seen = places + 2;
    for (int64_t i = 0; i < seen; ++i) {
      const int64_t line = t.line + i - padding[0];
      const bool line_inside = line >= 0 && line < x.size(2);
      const float* from = x.data<float>() + t.image * x.stride(0) + line * x.stride(2);
      for (int64_t j = 0; j < seen; ++j) {
        const int64_t place = t.place + j - padding[1];
        *out++ = line_inside && place >= 0 && place < x.size(3) ? from + place * x.stride(3) : zeros;
      }
    }
  }
};

}  // namespace

void WinogradConv::operator()(const Tensor& x, std::array<int64_t, 2> padding, const kernels::ConvAfter& after, int64_t added_image, Tensor& y) const {
  const Tiles tiles{x, y, padding, tile_->places, zeros_.data()};
  const int64_t round = std::max(kTaskTiles, std::min(kRoundWords / (positions_ * channels_) / kTaskTiles * kTaskTiles, tiles.count()));
  const int64_t row = apart(channels_), position = round * row + kConvPanel;  // not a multiple of a page
  float* const turned = transformed_pixels.floats(positions_ * position);
  const int64_t groups = ceil_div(outputs_, kTaskOutputs);
  for (int64_t first = 0; first < tiles.count(); first += round) {
    const int64_t count = std::min(round, tiles.count() - first);
    parallel_for(count, std::max<int64_t>(1, kTransformWords / (positions_ * channels_)), [&](int64_t t, int64_t end) {
      for (; t < end; ++t) {
        const float* pixels[kMostPositions];
        tiles.pixels(tiles.at(first + t), pixels);
        tile_->in(pixels, channels_, turned + t * row, position);
      }
    });
    const int64_t pieces = ceil_div(count, kTaskTiles), piece = ceil_div(count, pieces);
    parallel_for(groups * pieces, 1, [&](int64_t task, int64_t) {
      const int64_t output = task / pieces * kTaskOutputs, outputs = std::min(kTaskOutputs, outputs_ - output), width = round_up(outputs, kConvPanel);
      const int64_t begin = task % pieces * piece, mine = std::min(piece, count - begin), sums_position = piece * width + kConvPanel;
      if (mine <= 0) return;
      float* const sums = position_sums.floats(positions_ * sums_position);
      const int64_t run = 0;
      kernels::ConvJob job{};
      job.word = kernels::ConvWord::f32;
      job.pixel = row;
      job.runs = &run;
      job.run_count = 1;
      job.units = channels_;
      job.panel = channels_ * kConvPanel;
      job.pixels = mine;
      job.lines = 1;
      job.outputs = outputs;
      job.y_pixel = width;
      for (int64_t i = 0; i < positions_; ++i) {
        job.x = reinterpret_cast<const uint32_t*>(turned + i * position + begin * row);
        job.weights = packed_.get() + i * position_ + output * channels_;
        job.y = sums + i * sums_position;
        table_->multiply(job);
      }
      kernels::ConvAfter mine_after = after;
      if (after.shifts) mine_after.shifts += output;
      for (int64_t t = 0; t < mine; ++t) {
        const Tiles::At at = tiles.at(first + begin + t);
        const float* added[kMostPlaces];
        float* to[kMostPlaces];
        for (int64_t i = 0; i < tile_->places * tile_->places; ++i) {
          const int64_t line = at.line + i / tile_->places, place = at.place + i % tile_->places;
          const bool inside = line < y.size(2) && place < y.size(3);
          to[i] = inside ? y.data<float>() + at.image * y.stride(0) + line * y.stride(2) + place * y.stride(3) + output : nullptr;
          added[i] = inside && after.added ? after.added + at.image * added_image + line * after.added_line + place * after.added_pixel + output : nullptr;
        }
        tile_->out(sums + t * width, sums_position, outputs, mine_after, added, to);
      }
    });
  }
}

}  // namespace mynah::ops
