// How an op puts itself on the tape. The tape knows no op by name: it holds functions from an output's gradient to the
// gradients of the inputs.
#pragma once
#include <functional>
#include <initializer_list>
#include <vector>

#include "mynah/autograd.h"

namespace mynah {

using Grads = std::vector<Tensor>;  // one per recorded input; undefined where an input needs none

// True if gradient tracking is on and any input is tracked: only then does an op save what its backward pass needs.
inline bool tracked(std::initializer_list<const Tensor*> inputs) {
  if (!grad_enabled()) return false;
  for (const Tensor* t : inputs)
    if (t->requires_grad()) return true;
  return false;
}

// Attaches a tape node to y, unless no input is tracked. Returns y.
Tensor record(Tensor y, std::vector<Tensor> inputs, std::function<Grads(const Tensor& gradient)> backward);

}  // namespace mynah
