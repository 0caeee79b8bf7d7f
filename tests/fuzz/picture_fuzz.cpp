// Decodes the bytes as a picture and as an animation, where they begin as one that is read here.
#include <cstdlib>

#include "fuzz/fuzz_bytes.h"
#include "media/animation.h"
#include "media/image.h"
#include "mynah/error.h"

using namespace mynah;
using namespace mynah::media;

namespace {

void check(const Image& image) {
  if (image.width < 1 || image.height < 1 || image.rgb.size() != static_cast<size_t>(image.width * image.height * 3)) std::abort();
}

template <class Read>
void attempt(const Read& read) {
  try {
    read();
  } catch (const Error& e) {
    if (e.code() == ErrorCode::internal) std::abort();
  }
}

}  // namespace

int picture_fuzz(const uint8_t* data, size_t size) {
  const FuzzBytes bytes(data, size);
  if (!is_still_picture(bytes.span())) return 0;
  attempt([&] { check(decode_image(bytes.span(), "fuzz", Alpha::on_white)); });
  if (!is_animated_webp(bytes.span())) return 0;
  int left = 16;
  attempt([&] {
    decode_animation(bytes.span(), "fuzz", [&](Frame&& frame) {
      check(frame.image);
      return --left > 0;
    });
  });
  return 0;
}
