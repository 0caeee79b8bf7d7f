// The loss of detectors that predict a set: predictions are matched to objects one to one, then judged (DETR, arXiv:2005.12872).
#pragma once
#include <cstdint>
#include <vector>

#include "base/json.h"
#include "mynah/tensor.h"
#include "nn/inputs.h"

namespace mynah::nn {

// The objects of one image: classes [n], boxes [n][4] as centre x, centre y, width, height in 0..1.
struct Objects {
  std::vector<int32_t> classes;
  std::vector<float> boxes;
  Tensor masks;  // f32 [n,H,W], if masks are asked for
};
// inputs labels.I.class_labels and labels.I.boxes (and labels.I.masks) for I = 0 .. images - 1; throws failure if one is missing or
// misshapen.
std::vector<Objects> read_objects(const Inputs& inputs, int64_t images, int64_t classes, bool masks = false);

// Which query of all images (image * Q + query) is matched with which object of its image.
struct Matches {
  std::vector<int64_t> rows, objects;
};

// The assignment of columns to rows with the least total cost: out[row] = column, or -1 where there are more rows than columns.
std::vector<int64_t> assign(const std::vector<double>& cost, int64_t rows, int64_t columns);

// logits [B,Q,L+1] (the last class: no object), boxes [B,Q,4] -> []. Weights and costs by the config's class_cost, bbox_cost,
// giou_cost, bbox_loss_coefficient, giou_loss_coefficient and eos_coefficient. `matches`: where the pairs go that are found.
Tensor detection_loss(const Json& config, const Tensor& logits, const Tensor& boxes, const std::vector<Objects>& objects, Matches* matches = nullptr);

// Focal (arXiv:1708.02002) and dice loss of matched masks [B,Q,h,w], brought to the size of the objects' masks, by mask_loss_coefficient
// and dice_loss_coefficient.
Tensor mask_loss(const Json& config, const Tensor& masks, const std::vector<Objects>& objects, const Matches& matches);

}  // namespace mynah::nn
