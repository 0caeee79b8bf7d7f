// Reads the bytes as what mynah-media writes, whole and in small portions, as sound and as frames.
#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "fuzz/fuzz_bytes.h"
#include "media/media_pieces.h"
#include "mynah/error.h"

using namespace mynah;
using namespace mynah::media;

namespace {

void read(std::string_view all, size_t portion) {
  SoundPieces sound("fuzz", Mix::power);
  try {
    MediaPieces pieces("fuzz", [&](media_pipe::Kind kind, std::string_view bytes) {
      double seconds = 0;
      if (kind == media_pipe::frame) {
        const Image image = frame_of(bytes, "fuzz", &seconds);
        if (image.rgb.size() != static_cast<size_t>(image.width * image.height * 3)) std::abort();
      }
      return sound.take(kind, bytes);
    });
    for (size_t at = 0; at < all.size() && pieces.push(all.substr(at, portion)); at += portion) {}
    pieces.finish();
    sound.result();
  } catch (const Error& e) {
    if (e.code() == ErrorCode::internal) std::abort();
  }
}

}  // namespace

int media_pipe_fuzz(const uint8_t* data, size_t size) {
  const FuzzBytes bytes(data, size);
  const std::string_view all(reinterpret_cast<const char*>(bytes.span().data()), size);
  read(all, std::max<size_t>(size, 1));
  read(all, 7);
  return 0;
}
