// Pictures as 8-bit RGB, decoded by their content: JPEG, PNG, WebP. The bytes are not trusted: sizes are limited before anything
// is allocated for pixels.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace mynah::media {

struct Image {
  int64_t width = 0, height = 0;
  std::vector<uint8_t> rgb;  // [height][width][3]
};

// What becomes of transparency: it is dropped, or the picture is laid on white.
enum class Alpha { dropped, on_white };

// Turned upright as the EXIF orientation of a JPEG says, 16 bits cut to the high 8, greys and palettes
// made RGB. `where` names the source in errors. Throws integrity for damaged data, failure for other formats and for more than
// 178,956,970 pixels.
// An animation gives its first frame. Other formats go through mynah-media where it is.
Image decode_image(std::span<const std::byte> bytes, const std::string& where, Alpha alpha = Alpha::dropped);
Image read_image(const std::filesystem::path& path, Alpha alpha = Alpha::dropped);

// Whether these bytes begin as JPEG, PNG or WebP.
bool is_still_picture(std::span<const std::byte> bytes);

// PNG of RGB pixels, or of one channel [height][width].
std::vector<std::byte> encode_png(int64_t width, int64_t height, int channels, const uint8_t* pixels);
// JPEG without subsampled colours; `quality` 1..100.
std::vector<std::byte> encode_jpeg(const Image& image, int quality = 92);
// As the ending says: .png, .jpg or .jpeg. Written whole or not at all. Throws usage for another ending.
void write_image(const std::filesystem::path& path, const Image& image);

}  // namespace mynah::media
