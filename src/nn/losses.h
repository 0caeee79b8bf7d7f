// The losses of the reference implementation's heads, from logits and its label tensors.
#pragma once
#include <cstdint>
#include <vector>

#include "base/json.h"
#include "mynah/tensor.h"
#include "nn/inputs.h"

namespace mynah::nn {

// Mean cross-entropy of logits [N,V] with one label per row; -100 counts nowhere.
Tensor token_loss(const Tensor& logits, const std::vector<int32_t>& labels);
// Mean loss of predicting token t + 1 at t: logits [rows * length, V], labels [rows * length]; the last position predicts nothing.
Tensor next_token_loss(const Tensor& logits, const std::vector<int32_t>& labels, int64_t rows, int64_t length);
// Loss of a sequence classifier's logits [B,L] with inputs["labels"], by config's problem_type or, without one, as the reference
// infers it: one label: regression (mean squared error); integer labels: cross-entropy; float labels [B,L]: binary cross-entropy.
Tensor classification_loss(const Json& config, const Tensor& logits, const Inputs& inputs);
// start_logits and end_logits [B,T] of a question answerer's logits [B,T,2], and loss, the mean of their cross-entropies with
// start_positions and end_positions if given: positions below 0 count as 0, those at T and above nowhere, as in the reference.
NamedTensors span_outputs(const Tensor& logits, const Inputs& inputs);
// Loss of the classes of pixels: logits [B,L,h,w] brought to the size of inputs["labels"] [B,H,W] (bilinear), then mean cross-entropy
// over pixels whose label is not config's semantic_loss_ignore_index (255); with one class binary cross-entropy, as the reference.
Tensor segmentation_loss(const Json& config, const Tensor& logits, const Inputs& inputs);
// The binary cross-entropy of each element of sigmoid(logits) with targets of the same shape.
Tensor binary_cross_entropies(const Tensor& logits, const Tensor& targets);
// Mean over all elements of the binary cross-entropy of sigmoid(logits) with targets of the same shape.
Tensor binary_cross_entropy(const Tensor& logits, const Tensor& targets);

}  // namespace mynah::nn
