#include "formats/output_tensor.h"

#include "base/require.h"
#include "formats/element_type.h"
#include "formats/quote.h"

namespace mynah::formats {

OutputTensor::OutputTensor(std::string tensor_name, const Tensor& tensor)
    : name(std::move(tensor_name)), shape(tensor.shape()), dtype(tensor.dtype()), make([tensor] { return tensor; }) {}

Tensor OutputTensor::data() const {
  const Tensor tensor = make();
  if (!(tensor.shape() == shape) || tensor.dtype() != dtype)
    fail(ErrorCode::internal, "writing {}: got {} {}, declared {} {}", quote(name), mynah::name(tensor.dtype()),
         tensor.shape().str(), mynah::name(dtype), shape.str());
  if (is_quantized(dtype) || tensor.is_contiguous()) return tensor;
  Tensor copy = Tensor::empty(shape, dtype);
  gather(static_cast<const std::byte*>(tensor.raw()), block_bytes(dtype), shape, tensor.strides(),
         static_cast<std::byte*>(copy.raw()));
  return copy;
}

size_t OutputTensor::nbytes() const {
  return static_cast<size_t>(shape.numel()) / block_elements(dtype) * block_bytes(dtype);
}

}  // namespace mynah::formats
