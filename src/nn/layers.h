// The small modules that most families share. Each names its weights where it is made, as the checkpoint does.
#pragma once
#include <string_view>
#include <vector>

#include "nn/matrix.h"
#include "nn/weights.h"

namespace mynah::nn {

// y = x W^T + b; "<name>.weight" [out, in], "<name>.bias" [out].
struct Linear {
  Linear() = default;
  Linear(const Weights& w, std::string_view name, int64_t in, int64_t out, Init init = {}, bool with_bias = true)
      : weight(w.matrix(name, out, in, init)) {
    if (with_bias) bias = {(w / name).tensor("bias", {out}, Init::zeros())};
  }
  Tensor operator()(const Tensor& x) const { return weight(x, bias); }
  bool defined() const { return weight.defined(); }

  Matrix weight;
  std::vector<Tensor> bias;  // one, or none
};

// Linear maps of the same input side by side, such as q, k and v: [.., in] -> [.., out_1 + out_2 + ...].
struct JoinedLinear {
  JoinedLinear() = default;
  JoinedLinear(const Weights& w, const std::vector<std::string>& names, int64_t in, const std::vector<int64_t>& outs, Init init = {}, bool with_bias = true)
      : weight(w.join(names, outs, in, init)) {
    for (size_t i = 0; with_bias && i < names.size(); ++i) bias.push_back((w / names[i]).tensor("bias", {outs[i]}, Init::zeros()));
  }
  Tensor operator()(const Tensor& x) const { return weight(x, bias); }
  // glu of it: the first half gates the second.
  Tensor gated(const Tensor& x, Activation act) const { return weight.gated(x, act, bias); }

  Matrix weight;
  std::vector<Tensor> bias;  // one per part, or none
};

// "<name>.weight" and "<name>.bias" [C]
struct LayerNorm {
  LayerNorm() = default;
  LayerNorm(const Weights& w, std::string_view name, int64_t size, float epsilon, bool with_bias = true)
      : weight((w / name).tensor("weight", {size}, Init::ones())), eps(epsilon) {
    if (with_bias) bias = (w / name).tensor("bias", {size}, Init::zeros());
  }
  Tensor operator()(const Tensor& x) const { return layer_norm(x, weight, bias, eps); }

  Tensor weight, bias;
  float eps = 0;
};

// "<name>.weight" [C]
struct RmsNorm {
  RmsNorm() = default;
  RmsNorm(const Weights& w, std::string_view name, int64_t size, float epsilon) : weight((w / name).tensor("weight", {size}, Init::ones())), eps(epsilon) {}
  Tensor operator()(const Tensor& x) const { return rms_norm(x, weight, eps); }

  Tensor weight;
  float eps = 0;
};

// The norm that a family has, where families that share their layers differ in it.
// rms_plus_one: the factor is 1 + weight, as Gemma stores it; plain: a layer norm without parameters.
enum class NormKind { rms, rms_plus_one, layer, layer_without_bias, plain };

struct Norm {
  Norm() = default;
  Norm(const Weights& w, std::string_view name, int64_t size, float epsilon, NormKind which) : kind(which), eps(epsilon) {
    if (kind != NormKind::plain) weight = (w / name).tensor("weight", {size}, kind == NormKind::rms_plus_one ? Init::zeros() : Init::ones());
    if (kind == NormKind::layer) bias = (w / name).tensor("bias", {size}, Init::zeros());
  }
  Tensor operator()(const Tensor& x) const {
    if (kind == NormKind::rms) return rms_norm(x, weight, eps);
    return kind == NormKind::rms_plus_one ? rms_norm(x, add(weight, 1.0f), eps) : layer_norm(x, weight, bias, eps);
  }

  NormKind kind = NormKind::rms;
  Tensor weight, bias;
  float eps = 0;
};

}  // namespace mynah::nn
