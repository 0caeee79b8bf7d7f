// The losses that YOLO detectors are trained with, and which of their many predictions is held responsible for which object.
// Places are rows of grids (yolo_layers.h); objects are those of nn::read_objects, boxes relative to the network's input.
#pragma once
#include <vector>

#include "base/json.h"
#include "models/yolo_layers.h"
#include "nn/detection_loss.h"

namespace mynah {

struct YoloInput {
  std::vector<GridPlace> places;       // N
  double width, height;                // of the input, pixels
  std::vector<nn::Objects> objects;    // of each image
};

// v8's: task-aligned assignment (arXiv:2108.07755): an object takes the places inside it whose class score^0.5 times overlap^6 is
// among the 10 largest; binary cross-entropy of the classes with the normalised alignment, 1 - complete IoU (arXiv:1911.08287) and
// the distribution loss of the sides (arXiv:2006.04388), weighted with it. sides [B,N,4,K] logits of distances 0..K-1 in strides,
// left, top, right, bottom; classes [B,N,L] logits. Config: class_loss_coefficient (0.5), box_loss_coefficient (7.5),
// dfl_loss_coefficient (1.5).
Tensor yolo_aligned_loss(const Json& config, const YoloInput& input, const Tensor& sides, const Tensor& classes);

// YOLOX's (arXiv:2107.08430): SimOTA lets each object take as many places as its ten best overlaps sum to, by the least cost of
// class, overlap and distance from the centre. boxes [B,N,4] centre and size in pixels; objects [B,N,1] and classes [B,N,L] logits.
// Config: box_loss_coefficient (5).
Tensor yolox_loss(const Json& config, const YoloInput& input, const Tensor& boxes, const Tensor& objects, const Tensor& classes);

}  // namespace mynah
