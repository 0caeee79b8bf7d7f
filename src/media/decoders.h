// The decoders behind decode_image, one per format.
#pragma once
#include "media/image.h"

namespace mynah::media {

Image decode_jpeg(std::span<const std::byte> bytes, const std::string& where);
Image decode_png(std::span<const std::byte> bytes, const std::string& where, Alpha alpha);
Image decode_webp(std::span<const std::byte> bytes, const std::string& where, Alpha alpha);

// Sets the size and allocates the pixels; throws failure if they are too many.
void prepare(Image& image, uint64_t width, uint64_t height, const std::string& where);
// Pixels of four channels laid on white, into a picture of their size.
void lay_on_white(std::span<const uint8_t> rgba, Image* out);
// The picture upright, given its EXIF orientation 1..8.
Image turn(Image image, int orientation);

}  // namespace mynah::media
