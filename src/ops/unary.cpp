// Elementwise functions of one tensor, activations by name, and gated linear units.
#include <string>

#include "kernels/rows.h"
#include "ops/internal.h"
#include "ops/op_entry.h"

namespace mynah {
namespace {

using kernels::Unary;

Tensor unary(Unary op, const Tensor& in) {
  const Tensor x = ops::input(in);
  Tensor y = Tensor::empty(x.shape());
  parallel_for(x.numel(), 1 << 13, [&](int64_t i, int64_t end) { kernels::rows().unary(op, x.data<float>() + i, y.data<float>() + i, end - i); });
  if (!tracked({&x})) return y;
  return record(y, {x}, [op, x = x.detach(), y](const Tensor& g) {
    Tensor dx = Tensor::empty(g.shape());
    parallel_for(g.numel(), 1 << 13, [&](int64_t i, int64_t end) {
      kernels::rows().unary_backward(op, x.data<float>() + i, y.data<float>() + i, g.data<float>() + i, dx.data<float>() + i, end - i);
    });
    return Grads{dx};
  });
}

Unary kernel(Activation a) {
  switch (a) {
    case Activation::gelu: return Unary::gelu;
    case Activation::gelu_tanh: return Unary::gelu_tanh;
    case Activation::quick_gelu: return Unary::quick_gelu;
    case Activation::silu: return Unary::silu;
    case Activation::relu: return Unary::relu;
    case Activation::relu2: return Unary::relu2;
    case Activation::mish: return Unary::mish;
    case Activation::tanh: return Unary::tanh;
    case Activation::sigmoid: return Unary::sigmoid;
  }
  return Unary::relu;
}

}  // namespace

Tensor exp(const Tensor& x) { return unary(Unary::exp, x); }
Tensor log(const Tensor& x) { return unary(Unary::log, x); }
Tensor sqrt(const Tensor& x) { return unary(Unary::sqrt, x); }
Tensor rsqrt(const Tensor& x) { return unary(Unary::rsqrt, x); }
Tensor square(const Tensor& x) { return unary(Unary::square, x); }
Tensor neg(const Tensor& x) { return unary(Unary::neg, x); }
Tensor abs(const Tensor& x) { return unary(Unary::abs, x); }
Tensor sin(const Tensor& x) { return unary(Unary::sin, x); }
Tensor cos(const Tensor& x) { return unary(Unary::cos, x); }
Tensor tanh(const Tensor& x) { return unary(Unary::tanh, x); }
Tensor sigmoid(const Tensor& x) { return unary(Unary::sigmoid, x); }
Tensor relu(const Tensor& x) { return unary(Unary::relu, x); }
Tensor silu(const Tensor& x) { return unary(Unary::silu, x); }
Tensor gelu(const Tensor& x) { return unary(Unary::gelu, x); }
Tensor gelu_tanh(const Tensor& x) { return unary(Unary::gelu_tanh, x); }
Tensor quick_gelu(const Tensor& x) { return unary(Unary::quick_gelu, x); }
Tensor relu2(const Tensor& x) { return unary(Unary::relu2, x); }
Tensor mish(const Tensor& x) { return unary(Unary::mish, x); }

Activation activation(std::string_view name) {
  struct Row {
    std::string_view name;
    Activation value;
  };
  static constexpr Row kTable[] = {
      {"gelu", Activation::gelu},           {"gelu_python", Activation::gelu},      {"gelu_new", Activation::gelu_tanh},
      {"gelu_fast", Activation::gelu_tanh}, {"gelu_pytorch_tanh", Activation::gelu_tanh}, {"quick_gelu", Activation::quick_gelu},
      {"silu", Activation::silu},           {"swish", Activation::silu},            {"relu", Activation::relu},
      {"relu2", Activation::relu2},         {"mish", Activation::mish},             {"tanh", Activation::tanh},
      {"sigmoid", Activation::sigmoid},
  };
  std::string known;
  for (const Row& row : kTable) {
    if (row.name == name) return row.value;
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  }
  fail(ErrorCode::failure, "activation: \"{}\" is not known; known: {}", name, known);
}

Tensor activate(const Tensor& x, Activation function) { return unary(kernel(function), x); }

Tensor glu(const Tensor& in, Activation function) {
  const Tensor x = ops::input(in);
  const int64_t n = ops::rows(x), c = ops::columns(x) / 2;
  require(x.rank() >= 1 && ops::columns(x) % 2 == 0, "glu: shape {}, the last dimension must be even", x.shape().str());
  Shape shape = x.shape();
  shape[shape.rank() - 1] = c;
  Tensor y = Tensor::empty(shape);
  const Unary op = kernel(function);
  parallel_for(n, ops::row_grain(c, 1 << 13), [&](int64_t r, int64_t end) {
    const float* p = x.data<float>() + r * 2 * c;
    kernels::rows().glu(op, p, 2 * c, p + c, 2 * c, y.data<float>() + r * c, c, end - r, c);
  });
  if (!tracked({&x})) return y;
  return record(y, {x}, [op, n, c, x = x.detach()](const Tensor& g) {
    Tensor dx = Tensor::empty(x.shape());
    parallel_for(n, ops::row_grain(c, 1 << 13), [&](int64_t r, int64_t end) {
      const float* p = x.data<float>() + r * 2 * c;
      float* d = dx.data<float>() + r * 2 * c;
      kernels::rows().glu_backward(op, p, 2 * c, p + c, 2 * c, g.data<float>() + r * c, c, d, 2 * c, d + c, 2 * c, end - r, c);
    });
    return Grads{dx};
  });
}

namespace {

template <Tensor (*F)(const Tensor&)>
std::vector<OpSample> any_samples() {
  const auto call = [](const std::vector<Tensor>& in) { return F(in[0]); };
  return {{"small", {sample_tensor({7, 13}, 0, 0.1f, 1.5f)}, call}, {"benchmark", {sample_tensor({512, 1536})}, call, -1, false, 512 * 1536.0}};
}
template <Tensor (*F)(const Tensor&)>
std::vector<OpSample> positive_samples() {
  const auto call = [](const std::vector<Tensor>& in) { return F(in[0]); };
  return {{"positive", {sample_tensor({7, 13}, 0, 4.0f, 0.5f)}, call}};
}
std::vector<OpSample> glu_samples() {
  std::vector<OpSample> all;
  for (const auto& [label, a] : {std::pair{"silu", Activation::silu}, {"gelu", Activation::gelu}, {"gelu_tanh", Activation::gelu_tanh}})
    all.push_back({label, {sample_tensor({5, 26})}, [a = a](const auto& in) { return glu(in[0], a); }});
  all.push_back({"benchmark", {sample_tensor({512, 3072})}, [](const auto& in) { return glu(in[0], Activation::silu); }, -1, false, 512 * 1536.0});
  return all;
}

}  // namespace

extern const OpEntry op_exp{"exp", "x -> x's shape", "", any_samples<exp>};
extern const OpEntry op_log{"log", "x -> x's shape", "", positive_samples<log>};
extern const OpEntry op_sqrt{"sqrt", "x -> x's shape", "", positive_samples<sqrt>};
extern const OpEntry op_rsqrt{"rsqrt", "x -> x's shape", "", positive_samples<rsqrt>};
extern const OpEntry op_square{"square", "x -> x's shape", "", any_samples<square>};
extern const OpEntry op_neg{"neg", "x -> x's shape", "", any_samples<neg>};
extern const OpEntry op_abs{"abs", "x -> x's shape", "", any_samples<abs>};
extern const OpEntry op_sin{"sin", "x -> x's shape", "", any_samples<sin>};
extern const OpEntry op_cos{"cos", "x -> x's shape", "", any_samples<cos>};
extern const OpEntry op_tanh{"tanh", "x -> x's shape", "", any_samples<tanh>};
extern const OpEntry op_sigmoid{"sigmoid", "x -> x's shape", "", any_samples<sigmoid>};
extern const OpEntry op_relu{"relu", "x -> x's shape", "", any_samples<relu>};
extern const OpEntry op_silu{"silu", "x -> x's shape", "arXiv:1702.03118", any_samples<silu>};
extern const OpEntry op_gelu{"gelu", "x -> x's shape", "arXiv:1606.08415", any_samples<gelu>};
extern const OpEntry op_gelu_tanh{"gelu_tanh", "x -> x's shape", "arXiv:1606.08415", any_samples<gelu_tanh>};
extern const OpEntry op_quick_gelu{"quick_gelu", "x -> x's shape", "arXiv:1606.08415", any_samples<quick_gelu>};
extern const OpEntry op_relu2{"relu2", "x -> x's shape", "arXiv:2109.08668", any_samples<relu2>};
extern const OpEntry op_mish{"mish", "x -> x's shape", "arXiv:1908.08681", any_samples<mish>};
extern const OpEntry op_glu{"glu", "x [..., 2C] -> [..., C]", "arXiv:2002.05202", glu_samples};

}  // namespace mynah
