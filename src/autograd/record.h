// How an op puts itself on the tape. The tape knows no op by name: it holds functions from an output's gradient to the
// gradients of the inputs.
#pragma once
#include <functional>
#include <initializer_list>
#include <span>
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

// The same for a view y of some elements of x: those from `offset` on, y's strides apart in row-major x, none twice. Where its gradient
// belongs the tape knows by that.
Tensor record_part(Tensor y, const Tensor& x, int64_t offset, const Shape& strides);

// Of views that together have each column of one matrix [N, C] once, all rows of it: the matrix, and where each of them begins.
// For ops that write the gradients of such views as one.
struct Whole {
  Tensor matrix;  // undefined: the views are not of that kind
  std::vector<int64_t> columns;
};
Whole whole_of(std::span<const Tensor> parts);

// The place where the gradient of a leaf is summed, seen as `t` sees the leaf: t's shape, perhaps strided.
struct GradientSum {
  Tensor value;  // undefined: t is neither a leaf nor a view of one
  bool empty;    // it must be written, all of it; else it must be added to
};
// For ops that can add to a parameter's gradient in place. Such an op returns no gradient for t.
GradientSum gradient_sum(const Tensor& t);

}  // namespace mynah
