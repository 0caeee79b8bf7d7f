#include "train/augment.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "base/random.h"
#include "base/require.h"
#include "media/resize.h"

namespace mynah::train {
namespace {

constexpr double kLeastLeft = 0.25;  // of a box's area

double area(const std::array<double, 4>& b) { return std::max(0.0, b[2] - b[0]) * std::max(0.0, b[3] - b[1]); }

// What lies inside [left, left + width) x [top, top + height), moved there.
std::vector<ObjectBox> inside(const std::vector<ObjectBox>& objects, double left, double top, double width, double height) {
  std::vector<ObjectBox> out;
  for (const ObjectBox& o : objects) {
    const std::array<double, 4> cut = {std::max(o.box[0] - left, 0.0), std::max(o.box[1] - top, 0.0), std::min(o.box[2] - left, width), std::min(o.box[3] - top, height)};
    if (area(cut) >= kLeastLeft * area(o.box) && area(cut) > 0) out.push_back({o.label, cut});
  }
  return out;
}

Labelled flipped(Labelled in) {
  media::Image& p = in.picture;
  for (int64_t y = 0; y < p.height; ++y) {
    uint8_t* row = p.rgb.data() + y * p.width * 3;
    for (int64_t x = 0; x < p.width / 2; ++x) std::swap_ranges(row + 3 * x, row + 3 * x + 3, row + 3 * (p.width - 1 - x));
  }
  for (ObjectBox& o : in.objects) o.box = {static_cast<double>(p.width) - o.box[2], o.box[1], static_cast<double>(p.width) - o.box[0], o.box[3]};
  return in;
}

Labelled cropped(const Labelled& in, Draws& draws) {
  const auto width = static_cast<double>(in.picture.width), height = static_cast<double>(in.picture.height);
  const double part = draws.uniform(0.6, 1) * width * height, ratio = std::exp(draws.uniform(std::log(3.0 / 4), std::log(4.0 / 3)));
  const auto w = std::clamp<int64_t>(std::lround(std::sqrt(part * ratio)), 1, in.picture.width), h = std::clamp<int64_t>(std::lround(std::sqrt(part / ratio)), 1, in.picture.height);
  const int64_t left = draws.below(in.picture.width - w + 1), top = draws.below(in.picture.height - h + 1);
  return {media::crop(in.picture, left, top, w, h), inside(in.objects, static_cast<double>(left), static_cast<double>(top), static_cast<double>(w), static_cast<double>(h))};
}

void recolour(media::Image& p, Draws& draws) {
  const double brightness = draws.uniform(0.6, 1.4), contrast = draws.uniform(0.6, 1.4), saturation = draws.uniform(0.6, 1.4);
  const auto grey = [](const uint8_t* c) { return 0.299 * c[0] + 0.587 * c[1] + 0.114 * c[2]; };
  double mean = 0;
  for (size_t i = 0; i < p.rgb.size(); i += 3) mean += grey(p.rgb.data() + i);
  mean = mean * brightness / (static_cast<double>(p.rgb.size()) / 3);
  for (size_t i = 0; i < p.rgb.size(); i += 3) {
    const double own = grey(p.rgb.data() + i) * brightness;
    for (size_t c = 0; c < 3; ++c) {
      const double coloured = own + saturation * (p.rgb[i + c] * brightness - own);
      p.rgb[i + c] = static_cast<uint8_t>(std::clamp(std::lround(mean + contrast * (coloured - mean)), 0L, 255L));
    }
  }
}

// Four pictures around a place near the middle of a canvas of the first one's size, each scaled to its quarter.
Labelled mosaic(Labelled first, Draws& draws, int64_t rows, const std::function<Labelled(int64_t)>& other) {
  const int64_t width = first.picture.width, height = first.picture.height;
  const auto across = std::clamp<int64_t>(std::lround(draws.uniform(0.35, 0.65) * static_cast<double>(width)), 1, std::max<int64_t>(width - 1, 1));
  const auto down = std::clamp<int64_t>(std::lround(draws.uniform(0.35, 0.65) * static_cast<double>(height)), 1, std::max<int64_t>(height - 1, 1));
  if (width < 2 || height < 2) return first;
  Labelled out{{width, height, std::vector<uint8_t>(static_cast<size_t>(width * height * 3))}, {}};
  for (int i = 0; i < 4; ++i) {
    const Labelled part = i == 0 ? std::move(first) : other(draws.below(rows));
    const int64_t left = i % 2 ? across : 0, top = i / 2 ? down : 0, w = i % 2 ? width - across : across, h = i / 2 ? height - down : down;
    const media::Image small = media::resize(part.picture, w, h, media::Filter::bilinear);
    for (int64_t y = 0; y < h; ++y) std::copy_n(small.rgb.begin() + y * w * 3, w * 3, out.picture.rgb.begin() + ((top + y) * width + left) * 3);
    const double x_scale = static_cast<double>(w) / static_cast<double>(part.picture.width), y_scale = static_cast<double>(h) / static_cast<double>(part.picture.height);
    for (const ObjectBox& o : part.objects)
      out.objects.push_back({o.label,
                             {o.box[0] * x_scale + static_cast<double>(left), o.box[1] * y_scale + static_cast<double>(top), o.box[2] * x_scale + static_cast<double>(left),
                              o.box[3] * y_scale + static_cast<double>(top)}});
  }
  return out;
}

}  // namespace

Augmentation augmentation(const std::string& names) {
  Augmentation out;
  std::istringstream in(names);
  for (std::string name; std::getline(in, name, ',');) {
    if (name == "flip") out.flip = true;
    else if (name == "crop") out.crop = true;
    else if (name == "color" || name == "colour") out.color = true;
    else if (name == "mosaic") out.mosaic = true;
    else if (!name.empty() && name != "none") fail(ErrorCode::usage, "--augment: \"{}\", expected flip, crop, color, mosaic or none", name);
  }
  return out;
}

Labelled augmented(Labelled row, const Augmentation& how, Draws draws, int64_t rows, const std::function<Labelled(int64_t)>& other) {
  if (how.mosaic && draws.even()) row = mosaic(std::move(row), draws, rows, other);
  if (how.crop) row = cropped(row, draws);
  if (how.flip && draws.even()) row = flipped(std::move(row));
  if (how.color) recolour(row.picture, draws);
  return row;
}

}  // namespace mynah::train
