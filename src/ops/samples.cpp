#include <string>

#include "base/random.h"
#include "ops/op_entry.h"

namespace mynah {

Tensor sample_tensor(const Shape& shape, int stream, float mean, float std) {
  Tensor t = Tensor::empty(shape);
  fill_normal(t.data<float>(), t.numel(), mean, std, 20260101, "sample " + std::to_string(stream));
  return t;
}

}  // namespace mynah
