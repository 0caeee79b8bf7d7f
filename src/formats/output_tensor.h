// A tensor to be written: its name, shape and dtype now, its data when the writer gets to it, so that a model larger
// than memory can be written one tensor at a time.
#pragma once
#include <functional>
#include <string>

#include "mynah/tensor.h"

namespace mynah::formats {

struct OutputTensor {
  OutputTensor(std::string tensor_name, const Tensor& tensor);
  OutputTensor(std::string tensor_name, const Shape& tensor_shape, DType tensor_dtype,
               std::function<Tensor()> make_tensor)
      : name(std::move(tensor_name)), shape(tensor_shape), dtype(tensor_dtype), make(std::move(make_tensor)) {}

  // The data, contiguous; throws internal when `make` gives another shape or dtype than declared.
  Tensor data() const;
  size_t nbytes() const;

  std::string name;
  Shape shape;
  DType dtype;
  std::function<Tensor()> make;
};

}  // namespace mynah::formats
