// Pictures changed at random while they are trained on: mirrored, cut, recoloured, put together. What happens is a function of the
// seed, the pass over the data and the row, so that a resumed run does the same.
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "train/draws.h"
#include "base/random.h"
#include "media/image.h"

namespace mynah::train {

// Which changes are made.
struct Augmentation {
  bool flip = false;    // mirrored left to right, every other time
  bool crop = false;    // a part of 60 to 100 % of the area, its sides in 3:4 to 4:3
  bool color = false;   // brightness, contrast and saturation by up to 40 %
  bool mosaic = false;  // detection: four pictures in one, every other time (arXiv:2004.10934)
  bool any() const { return flip || crop || color || mosaic; }
};
// From a comma list: "flip,crop,color,mosaic". Throws usage for others.
Augmentation augmentation(const std::string& names);

struct ObjectBox {
  int32_t label;
  std::array<double, 4> box;  // left, top, right, bottom in pixels
};

struct Labelled {
  media::Image picture;
  std::vector<ObjectBox> objects;
};

// The row with its changes. `other`: any row of the data by its number below `rows`, for mosaics; boxes follow their pictures, and
// those of which less than a quarter is left are dropped.
Labelled augmented(Labelled row, const Augmentation& how, Draws draws, int64_t rows, const std::function<Labelled(int64_t)>& other);

}  // namespace mynah::train
