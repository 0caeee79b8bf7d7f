// What every model offers: the reference implementation's forward pass over named tensors. Decoders add the interface that
// generation drives (causal_lm.h).
#pragma once
#include <map>
#include <string>

#include "mynah/tensor.h"

namespace mynah::nn {

// Tensors by the reference implementation's argument and output names.
using NamedTensors = std::map<std::string, Tensor>;

struct ForwardOptions {
  bool hidden_states = false;  // adds hidden_states.N; N = 0 is the embedding output
};

class CausalLM;

class Model {
 public:
  virtual ~Model() = default;
  // Throws failure naming an input that is missing, unknown or misshapen.
  virtual NamedTensors forward(const NamedTensors& inputs, const ForwardOptions& options) const = 0;
  // Not null if the model generates text from left to right.
  virtual const CausalLM* causal_lm() const { return nullptr; }
};

}  // namespace mynah::nn
