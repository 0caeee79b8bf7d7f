#include "media/image.h"

#include <webp/decode.h>

#include <algorithm>
#include <cctype>

#include "base/file.h"
#include "base/require.h"
#include "media/animation.h"
#include "media/decoders.h"
#include "media/media_program.h"

namespace mynah::media {

constexpr uint64_t kMaxPixels = 178'956'970;  // PIL's limit before it calls a picture a bomb, doubled

void prepare(Image& image, uint64_t width, uint64_t height, const std::string& where) {
  require(width > 0 && height > 0, "{}: an image of {}x{} pixels", where, width, height);
  require(width <= kMaxPixels / height, "{}: an image of {}x{} pixels, expected at most {} in all; make it smaller", where, width, height, kMaxPixels);
  image.width = static_cast<int64_t>(width);
  image.height = static_cast<int64_t>(height);
  image.rgb.resize(static_cast<size_t>(width * height * 3));
}

Image turn(Image image, int orientation) {
  if (orientation <= 1) return image;
  const int64_t w = image.width, h = image.height;
  const bool swapped = orientation >= 5;
  Image out;
  out.width = swapped ? h : w;
  out.height = swapped ? w : h;
  out.rgb.resize(image.rgb.size());
  for (int64_t y = 0; y < out.height; ++y)
    for (int64_t x = 0; x < out.width; ++x) {
      int64_t from_x = swapped ? y : x, from_y = swapped ? x : y;
      if (orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8) from_x = w - 1 - from_x;
      if (orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7) from_y = h - 1 - from_y;
      for (int64_t c = 0; c < 3; ++c)
        out.rgb[static_cast<size_t>((y * out.width + x) * 3 + c)] = image.rgb[static_cast<size_t>((from_y * w + from_x) * 3 + c)];
    }
  return out;
}

void lay_on_white(std::span<const uint8_t> rgba, Image* out) {
  for (size_t i = 0, pixels = rgba.size() / 4; i < pixels; ++i)
    for (size_t c = 0; c < 3; ++c) {
      // PIL's alpha_composite: round(colour * alpha + white * (1 - alpha)) in fixed point
      const uint32_t a = rgba[i * 4 + 3], sum = 128 * (rgba[i * 4 + c] * a + 255 * (255 - a)) + (128 << 7);
      out->rgb[i * 3 + c] = static_cast<uint8_t>((((sum >> 8) + sum) >> 8) >> 7);
    }
}

Image decode_webp(std::span<const std::byte> bytes, const std::string& where, Alpha alpha) {
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  WebPBitstreamFeatures features{};
  if (WebPGetFeatures(data, bytes.size(), &features) != VP8_STATUS_OK) fail(ErrorCode::integrity, "{}: damaged WebP", where);
  Image out;
  prepare(out, static_cast<uint64_t>(features.width), static_cast<uint64_t>(features.height), where);
  if (alpha == Alpha::on_white && features.has_alpha) {
    std::vector<uint8_t> rgba(static_cast<size_t>(out.width * out.height * 4));
    if (!WebPDecodeRGBAInto(data, bytes.size(), rgba.data(), rgba.size(), static_cast<int>(out.width * 4))) fail(ErrorCode::integrity, "{}: damaged WebP", where);
    lay_on_white(rgba, &out);
    return out;
  }
  if (!WebPDecodeRGBInto(data, bytes.size(), out.rgb.data(), out.rgb.size(), static_cast<int>(out.width * 3))) fail(ErrorCode::integrity, "{}: damaged WebP", where);
  return out;
}

namespace {

enum class PictureFormat { jpeg, png, webp, other };

PictureFormat kind_of(std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.starts_with("\xff\xd8\xff")) return PictureFormat::jpeg;
  if (text.starts_with("\x89PNG\r\n\x1a\n")) return PictureFormat::png;
  if (text.size() > 12 && text.starts_with("RIFF") && text.substr(8, 4) == "WEBP") return PictureFormat::webp;
  return PictureFormat::other;
}

Image first_frame(std::span<const std::byte> bytes, const std::string& where) {
  Image first;
  decode_animation(bytes, where, [&](Frame&& frame) {
    first = std::move(frame.image);
    return false;
  });
  return first;
}

}  // namespace

bool is_still_picture(std::span<const std::byte> bytes) { return kind_of(bytes) != PictureFormat::other; }

Image decode_image(std::span<const std::byte> bytes, const std::string& where, Alpha alpha) {
  switch (kind_of(bytes)) {
    case PictureFormat::jpeg: return decode_jpeg(bytes, where);
    case PictureFormat::png: return decode_png(bytes, where, alpha);
    case PictureFormat::webp: return is_animated_webp(bytes) ? first_frame(bytes, where) : decode_webp(bytes, where, alpha);
    case PictureFormat::other: break;
  }
  if (has_media_program() && !bytes.empty()) try {
      return program_picture(bytes, where);
    } catch (const Error& e) {
      fail(e.code(), "{}; not a picture that is known", e.what());
    }
  fail(ErrorCode::failure, "{}: not a picture that is known, expected JPEG, PNG or WebP{}", where, media_program_hint());
}

Image read_image(const std::filesystem::path& path, Alpha alpha) {
  if (!std::filesystem::exists(path)) fail(ErrorCode::not_found, "{}: no such file", path.string());
  const auto file = MappedFile::open(path);
  return decode_image(file->bytes(), path.string(), alpha);
}

void write_image(const std::filesystem::path& path, const Image& image) {
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (ending != ".png" && ending != ".jpg" && ending != ".jpeg") fail(ErrorCode::usage, "{}: cannot write such a picture, expected a name with .png, .jpg or .jpeg", path.string());
  const auto bytes = ending == ".png" ? encode_png(image.width, image.height, 3, image.rgb.data()) : encode_jpeg(image);
  AtomicFile file(path);
  file.write(bytes.data(), bytes.size());
  file.commit();
}

}  // namespace mynah::media
