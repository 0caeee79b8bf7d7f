// Losses that a network's own forward pass computes, as part of an update.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "nn/model.h"
#include "train/objective.h"

namespace mynah::train {

// Named inputs whose "loss" is a mean over `targets` labels.
struct ForwardBatch : MicroBatch {
  nn::NamedTensors inputs;
};

// [rows, longest] i64 of rows of unequal length, padded at the end.
Tensor padded(const std::vector<std::vector<int32_t>>& rows, int32_t padding);
// 1 where padded() has tokens.
Tensor padding_mask(const std::vector<std::vector<int32_t>>& rows);

// The batch's share of an update's mean over targets.
Tensor forward_loss(const nn::Model& network, const ForwardBatch& batch, const Share& share);

}  // namespace mynah::train
