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

// The same for a view y of x. `view` takes the same view of any tensor of x's shape.
Tensor record_view(Tensor y, const Tensor& x, std::function<Grads(const Tensor& gradient)> backward, std::function<Tensor(const Tensor&)> view);

// The place where the gradient of a leaf is summed, seen as `t` sees the leaf: t's shape, perhaps strided.
struct GradientSum {
  Tensor value;  // undefined: t is neither a leaf nor a view of one
  bool empty;    // it must be written, all of it; else it must be added to
};
// For ops that can add to a parameter's gradient in place. Such an op returns no gradient for t.
GradientSum gradient_sum(const Tensor& t);

}  // namespace mynah
