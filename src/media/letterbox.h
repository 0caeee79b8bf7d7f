// Pictures fitted into a frame as YOLO detectors want them: the shape kept, the rest grey. Sampling as OpenCV's INTER_LINEAR.
#pragma once
#include "media/image.h"

namespace mynah::media {

struct Letterbox {
  double ratio = 1;                  // frame pixels for one pixel of the picture
  int64_t width = 0, height = 0;     // of the picture inside the frame
  int64_t left = 0, top = 0;         // where it begins
};

// Of a picture of this size in a frame. `centred`: in the middle, its size rounded; otherwise at the upper left, its size cut.
Letterbox fit(int64_t width, int64_t height, int64_t frame_width, int64_t frame_height, bool centred);

// Bilinear between the four nearest pixels, without antialiasing.
Image resize_sampled(const Image& image, int64_t width, int64_t height);

// The frame with the picture in it and 114 around.
Image letterboxed(const Image& image, const Letterbox& place, int64_t frame_width, int64_t frame_height);

}  // namespace mynah::media
