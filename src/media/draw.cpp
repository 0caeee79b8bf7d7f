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

}  // namespace

Color color_of(std::string_view name) {
  static constexpr Color kColors[] = {{230, 60, 50},  {40, 150, 70},  {40, 100, 220}, {240, 150, 20}, {140, 60, 190}, {0, 160, 170},
                                      {220, 50, 140}, {120, 140, 20}, {90, 90, 100},  {150, 90, 40}};
  size_t sum = 0;
  for (const char c : name) sum = sum * 31 + static_cast<unsigned char>(c);
  return kColors[sum % std::size(kColors)];
}

int64_t pen_width(const Image& image) { return std::max<int64_t>(1, (std::min(image.width, image.height) + 60) / 200); }

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

void draw_label(Image& image, int64_t left, int64_t bottom, std::string_view text, int64_t scale, const Color& color) {
  std::vector<char32_t> characters;
  for (size_t i = 0; i < text.size();) {
    const auto c = unicode::decode_any(text, i);
    characters.push_back(c.code);
    i += c.size;
  }
  const int64_t width = (static_cast<int64_t>(characters.size()) * (kGlyphWidth + 1) + 1) * scale, height = (kGlyphHeight + 2) * scale;
  const int64_t x = std::max<int64_t>(0, std::min(left, image.width - width)), y = std::clamp<int64_t>(bottom - height, 0, std::max<int64_t>(0, image.height - height));
  fill(image, x, y, width, height, color);
  const int brightness = (299 * color[0] + 587 * color[1] + 114 * color[2]) / 1000;
  const Color ink = brightness > 150 ? Color{0, 0, 0} : Color{255, 255, 255};
  for (size_t i = 0; i < characters.size(); ++i) {
    const auto& rows = glyph(characters[i]);
    for (int64_t row = 0; row < kGlyphHeight; ++row)
      for (int64_t column = 0; column < kGlyphWidth; ++column)
        if (rows[static_cast<size_t>(row)] >> (kGlyphWidth - 1 - column) & 1)
          fill(image, x + (static_cast<int64_t>(i) * (kGlyphWidth + 1) + 1 + column) * scale, y + (1 + row) * scale, scale, scale, ink);
  }
}

void draw_mask(Image& image, const std::vector<uint8_t>& mask, const Color& color) {
  MYNAH_CHECK(mask.size() * 3 == image.rgb.size());
  for (size_t i = 0; i < mask.size(); ++i)
    for (size_t c = 0; mask[i] && c < 3; ++c) image.rgb[i * 3 + c] = static_cast<uint8_t>((image.rgb[i * 3 + c] + color[c]) / 2);
}

}  // namespace mynah::media
