#include "media/draw.h"

#include <algorithm>
#include <cmath>

#include "base/require.h"
#include "base/unicode.h"
#include "media/font.h"

namespace mynah::media {
namespace {

void fill(Image& image, int64_t left, int64_t top, int64_t width, int64_t height, const Color& color) {
  const int64_t right = std::min(left + width, image.width), bottom = std::min(top + height, image.height);
  for (int64_t y = std::max<int64_t>(top, 0); y < bottom; ++y)
    for (int64_t x = std::max<int64_t>(left, 0); x < right; ++x) std::copy(color.begin(), color.end(), image.rgb.begin() + (y * image.width + x) * 3);
}

std::vector<char32_t> characters_of(std::string_view text) {
  std::vector<char32_t> characters;
  for (size_t i = 0; i < text.size();) {
    const auto c = unicode::decode_any(text, i);
    characters.push_back(c.code);
    i += c.size;
  }
  return characters;
}

void write_glyphs(Image& image, int64_t left, int64_t top, const std::vector<char32_t>& characters, int64_t scale, const Color& ink) {
  for (size_t i = 0; i < characters.size(); ++i) {
    const auto& rows = glyph(characters[i]);
    for (int64_t row = 0; row < kGlyphHeight; ++row)
      for (int64_t column = 0; column < kGlyphWidth; ++column)
        if (rows[static_cast<size_t>(row)] >> (kGlyphWidth - 1 - column) & 1)
          fill(image, left + (static_cast<int64_t>(i) * (kGlyphWidth + 1) + column) * scale, top + row * scale, scale, scale, ink);
  }
}

// How far a point lies from the part between a and b.
double distance(double x, double y, const std::pair<double, double>& a, const std::pair<double, double>& b) {
  const double dx = b.first - a.first, dy = b.second - a.second, length = dx * dx + dy * dy;
  const double along = length > 0 ? std::clamp(((x - a.first) * dx + (y - a.second) * dy) / length, 0.0, 1.0) : 0;
  return std::hypot(x - a.first - along * dx, y - a.second - along * dy);
}

}  // namespace

Color color_of(std::string_view name) {
  static constexpr Color kColors[] = {{230, 60, 50},  {40, 150, 70},  {40, 100, 220}, {240, 150, 20}, {140, 60, 190}, {0, 160, 170},
                                      {220, 50, 140}, {120, 140, 20}, {90, 90, 100},  {150, 90, 40}};
  size_t sum = 0;
  for (const char c : name) sum = sum * 31 + static_cast<unsigned char>(c);
  return kColors[sum % std::size(kColors)];
}

int64_t pen_width(const Image& image) { return std::max<int64_t>(1, (std::min(image.width, image.height) + 60) / 200); }

int64_t readable_scale(const Image& image) {
  constexpr int64_t kReadableSide = 480, kLargestSide = 4096;  // pixels: of the shorter side below which labels would hide too much; of the longer one
  const int64_t longer = std::max(image.width, image.height), shorter = std::max<int64_t>(1, std::min(image.width, image.height));
  return std::clamp<int64_t>((kReadableSide + shorter - 1) / shorter, 1, std::max<int64_t>(1, kLargestSide / std::max<int64_t>(1, longer)));
}

void draw_frame(Image& image, const Box& box, int64_t thickness, const Color& color) {
  // Ends far outside would overflow sums; nothing of them is seen.
  const auto inside = [](int64_t x, int64_t size) { return std::clamp<int64_t>(x, -1024, size + 1024); };
  const int64_t left = inside(box.left, image.width), right = inside(box.right, image.width), top = inside(box.top, image.height),
                bottom = inside(box.bottom, image.height), width = right - left + 1, height = bottom - top + 1;
  if (width <= 0 || height <= 0) return;
  const int64_t across = std::min(thickness, width), down = std::min(thickness, height);
  fill(image, left, top, width, down, color);
  fill(image, left, bottom - down + 1, width, down, color);
  fill(image, left, top, across, height, color);
  fill(image, right - across + 1, top, across, height, color);
}

Box label_place(const Image& image, int64_t left, int64_t bottom, std::string_view text, int64_t scale) {
  const int64_t width = (static_cast<int64_t>(characters_of(text).size()) * (kGlyphWidth + 1) + 1) * scale, height = (kGlyphHeight + 2) * scale;
  const int64_t x = std::max<int64_t>(0, std::min(left, image.width - width)), y = std::clamp<int64_t>(bottom - height, 0, std::max<int64_t>(0, image.height - height));
  return {x, y, x + width - 1, y + height - 1};
}

void draw_label(Image& image, int64_t left, int64_t bottom, std::string_view text, int64_t scale, const Color& color) {
  const Box ground = label_place(image, left, bottom, text, scale);
  fill(image, ground.left, ground.top, ground.right - ground.left + 1, ground.bottom - ground.top + 1, color);
  const int brightness = (299 * color[0] + 587 * color[1] + 114 * color[2]) / 1000;
  const Color ink = brightness > 150 ? Color{0, 0, 0} : Color{255, 255, 255};
  write_glyphs(image, ground.left + scale, ground.top + scale, characters_of(text), scale, ink);
}

int64_t text_width(std::string_view text, int64_t scale) {
  const auto count = static_cast<int64_t>(characters_of(text).size());
  return count > 0 ? (count * (kGlyphWidth + 1) - 1) * scale : 0;
}

void draw_text(Image& image, int64_t left, int64_t bottom, std::string_view text, int64_t scale, const Color& color) {
  write_glyphs(image, left, bottom - kGlyphHeight * scale, characters_of(text), scale, color);
}

void draw_line(Image& image, const std::vector<std::pair<double, double>>& points, double thickness, const Color& color) {
  if (points.empty()) return;
  const double reach = thickness / 2 + 0.5;
  const auto first = [&](double u, int64_t size) { return static_cast<int64_t>(std::clamp(std::floor(u - reach), 0.0, static_cast<double>(size))); };
  const auto end = [&](double u, int64_t size) { return static_cast<int64_t>(std::clamp(std::ceil(u + reach), 0.0, static_cast<double>(size))); };
  const auto [highest, lowest] = std::minmax_element(points.begin(), points.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  const int64_t top = first(highest->second, image.height), rows = end(lowest->second, image.height) - top;
  std::vector<float> cover(static_cast<size_t>(image.width * rows));  // of the whole line, so that joints are not laid on twice
  for (size_t i = 0; i + 1 < points.size(); ++i) {
    const auto &a = points[i], &b = points[i + 1];
    for (int64_t y = first(std::min(a.second, b.second), image.height); y < end(std::max(a.second, b.second), image.height); ++y)
      for (int64_t x = first(std::min(a.first, b.first), image.width); x < end(std::max(a.first, b.first), image.width); ++x) {
        const double d = distance(static_cast<double>(x) + 0.5, static_cast<double>(y) + 0.5, a, b);
        float& here = cover[static_cast<size_t>((y - top) * image.width + x)];
        here = std::max(here, static_cast<float>(std::clamp(reach - d, 0.0, 1.0)));
      }
  }
  for (size_t i = 0; i < cover.size(); ++i)
    for (size_t c = 0; cover[i] > 0 && c < 3; ++c) {
      uint8_t& value = image.rgb[(static_cast<size_t>(top * image.width) + i) * 3 + c];
      value = static_cast<uint8_t>(std::lround(static_cast<float>(value) + cover[i] * static_cast<float>(color[c] - value)));
    }
}

void draw_mask(Image& image, const std::vector<uint8_t>& mask, const Color& color) {
  MYNAH_CHECK(mask.size() * 3 == image.rgb.size());
  for (size_t i = 0; i < mask.size(); ++i)
    for (size_t c = 0; mask[i] && c < 3; ++c) image.rgb[i * 3 + c] = static_cast<uint8_t>((image.rgb[i * 3 + c] + color[c]) / 2);
}

}  // namespace mynah::media
