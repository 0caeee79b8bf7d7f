// A font of dots for labels in pictures: ASCII, 5 dots wide and 8 high with descenders.
#pragma once
#include <array>
#include <cstdint>

namespace mynah::media {

inline constexpr int64_t kGlyphWidth = 5, kGlyphHeight = 8;

// Rows from the top; bit 4 is the leftmost dot. A frame for characters that the font lacks.
const std::array<uint8_t, 8>& glyph(char32_t character);

}  // namespace mynah::media
