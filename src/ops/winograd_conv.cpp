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

constexpr int64_t kPositions = 16;
constexpr int64_t kRoundWords = int64_t{512} << 10;  // of transformed pixels: they stay in the caches
constexpr int64_t kTaskTiles = 28, kTaskOutputs = 64;
constexpr int64_t kTransformWords = int64_t{8} << 10;  // of a piece of work

thread_local WordScratch transformed_pixels, position_sums;

// G g G^T of a 3x3 window.
std::array<double, kPositions> turned(const float* g) {
  double rows[4][3];
  for (int x = 0; x < 3; ++x) {
    const double a = g[x], b = g[3 + x], c = g[6 + x];
    rows[0][x] = a;
    rows[1][x] = (a + b + c) / 2;
    rows[2][x] = (a - b + c) / 2;
    rows[3][x] = c;
  }
  std::array<double, kPositions> out{};
  for (size_t y = 0; y < 4; ++y) {
    const double a = rows[y][0], b = rows[y][1], c = rows[y][2];
    out[4 * y] = a;
    out[4 * y + 1] = (a + b + c) / 2;
    out[4 * y + 2] = (a - b + c) / 2;
    out[4 * y + 3] = c;
  }
  return out;
}

}  // namespace

WinogradConv::WinogradConv(const float* weight, int64_t outputs, int64_t channels, const kernels::ConvTable& table)
    : outputs_(outputs), channels_(channels), position_(ceil_div(outputs, kConvPanel) * channels * kConvPanel), table_(&table), packed_(aligned_words(kPositions * position_)) {
  std::fill_n(packed_.get(), kPositions * position_, 0u);
  parallel_for(outputs, 16, [&](int64_t o, int64_t end) {
    for (; o < end; ++o)
      for (int64_t c = 0; c < channels; ++c) {
        const auto values = turned(weight + (o * channels + c) * 9);
        for (int64_t i = 0; i < kPositions; ++i)
          packed_.get()[i * position_ + (o / kConvPanel * channels + c) * kConvPanel + o % kConvPanel] = std::bit_cast<uint32_t>(static_cast<float>(values[static_cast<size_t>(i)]));
      }
  });
}

namespace {

// The tiles of all images, four places of the result each, and where their pixels stand.
struct Tiles {
  const Tensor& x;
  Tensor& y;
  std::array<int64_t, 2> padding;
  int64_t down = (y.size(2) + 1) / 2, across = (y.size(3) + 1) / 2;

  int64_t count() const { return y.size(0) * down * across; }
  // First line and place of a tile in the result.
  struct At {
    int64_t image, line, place;
  };
  At at(int64_t tile) const { return {tile / (down * across), tile / across % down * 2, tile % across * 2}; }
  void pixels(const At& t, const float* (&out)[kPositions]) const {
    for (int64_t i = 0; i < kPositions; ++i) {
      const int64_t line = t.line + i / 4 - padding[0], place = t.place + i % 4 - padding[1];
      const bool inside = line >= 0 && line < x.size(2) && place >= 0 && place < x.size(3);
      out[i] = inside ? x.data<float>() + t.image * x.stride(0) + line * x.stride(2) + place * x.stride(3) : nullptr;
    }
  }
};

}  // namespace

void WinogradConv::operator()(const Tensor& x, std::array<int64_t, 2> padding, const kernels::ConvAfter& after, int64_t added_image, Tensor& y) const {
  const Tiles tiles{x, y, padding};
  const int64_t round = std::max(kTaskTiles, std::min(kRoundWords / (kPositions * channels_) / kTaskTiles * kTaskTiles, tiles.count()));
  const int64_t row = apart(channels_), position = round * row + kConvPanel;  // not a multiple of a page
  float* const turned = transformed_pixels.floats(kPositions * position);
  const int64_t groups = ceil_div(outputs_, kTaskOutputs);
  for (int64_t first = 0; first < tiles.count(); first += round) {
    const int64_t count = std::min(round, tiles.count() - first);
    parallel_for(count, std::max<int64_t>(1, kTransformWords / (kPositions * channels_)), [&](int64_t t, int64_t end) {
      for (; t < end; ++t) {
        const float* pixels[kPositions];
        tiles.pixels(tiles.at(first + t), pixels);
        table_->tile_in(pixels, channels_, turned + t * row, position);
      }
    });
    const int64_t pieces = ceil_div(count, kTaskTiles), piece = ceil_div(count, pieces);
    parallel_for(groups * pieces, 1, [&](int64_t task, int64_t) {
      const int64_t output = task / pieces * kTaskOutputs, outputs = std::min(kTaskOutputs, outputs_ - output);
      const int64_t begin = task % pieces * piece, mine = std::min(piece, count - begin), sums_position = piece * kTaskOutputs + kConvPanel;
      if (mine <= 0) return;
      float* const sums = position_sums.floats(kPositions * sums_position);
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
      job.y_pixel = kTaskOutputs;
      for (int64_t i = 0; i < kPositions; ++i) {
        job.x = reinterpret_cast<const uint32_t*>(turned + i * position + begin * row);
        job.weights = packed_.get() + i * position_ + output * channels_;
        job.y = sums + i * sums_position;
        table_->multiply(job);
      }
      kernels::ConvAfter mine_after = after;
      if (after.shifts) mine_after.shifts += output;
      for (int64_t t = 0; t < mine; ++t) {
        const Tiles::At at = tiles.at(first + begin + t);
        const float* added[4];
        float* to[4];
        for (int64_t i = 0; i < 4; ++i) {
          const int64_t line = at.line + i / 2, place = at.place + i % 2;
          const bool inside = line < y.size(2) && place < y.size(3);
          to[i] = inside ? y.data<float>() + at.image * y.stride(0) + line * y.stride(2) + place * y.stride(3) + output : nullptr;
          added[i] = inside && after.added ? after.added + at.image * added_image + line * after.added_line + place * after.added_pixel + output : nullptr;
        }
        table_->tile_out(sums + t * kTaskOutputs, sums_position, outputs, mine_after, added, to);
      }
    });
  }
}

}  // namespace mynah::ops
