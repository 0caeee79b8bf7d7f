// Moving pictures: animated WebP files read and written, and the frames of whatever can be watched.
#pragma once
#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "media/image.h"

namespace mynah::media {

struct Frame {
  double seconds = 0;
  Image image;
  std::string name;  // of the file, where each frame is one; else empty
};
using TakeFrame = std::function<bool(Frame&&)>;  // false: no more are wanted

bool is_animated_webp(std::span<const std::byte> bytes);
// Its frames with the times at which they appear. Throws integrity for damaged files, failure for too many pixels.
void decode_animation(std::span<const std::byte> bytes, const std::string& where, const TakeFrame& take);

// An animated WebP, frame by frame.
class AnimationWriter {
 public:
  AnimationWriter(int64_t width, int64_t height);
  ~AnimationWriter();
  AnimationWriter(AnimationWriter&&) noexcept;
  // Pictures of the writer's size, at times that rise.
  void add(const Image& image, double seconds);
  // The file; the last frame stays as long as the others do on average.
  std::vector<std::byte> finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The frames of a folder of pictures in the order of their names (numbers by their value; `rate` of them make a second), of an
// animation, a video (through mynah-media), or a single picture. `rate`: frames a second that are wanted; 0: all, of a folder one a
// second. Throws not_found, and what decoding throws; a folder without pictures is a failure. `skipped`: is told why a picture of a folder
// cannot be read, and the others go on, unless none can.
void for_each_frame(const std::filesystem::path& path, double rate, const TakeFrame& take, const std::function<void(const std::string& why)>& skipped = {});

// The names of the pictures in a folder, in that order.
std::vector<std::filesystem::path> pictures_in(const std::filesystem::path& folder);
// Whether a name ends as those of pictures do that are read here.
bool is_picture_name(const std::filesystem::path& path);

}  // namespace mynah::media
