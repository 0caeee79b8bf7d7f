// The neck of DPT and Depth Anything: tokens of several layers as maps of several sizes, then from the coarsest to the finest one
// map after another. Paper: arXiv:2103.13413.
#pragma once
#include <optional>
#include <utility>
#include <vector>

#include "base/json.h"
#include "models/maps.h"
#include "nn/layers.h"

namespace mynah {

struct DptConfig {
  // `hidden`: size of the tokens.
  DptConfig(const Json& c, int64_t hidden, std::string readout_type);
  int64_t hidden, fusion;
  std::vector<int64_t> sizes;          // neck_hidden_sizes
  std::vector<double> factors;         // reassemble_factors
  std::string readout;                 // what becomes of the class token: ignore, add or project
  Activation act;
  int64_t head_in_index;
  bool norms, biases;                  // of the residual layers
  float initializer_range;
  nn::Init init() const { return nn::Init::with_std(initializer_range); }
};

class DptNeck {
 public:
  // `doubles`: every fused map has twice the size, whatever the next one has.
  DptNeck(const DptConfig& c, const nn::Weights& w, bool doubles);
  // Tokens [B,T,C] of as many layers as there are sizes, the class token first -> fused maps, coarsest first.
  std::vector<Tensor> forward(const std::vector<Tensor>& tokens, int64_t height, int64_t width) const;

 private:
  struct Residual {
    Residual(const DptConfig& c, const nn::Weights& w);
    Tensor operator()(const Tensor& x) const;
    MapConvolution first, second;
    std::optional<MapNorm> first_norm, second_norm;
  };
  struct Reassembly {
    std::optional<nn::Linear> readout;
    MapConvolution projection, smaller;
    Tensor larger, larger_bias;
    int64_t step = 1;
  };
  struct Fusion {
    Fusion(const DptConfig& c, const nn::Weights& w);
    MapConvolution projection;
    Residual outer, inner;
  };
  Tensor reassembled(const Reassembly& r, const Tensor& tokens, int64_t height, int64_t width) const;

  DptConfig c_;
  bool doubles_;
  std::vector<Reassembly> reassemblies_;
  std::vector<MapConvolution> convolutions_;
  std::vector<Fusion> fusions_;
};

}  // namespace mynah
