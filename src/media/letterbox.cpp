#include "media/letterbox.h"

#include <algorithm>
#include <cmath>

namespace mynah::media {
namespace {

constexpr uint8_t kGrey = 114;
constexpr int kOne = 2048;  // weights are numbers of 11 bits

// The two source places of each target place and the weight of the second.
struct Samples {
  std::vector<int64_t> first, second;
  std::vector<int> weight;

  Samples(int64_t from, int64_t to) {
    const double scale = static_cast<double>(from) / static_cast<double>(to);
    for (int64_t i = 0; i < to; ++i) {
      const auto at = static_cast<float>((static_cast<double>(i) + 0.5) * scale - 0.5);
      auto whole = static_cast<int64_t>(std::floor(at));
      float part = at - static_cast<float>(whole);
      if (whole < 0) whole = 0, part = 0;
      if (whole >= from - 1) whole = from - 1, part = 0;
      first.push_back(whole);
      second.push_back(std::min(whole + 1, from - 1));
      weight.push_back(static_cast<int>(std::nearbyint(part * kOne)));
    }
  }
};

}  // namespace

Letterbox fit(int64_t width, int64_t height, int64_t frame_width, int64_t frame_height, bool centred) {
  const auto w = static_cast<double>(width), h = static_cast<double>(height);
  Letterbox out;
  out.ratio = std::min(static_cast<double>(frame_width) / w, static_cast<double>(frame_height) / h);
  const auto size = [&](double side) { return std::max<int64_t>(1, static_cast<int64_t>(centred ? std::nearbyint(side * out.ratio) : side * out.ratio)); };
  out.width = std::min(size(w), frame_width);
  out.height = std::min(size(h), frame_height);
  const auto start = [](int64_t frame, int64_t inside) { return static_cast<int64_t>(std::nearbyint(static_cast<double>(frame - inside) / 2 - 0.1)); };
  if (centred) {
    out.left = std::max<int64_t>(0, start(frame_width, out.width));
    out.top = std::max<int64_t>(0, start(frame_height, out.height));
  }
  return out;
}

Image resize_sampled(const Image& image, int64_t width, int64_t height) {
  Image out;
  out.width = width;
  out.height = height;
  out.rgb.resize(static_cast<size_t>(width * height * 3));
  const Samples across(image.width, width), down(image.height, height);
  std::vector<int> rows[2] = {std::vector<int>(static_cast<size_t>(width * 3)), std::vector<int>(static_cast<size_t>(width * 3))};
  const auto row_of = [&](int64_t y, std::vector<int>& to) {
    const uint8_t* from = image.rgb.data() + y * image.width * 3;
    for (size_t x = 0; x < static_cast<size_t>(width); ++x)
      for (int64_t c = 0; c < 3; ++c)
        to[3 * x + static_cast<size_t>(c)] = from[across.first[x] * 3 + c] * (kOne - across.weight[x]) + from[across.second[x] * 3 + c] * across.weight[x];
  };
  for (size_t y = 0; y < static_cast<size_t>(height); ++y) {
    row_of(down.first[y], rows[0]);
    row_of(down.second[y], rows[1]);
    const int weight = down.weight[y];
    for (size_t i = 0; i < rows[0].size(); ++i) {
      const int value = (((kOne - weight) * (rows[0][i] >> 4)) >> 16) + ((weight * (rows[1][i] >> 4)) >> 16);
      out.rgb[y * rows[0].size() + i] = static_cast<uint8_t>((value + 2) >> 2);
    }
  }
  return out;
}

Image letterboxed(const Image& image, const Letterbox& place, int64_t frame_width, int64_t frame_height) {
  const bool same = place.width == image.width && place.height == image.height;
  const Image inside = same ? image : resize_sampled(image, place.width, place.height);
  Image out;
  out.width = frame_width;
  out.height = frame_height;
  out.rgb.assign(static_cast<size_t>(frame_width * frame_height * 3), kGrey);
  for (int64_t y = 0; y < place.height; ++y)
    std::copy_n(inside.rgb.begin() + y * place.width * 3, place.width * 3, out.rgb.begin() + ((y + place.top) * frame_width + place.left) * 3);
  return out;
}

}  // namespace mynah::media
