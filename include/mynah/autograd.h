// Automatic differentiation: which tensors are tracked, and the backward pass.
#pragma once
#include <functional>
#include <vector>

#include "mynah/tensor.h"

namespace mynah {

// Makes `x` a leaf whose gradient is accumulated. Returns the tracked handle; handles copied from it share the gradient.
Tensor requires_grad(const Tensor& x);

// The accumulated gradient of a leaf, undefined before the first backward pass.
Tensor grad(const Tensor& leaf);
// Forgets a leaf's gradient.
void zero_grad(const Tensor& leaf);
// Replaces a leaf's gradient (clipping).
void set_grad(const Tensor& leaf, const Tensor& gradient);

// Runs the backward pass from `y`; gradients of leaves are added to what they hold. `seed` has y's shape; without it y must be
// a scalar and the seed is 1. The order of operations is fixed, so gradients are the same every time.
void backward(const Tensor& y, const Tensor& seed = {});

// While one exists on this thread, nothing is recorded.
class NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool before_;
};
bool grad_enabled();

// Activation checkpointing: computes f(inputs) without keeping intermediate results and computes it again in the backward
// pass. `f` must be a pure function of `inputs` and of leaves (parameters), whose gradients are accumulated as usual.
Tensor checkpoint(const std::function<Tensor(const std::vector<Tensor>&)>& f, const std::vector<Tensor>& inputs);

}  // namespace mynah
