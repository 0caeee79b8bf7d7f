// Drawing into pictures: frames, masks, labels. Whatever lies outside the picture is left out.
#pragma once
#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "media/image.h"

namespace mynah::media {

using Color = std::array<uint8_t, 3>;

// Corners, the right and lower one included.
struct Box {
  int64_t left, top, right, bottom;
};

// Always the same one of some well distinguishable colours for a name.
Color color_of(std::string_view name);
// How thick lines should be to be seen in a picture of this size, pixels.
int64_t pen_width(const Image& image);
// How many times as large a small picture should be drawn, so that labels do not hide what they name.
int64_t readable_scale(const Image& image);

void draw_frame(Image& image, const Box& box, int64_t thickness, const Color& color);
// Where draw_label() puts its ground.
Box label_place(const Image& image, int64_t left, int64_t bottom, std::string_view text, int64_t scale);
// Text on a filled ground whose lower left corner is (left, bottom), moved into the picture. `scale`: pixels of one dot of the font.
// Characters beyond ASCII are drawn as boxes.
void draw_label(Image& image, int64_t left, int64_t bottom, std::string_view text, int64_t scale, const Color& color);
// Text alone, whose lower left corner is (left, bottom).
void draw_text(Image& image, int64_t left, int64_t bottom, std::string_view text, int64_t scale, const Color& color);
// Pixels that a text is wide.
int64_t text_width(std::string_view text, int64_t scale);
// Through these points (x, y), whole numbers being the corners of pixels, with smoothed edges.
void draw_line(Image& image, const std::vector<std::pair<double, double>>& points, double thickness, const Color& color);
// Tints the pixels where `mask` [height * width] is not 0.
void draw_mask(Image& image, const std::vector<uint8_t>& mask, const Color& color);

}  // namespace mynah::media
