// Batch norm of networks that may be trained.
#pragma once
#include "mynah/tensor.h"

namespace mynah::nn {

// x [N,C,...]. While a Training scope exists and the norm's weight is trained: by the statistics of the batch, which also move the
// stored ones: stored = (1 - momentum) stored + momentum batch, as torch.nn.BatchNorm2d keeps them. Otherwise by the stored ones.
Tensor batch_norm(const Tensor& x, const Tensor& mean, const Tensor& variance, const Tensor& weight, const Tensor& bias, float eps, float momentum = 0.1f);

}  // namespace mynah::nn
