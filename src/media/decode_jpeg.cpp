// JPEG by libjpeg-turbo: read with the orientation that EXIF asks for; written.
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <jpeglib.h>

#include "base/require.h"
#include "media/decoders.h"

namespace mynah::media {
namespace {

// libjpeg reports errors through a callback that may not return.
struct ErrorManager {
  jpeg_error_mgr base;
  jmp_buf jump;
  char message[JMSG_LENGTH_MAX];
};

[[noreturn]] void on_error(j_common_ptr info) {
  auto* manager = reinterpret_cast<ErrorManager*>(info->err);
  info->err->format_message(info, manager->message);
  longjmp(manager->jump, 1);
}
void on_warning(j_common_ptr, int) {}

uint32_t number(const uint8_t* p, int bytes, bool little) {
  uint32_t n = 0;
  for (int i = 0; i < bytes; ++i) n |= static_cast<uint32_t>(p[i]) << (8 * (little ? i : bytes - 1 - i));
  return n;
}

// The orientation tag of an EXIF block ("Exif\0\0", a TIFF header, a directory of 12-byte entries), 1 if there is none.
int orientation(const uint8_t* p, size_t size) {
  if (size < 14 || std::string_view(reinterpret_cast<const char*>(p), 6) != std::string_view("Exif\0\0", 6)) return 1;
  p += 6, size -= 6;
  const bool little = p[0] == 'I';
  const size_t directory = number(p + 4, 4, little);
  if (directory > size || size - directory < 2) return 1;
  const size_t entries = number(p + directory, 2, little);
  for (size_t i = 0; i < entries; ++i) {
    const size_t at = directory + 2 + 12 * i;
    if (at + 12 > size) return 1;
    if (number(p + at, 2, little) != 0x0112) continue;
    const int value = static_cast<int>(number(p + at + 8, 2, little));
    return value >= 1 && value <= 8 ? value : 1;
  }
  return 1;
}

// What C code with jumps may touch: nothing here has a destructor.
bool decode(jpeg_decompress_struct& info, ErrorManager& errors, std::span<const std::byte> bytes, Image& out, int& turned, const std::string& where) {
  if (setjmp(errors.jump)) return false;
  jpeg_create_decompress(&info);
  jpeg_save_markers(&info, JPEG_APP0 + 1, 0xffff);
  jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  jpeg_read_header(&info, TRUE);
  for (auto* m = info.marker_list; m; m = m->next)
    if (const int value = orientation(m->data, m->data_length); value != 1) turned = value;
  prepare(out, info.image_width, info.image_height, where);
  const bool cmyk = info.jpeg_color_space == JCS_CMYK || info.jpeg_color_space == JCS_YCCK;
  info.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
  jpeg_start_decompress(&info);
  JSAMPARRAY line = info.mem->alloc_sarray(reinterpret_cast<j_common_ptr>(&info), JPOOL_IMAGE, info.output_width * static_cast<JDIMENSION>(info.output_components), 1);
  while (info.output_scanline < info.output_height) {
    uint8_t* to = out.rgb.data() + static_cast<size_t>(info.output_scanline) * info.output_width * 3;
    jpeg_read_scanlines(&info, line, 1);
    for (JDIMENSION x = 0; x < info.output_width; ++x)
      for (int c = 0; c < 3; ++c)  // Adobe's CMYK is stored inverted
        to[3 * x + static_cast<JDIMENSION>(c)] = cmyk ? static_cast<uint8_t>(line[0][4 * x + static_cast<JDIMENSION>(c)] * line[0][4 * x + 3] / 255)
                                                      : line[0][3 * x + static_cast<JDIMENSION>(c)];
  }
  jpeg_finish_decompress(&info);
  return true;
}

}  // namespace

Image decode_jpeg(std::span<const std::byte> bytes, const std::string& where) {
  jpeg_decompress_struct info{};
  ErrorManager errors{};
  info.err = jpeg_std_error(&errors.base);
  errors.base.error_exit = on_error;
  errors.base.emit_message = on_warning;
  Image out;
  int turned = 1;
  bool ok = false;
  try {
    ok = decode(info, errors, bytes, out, turned, where);
  } catch (...) {
    jpeg_destroy_decompress(&info);
    throw;
  }
  jpeg_destroy_decompress(&info);
  if (!ok) fail(ErrorCode::integrity, "{}: damaged JPEG: {}", where, errors.message);
  return turn(std::move(out), turned);
}

namespace {

// Like decode: jumps leave it, so nothing here has a destructor.
bool encode(jpeg_compress_struct& info, ErrorManager& errors, const Image& image, int quality, unsigned char** out, unsigned long* size) {
  if (setjmp(errors.jump)) return false;
  jpeg_create_compress(&info);
  jpeg_mem_dest(&info, out, size);
  info.image_width = static_cast<JDIMENSION>(image.width);
  info.image_height = static_cast<JDIMENSION>(image.height);
  info.input_components = 3;
  info.in_color_space = JCS_RGB;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, quality, TRUE);
  info.comp_info[0].h_samp_factor = info.comp_info[0].v_samp_factor = 1;
  jpeg_start_compress(&info, TRUE);
  while (info.next_scanline < info.image_height) {
    JSAMPROW row = const_cast<JSAMPROW>(image.rgb.data() + static_cast<size_t>(info.next_scanline) * info.image_width * 3);
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  return true;
}

}  // namespace

std::vector<std::byte> encode_jpeg(const Image& image, int quality) {
  jpeg_compress_struct info{};
  ErrorManager errors{};
  info.err = jpeg_std_error(&errors.base);
  errors.base.error_exit = on_error;
  errors.base.emit_message = on_warning;
  unsigned char* data = nullptr;
  unsigned long size = 0;
  const bool ok = encode(info, errors, image, quality, &data, &size);
  jpeg_destroy_compress(&info);
  const auto* begin = reinterpret_cast<const std::byte*>(data);
  std::vector<std::byte> out(begin, ok ? begin + size : begin);
  std::free(data);
  require(ok, "image: cannot write {}x{} as JPEG: {}", image.width, image.height, errors.message);
  return out;
}

}  // namespace mynah::media
