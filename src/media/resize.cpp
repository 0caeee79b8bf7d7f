#include "media/resize.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/require.h"
#include "base/thread_pool.h"

namespace mynah::media {
namespace {

double sinc(double x) { return x == 0 ? 1 : std::sin(x * std::numbers::pi) / (x * std::numbers::pi); }

double support_of(Filter f) {
  switch (f) {
    case Filter::box: return 0.5;
    case Filter::bicubic: return 2;
    case Filter::lanczos: return 3;
    default: return 1;
  }
}

double weight_of(Filter f, double x) {
  switch (f) {
    case Filter::box: return x > -0.5 && x <= 0.5 ? 1 : 0;
    case Filter::bilinear: return std::max(0.0, 1 - std::abs(x));
    case Filter::hamming:
      x = std::abs(x);
      if (x == 0) return 1;
      return x >= 1 ? 0 : sinc(x) * (0.54 + 0.46 * std::cos(x * std::numbers::pi));
    case Filter::bicubic: {
      constexpr double a = -0.5;
      x = std::abs(x);
      if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
    }
    default: return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0;
  }
}

constexpr int kBits = 22;  // of fixed-point weights

// Which input pixels make an output pixel, and their weights.
struct Taps {
  int64_t first = 0;
  std::vector<int32_t> weights;
};

std::vector<Taps> taps_of(int64_t in, int64_t out, Filter filter) {
  const double scale = static_cast<double>(in) / static_cast<double>(out), stretch = std::max(scale, 1.0);
  const double support = support_of(filter) * stretch;
  std::vector<Taps> all(static_cast<size_t>(out));
  std::vector<double> weights;
  for (int64_t i = 0; i < out; ++i) {
    const double center = (static_cast<double>(i) + 0.5) * scale;
    const int64_t first = std::max<int64_t>(0, static_cast<int64_t>(center - support + 0.5));
    const int64_t last = std::min<int64_t>(in, static_cast<int64_t>(center + support + 0.5));
    weights.clear();
    double total = 0;
    for (int64_t x = first; x < last; ++x) {
      weights.push_back(weight_of(filter, (static_cast<double>(x) - center + 0.5) / stretch));
      total += weights.back();
    }
    Taps& taps = all[static_cast<size_t>(i)];
    taps.first = first;
    for (double w : weights) {
      if (total != 0) w /= total;
      taps.weights.push_back(static_cast<int32_t>(std::trunc((w < 0 ? -0.5 : 0.5) + w * (1 << kBits))));
    }
  }
  return all;
}

uint8_t pixel(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> kBits, 0, 255)); }

Image across(const Image& in, int64_t width, Filter filter) {
  const auto taps = taps_of(in.width, width, filter);
  Image out{width, in.height, std::vector<uint8_t>(static_cast<size_t>(width * in.height * 3))};
  parallel_for(in.height, 16, [&](int64_t y, int64_t end) {
    for (; y < end; ++y)
      for (int64_t x = 0; x < width; ++x) {
        const Taps& t = taps[static_cast<size_t>(x)];
        const uint8_t* from = in.rgb.data() + (y * in.width + t.first) * 3;
        int32_t sum[3] = {1 << (kBits - 1), 1 << (kBits - 1), 1 << (kBits - 1)};
        for (const int32_t w : t.weights)
          for (int32_t& s : sum) s += w * *from++;
        for (int64_t c = 0; c < 3; ++c) out.rgb[static_cast<size_t>((y * width + x) * 3 + c)] = pixel(sum[c]);
      }
  });
  return out;
}

Image down(const Image& in, int64_t height, Filter filter) {
  const auto taps = taps_of(in.height, height, filter);
  const int64_t row = in.width * 3;
  Image out{in.width, height, std::vector<uint8_t>(static_cast<size_t>(row * height))};
  parallel_for(height, 16, [&](int64_t y, int64_t end) {
    std::vector<int32_t> sum(static_cast<size_t>(row));
    for (; y < end; ++y) {
      const Taps& t = taps[static_cast<size_t>(y)];
      std::fill(sum.begin(), sum.end(), 1 << (kBits - 1));
      for (size_t k = 0; k < t.weights.size(); ++k) {
        const uint8_t* from = in.rgb.data() + (t.first + static_cast<int64_t>(k)) * row;
        for (int64_t x = 0; x < row; ++x) sum[static_cast<size_t>(x)] += t.weights[k] * from[x];
      }
      for (int64_t x = 0; x < row; ++x) out.rgb[static_cast<size_t>(y * row + x)] = pixel(sum[static_cast<size_t>(x)]);
    }
  });
  return out;
}

Image nearest(const Image& in, int64_t width, int64_t height) {
  Image out{width, height, std::vector<uint8_t>(static_cast<size_t>(width * height * 3))};
  const auto place = [](int64_t i, int64_t from, int64_t to) {
    return std::min(from - 1, static_cast<int64_t>((static_cast<double>(i) + 0.5) * static_cast<double>(from) / static_cast<double>(to)));
  };
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x)
      std::copy_n(in.rgb.data() + (place(y, in.height, height) * in.width + place(x, in.width, width)) * 3, 3, out.rgb.data() + (y * width + x) * 3);
  return out;
}

}  // namespace

Image resize(const Image& image, int64_t width, int64_t height, Filter filter) {
  require(width > 0 && height > 0 && width <= (1 << 16) && height <= (1 << 16), "image: cannot resize to {}x{}", width, height);
  if (width == image.width && height == image.height) return image;
  if (filter == Filter::nearest) return nearest(image, width, height);
  const auto horizontal = [&](const Image& in) { return width == in.width ? in : across(in, width, filter); };
  const auto vertical = [&](const Image& in) { return height == in.height ? in : down(in, height, filter); };
  // PIL 13 begins with the pass that shrinks more, by this rule; pixels are rounded between the passes, so the order shows.
  const int64_t lower = image.height - height, narrower = image.width - width;
  return lower > 0 && lower > 2 * narrower ? horizontal(vertical(image)) : vertical(horizontal(image));
}

Image crop(const Image& image, int64_t left, int64_t top, int64_t width, int64_t height) {
  require(width > 0 && height > 0 && width <= (1 << 16) && height <= (1 << 16), "image: cannot crop to {}x{}", width, height);
  Image out{width, height, std::vector<uint8_t>(static_cast<size_t>(width * height * 3))};
  const int64_t x0 = std::max<int64_t>(0, -left), x1 = std::min(width, image.width - left);
  for (int64_t y = std::max<int64_t>(0, -top); y < std::min(height, image.height - top) && x0 < x1; ++y)
    std::copy_n(image.rgb.data() + ((y + top) * image.width + x0 + left) * 3, (x1 - x0) * 3, out.rgb.data() + (y * width + x0) * 3);
  return out;
}

}  // namespace mynah::media
