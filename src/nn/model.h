// What every model offers: the reference implementation's forward pass over named tensors. Encoders, decoders and
// encoder-decoders implement it from a family's layers (encoder_model.h, causal_lm.h, seq2seq_lm.h).
#pragma once
#include <map>
#include <string>

#include "mynah/tensor.h"
#include "nn/head_kind.h"

namespace mynah::nn {

// Tensors by the reference implementation's argument and output names.
using NamedTensors = std::map<std::string, Tensor>;

struct ForwardOptions {
  bool hidden_states = false;  // adds hidden_states.N; N = 0 is the embedding output
  bool only_loss = false;      // outputs beside the loss may be left out, and what only they need
};

class CausalLM;
class Seq2SeqLM;

class Model {
 public:
  virtual ~Model() = default;
  // Throws failure naming an input that is missing, unknown or misshapen.
  virtual NamedTensors forward(const NamedTensors& inputs, const ForwardOptions& options) const = 0;
  virtual HeadKind kind() const = 0;
  // What the narrowest matrix is kept in (WeightList::narrowest): attention follows it. Set once, when the weights are loaded.
  void follow(DType matrices);
  DType attention_type() const { return attention_type_; }  // f32 or bf16: AttentionConfig::precision
  DType cache_type() const { return cache_type_; }          // f32, f16 or bf16: of keys and values that generation keeps

  // Not null if the model generates text from left to right, encoder-decoders included.
  virtual const CausalLM* causal_lm() const { return nullptr; }
  // Not null if what it generates answers an encoded text.
  virtual const Seq2SeqLM* seq2seq_lm() const { return nullptr; }

 private:
  DType attention_type_ = DType::f32, cache_type_ = DType::f32;
};

}  // namespace mynah::nn
