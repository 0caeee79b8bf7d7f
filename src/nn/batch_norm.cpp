#include "nn/batch_norm.h"

#include "mynah/ops.h"
#include "nn/dropout.h"

namespace mynah::nn {
namespace {

void move(const Tensor& stored, const Tensor& batch, float factor, float momentum) {
  Tensor target = stored;  // the handle of a buffer that other handles share
  for (int64_t c = 0; c < stored.numel(); ++c) {
    float& value = target.data<float>()[c];
    value = (1 - momentum) * value + momentum * factor * batch.data<float>()[c];
  }
}

}  // namespace

Tensor batch_norm(const Tensor& x, const Tensor& mean, const Tensor& variance, const Tensor& weight, const Tensor& bias, float eps, float momentum) {
  const bool trained = training() && weight.requires_grad();
  if (!trained) return mynah::batch_norm(x, mean, variance, weight, bias, eps);
  Tensor batch_mean, batch_variance;
  const Tensor y = batch_norm_training(x, weight, bias, eps, &batch_mean, &batch_variance);
  const auto n = static_cast<float>(x.numel() / x.size(1));
  move(mean, batch_mean, 1, momentum);
  move(variance, batch_variance, n / (n - 1), momentum);  // the stored one is unbiased
  return y;
}

}  // namespace mynah::nn
