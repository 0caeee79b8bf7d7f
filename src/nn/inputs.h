// The reference implementation's named input tensors, read with their checks.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "mynah/tensor.h"
#include "nn/model.h"

namespace mynah::nn {

class Inputs {
 public:
  // Throws failure for a tensor whose name is not among `known` ("labels.*": what begins so), naming them.
  Inputs(const NamedTensors& tensors, std::initializer_list<std::string_view> known) : Inputs(tensors, std::vector<std::string_view>(known)) {}
  Inputs(const NamedTensors& tensors, const std::vector<std::string_view>& known);

  bool has(const std::string& name) const { return tensors_.count(name) != 0; }
  // Throws failure if it is missing.
  const Tensor& tensor(const std::string& name) const;
  // Values of an integer tensor of this shape; empty if it is not there. Masks may be given as f32.
  std::vector<int32_t> integers(const std::string& name, const Shape& shape) const;
  // The same for token ids, which must lie in 0..vocabulary-1.
  std::vector<int32_t> ids(const std::string& name, const Shape& shape, int64_t vocabulary) const;
  // An attention mask: 1 for what is seen. Empty if it is not there.
  std::vector<uint8_t> mask(const std::string& name, const Shape& shape) const;
  // Whether a one-element tensor is there and not 0.
  bool flag(const std::string& name) const;
  // Positions [rows, length]: given ones (also as [1, length]), else 0, 1, 2 ... in every row.
  std::vector<int32_t> positions(const std::string& name, int64_t rows, int64_t length) const;
  // Float tensor of this shape (-1: any size), as f32. Throws failure if it is missing or misshapen.
  Tensor floats(const std::string& name, const Shape& shape) const;
  // The shape of a tensor that must be there with `rank` dimensions, none of them empty; `what` names them ("[batch, tokens]").
  Shape shape_of(const std::string& name, int rank, std::string_view what) const;

 private:
  const NamedTensors& tensors_;
};

}  // namespace mynah::nn
