// PNG by libpng: read with its full interface, because 16 bits must be cut as PIL cuts them; written with the simple one.
#include <csetjmp>
#include <cstring>
#include <png.h>

#include "base/require.h"
#include "media/decoders.h"

namespace mynah::media {
namespace {

struct Reader {
  std::span<const std::byte> bytes;
  char message[256] = {};
};

void read_bytes(png_structp png, png_bytep to, size_t n) {
  auto* reader = static_cast<Reader*>(png_get_io_ptr(png));
  if (reader->bytes.size() < n) png_error(png, "the data ends too early");
  std::memcpy(to, reader->bytes.data(), n);
  reader->bytes = reader->bytes.subspan(n);
}
void on_error(png_structp png, png_const_charp text) {
  auto* reader = static_cast<Reader*>(png_get_error_ptr(png));
  std::strncpy(reader->message, text, sizeof(reader->message) - 1);
  png_longjmp(png, 1);
}
void on_warning(png_structp, png_const_charp) {}

// Into `rgba` as well, if it is asked for.
bool decode(png_structp png, png_infop info, Image& out, std::vector<png_bytep>& rows, std::vector<uint8_t>* rgba, const std::string& where) {
  if (setjmp(png_jmpbuf(png))) return false;
  png_set_user_limits(png, 1 << 20, 1 << 20);
  png_set_chunk_malloc_max(png, 64 << 20);
  png_read_info(png, info);
  prepare(out, png_get_image_width(png, info), png_get_image_height(png, info), where);
  png_set_strip_16(png);  // the high byte
  png_set_expand(png);    // palettes, less than 8 bits, transparency as alpha
  png_set_gray_to_rgb(png);
  if (rgba) png_set_add_alpha(png, 0xff, PNG_FILLER_AFTER);
  else png_set_strip_alpha(png);
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  const int64_t row_bytes = out.width * (rgba ? 4 : 3);
  if (png_get_rowbytes(png, info) != static_cast<size_t>(row_bytes)) png_error(png, "the rows have an unexpected size");
  if (rgba) rgba->resize(static_cast<size_t>(row_bytes * out.height));
  for (int64_t y = 0; y < out.height; ++y) rows[static_cast<size_t>(y)] = (rgba ? rgba->data() : out.rgb.data()) + y * row_bytes;
  png_read_image(png, rows.data());
  return true;
}

}  // namespace

Image decode_png(std::span<const std::byte> bytes, const std::string& where, Alpha alpha) {
  Reader reader{bytes};
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader, on_error, on_warning);
  png_infop info = png_create_info_struct(png);
  png_set_read_fn(png, &reader, read_bytes);
  Image out;
  // Rows are known only inside; the header's height bounds them and stands at a fixed place.
  uint32_t height = 0;
  if (bytes.size() >= 24)
    for (size_t i = 20; i < 24; ++i) height = height << 8 | static_cast<uint32_t>(bytes[i]);
  std::vector<png_bytep> rows(height <= 1 << 20 ? height : 0);
  std::vector<uint8_t> rgba;
  bool ok = false;
  try {
    ok = !rows.empty() && decode(png, info, out, rows, alpha == Alpha::on_white ? &rgba : nullptr, where);
  } catch (...) {
    png_destroy_read_struct(&png, &info, nullptr);
    throw;
  }
  png_destroy_read_struct(&png, &info, nullptr);
  if (!ok) fail(ErrorCode::integrity, "{}: damaged PNG: {}", where, *reader.message ? reader.message : "no size");
  if (alpha == Alpha::on_white) lay_on_white(rgba, &out);
  return out;
}

std::vector<std::byte> encode_png(int64_t width, int64_t height, int channels, const uint8_t* pixels) {
  MYNAH_CHECK(channels == 1 || channels == 3);
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<uint32_t>(width);
  image.height = static_cast<uint32_t>(height);
  image.format = channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  png_alloc_size_t size = 0;
  require(png_image_write_to_memory(&image, nullptr, &size, 0, pixels, 0, nullptr) != 0, "image: cannot write {}x{} as PNG: {}", width, height, image.message);
  std::vector<std::byte> out(size);
  require(png_image_write_to_memory(&image, out.data(), &size, 0, pixels, 0, nullptr) != 0, "image: cannot write {}x{} as PNG: {}", width, height, image.message);
  out.resize(size);
  return out;
}

}  // namespace mynah::media
