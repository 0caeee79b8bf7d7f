// What mynah-media writes (media_pipe.h), taken apart. It is not trusted more than the file that it reads.
#pragma once
#include <functional>
#include <string>
#include <string_view>

#include "media/image.h"
#include "media/media_pipe.h"
#include "media/sound.h"

namespace mynah::media {

// Pieces of the stream as their bytes come, in portions of any size. `where` names the source in errors.
class MediaPieces {
 public:
  // False: no more are wanted.
  using Take = std::function<bool(media_pipe::Kind kind, std::string_view bytes)>;
  MediaPieces(std::string where, Take take) : where_(std::move(where)), take_(std::move(take)) {}

  // False when nobody wants more, or all has come. Throws failure with what the program says, and for pieces above 512 MB.
  bool push(std::string_view bytes);
  // Throws failure if the end did not come.
  void finish() const;

 private:
  std::string where_;
  Take take_;
  std::string held_;
  bool ended_ = false;
};

// One channel of the samples, as decode_sound() mixes them.
class SoundPieces {
 public:
  SoundPieces(std::string where, Mix mix) : where_(std::move(where)), mix_(mix) {}
  bool take(media_pipe::Kind kind, std::string_view bytes);
  // Throws failure if there was no sound.
  Sound result();

 private:
  std::string where_;
  Mix mix_;
  Sound sound_{0, {}};
  size_t channels_ = 0;
};

// The picture in a piece of kind `frame`, and when it appears.
Image frame_of(std::string_view bytes, const std::string& where, double* seconds);

}  // namespace mynah::media
