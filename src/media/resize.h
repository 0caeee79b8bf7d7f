// Resizing as PIL's Image.resize does it, to the bit: separable filters with antialiasing, 8-bit pixels between the passes.
#pragma once
#include "media/image.h"

namespace mynah::media {

// Numbered as PIL's (and preprocessor_config.json's) `resample`.
enum class Filter { nearest = 0, lanczos = 1, bilinear = 2, bicubic = 3, box = 4, hamming = 5 };

Image resize(const Image& image, int64_t width, int64_t height, Filter filter);

// The rectangle [left, left + width) x [top, top + height); black where it lies outside.
Image crop(const Image& image, int64_t left, int64_t top, int64_t width, int64_t height);

}  // namespace mynah::media
