// RMS norm and layer norm.
#include "kernels/rows.h"
#include "ops/internal.h"
#include "ops/op_entry.h"

namespace mynah {
namespace {

// Weight gradients are summed over fixed groups of rows, then over groups in order, so they do not depend on threads.
constexpr int64_t kGroupRows = 64;

Tensor sum_groups(const Tensor& partial) {  // [groups, C] -> [C]
  return ops::column_sums(partial.data<float>(), partial.size(1), partial.size(0), partial.size(1));
}

void check_weight(const char* op, const char* what, const Tensor& weight, const Tensor& x) {
  require(!weight.defined() || (weight.rank() == 1 && weight.size(0) == ops::columns(x)), "{}: {} has shape {}, x has {}", op, what,
          weight.defined() ? weight.shape().str() : "", x.shape().str());
}

}  // namespace

Tensor rms_norm(const Tensor& in, const Tensor& w, float eps) {
  check_weight("rms_norm", "weight", w, in);
  const Tensor x = ops::input(in), weight = ops::input(w);
  const int64_t n = ops::rows(x), c = ops::columns(x);
  Tensor y = Tensor::empty(x.shape());
  parallel_for(n, ops::row_grain(c), [&](int64_t r, int64_t end) {
    kernels::rows().rms_norm(x.data<float>() + r * c, weight.data<float>(), 0, eps, y.data<float>() + r * c, end - r, c);
  });
  if (!tracked({&x, &weight})) return y;
  const bool want_x = x.requires_grad();
  return record(y, {x, weight}, [=, x = x.detach(), weight = weight.detach()](const Tensor& g) {
    Tensor dx = want_x ? Tensor::empty(x.shape()) : Tensor();
    const int64_t groups = (n + kGroupRows - 1) / kGroupRows;
    Tensor partial = Tensor::zeros({groups, c});
    parallel_for(n, kGroupRows, [&](int64_t r, int64_t end) {
      kernels::rows().rms_norm_backward(x.data<float>() + r * c, weight.data<float>(), 0, eps, g.data<float>() + r * c,
                                        want_x ? dx.data<float>() + r * c : nullptr, partial.data<float>() + r / kGroupRows * c, end - r, c);
    });
    return Grads{dx, sum_groups(partial)};
  });
}

Tensor layer_norm(const Tensor& in, const Tensor& w, const Tensor& b, float eps) {
  check_weight("layer_norm", "weight", w, in);
  check_weight("layer_norm", "bias", b, in);
  const Tensor x = ops::input(in), weight = w.defined() ? ops::input(w) : w, bias = b.defined() ? ops::input(b) : b;
  const int64_t n = ops::rows(x), c = ops::columns(x);
  Tensor y = Tensor::empty(x.shape());
  const bool keep = tracked({&x, &weight, &bias});
  Tensor mean = keep ? Tensor::empty({n}) : Tensor(), rstd = keep ? Tensor::empty({n}) : Tensor();
  const auto at = [](const Tensor& t) { return t.defined() ? t.data<float>() : nullptr; };
  parallel_for(n, ops::row_grain(c), [&](int64_t r, int64_t end) {
    kernels::rows().layer_norm(x.data<float>() + r * c, at(weight), at(bias), eps, y.data<float>() + r * c, keep ? mean.data<float>() + r : nullptr,
                               keep ? rstd.data<float>() + r : nullptr, end - r, c);
  });
  if (!keep) return y;
  std::vector<Tensor> inputs = {x};
  if (weight.defined()) inputs.push_back(weight);
  if (bias.defined()) inputs.push_back(bias);
  const bool want_x = x.requires_grad(), has_weight = weight.defined(), has_bias = bias.defined();
  return record(y, inputs, [=, x = x.detach(), weight = weight.detach()](const Tensor& g) {
    Tensor dx = want_x ? Tensor::empty(x.shape()) : Tensor();
    const int64_t groups = (n + kGroupRows - 1) / kGroupRows;
    Tensor dw = has_weight ? Tensor::zeros({groups, c}) : Tensor(), db = has_bias ? Tensor::zeros({groups, c}) : Tensor();
    parallel_for(n, kGroupRows, [&](int64_t r, int64_t end) {
      const int64_t group = r / kGroupRows * c;
      kernels::rows().layer_norm_backward(x.data<float>() + r * c, has_weight ? weight.data<float>() : nullptr, mean.data<float>() + r,
                                          rstd.data<float>() + r, g.data<float>() + r * c, want_x ? dx.data<float>() + r * c : nullptr,
                                          has_weight ? dw.data<float>() + group : nullptr, has_bias ? db.data<float>() + group : nullptr, end - r, c);
    });
    Grads grads = {dx};
    if (has_weight) grads.push_back(sum_groups(dw));
    if (has_bias) grads.push_back(sum_groups(db));
    return grads;
  });
}

namespace {

std::vector<OpSample> rms_samples() {
  const auto call = [](const std::vector<Tensor>& in) { return rms_norm(in[0], in[1], 1e-5f); };
  return {{"rows of 37", {sample_tensor({2, 3, 37}, 0), sample_tensor({37}, 1, 1.0f, 0.3f)}, call},
          {"one row", {sample_tensor({64}, 0), sample_tensor({64}, 1, 1.0f, 0.3f)}, call},
          {"many rows", {sample_tensor({150, 8}, 0), sample_tensor({8}, 1, 1.0f, 0.3f)}, call},
          {"benchmark", {sample_tensor({512, 576}, 0), sample_tensor({576}, 1, 1.0f, 0.3f)}, call, -1, false, 512 * 576 * 4.0}};
}
std::vector<OpSample> layer_samples() {
  const auto call = [](const std::vector<Tensor>& in) { return layer_norm(in[0], in[1], in[2], 1e-5f); };
  return {{"weight and bias", {sample_tensor({2, 3, 37}, 0), sample_tensor({37}, 1, 1.0f, 0.3f), sample_tensor({37}, 2)}, call},
          {"plain", {sample_tensor({4, 20}, 0)}, [](const auto& in) { return layer_norm(in[0], {}, {}, 1e-5f); }},
          {"weight only", {sample_tensor({70, 9}, 0), sample_tensor({9}, 1, 1.0f, 0.3f)}, [](const auto& in) { return layer_norm(in[0], in[1], {}, 1e-5f); }},
          {"benchmark", {sample_tensor({512, 768}, 0), sample_tensor({768}, 1, 1.0f, 0.3f), sample_tensor({768}, 2)}, call, -1, false, 512 * 768 * 8.0}};
}

}  // namespace

extern const OpEntry op_rms_norm{"rms_norm", "x [..., C], weight [C] -> [..., C]", "arXiv:1910.07467", rms_samples};
extern const OpEntry op_layer_norm{"layer_norm", "x [..., C], weight [C], bias [C] -> [..., C]", "arXiv:1607.06450", layer_samples};

}  // namespace mynah
