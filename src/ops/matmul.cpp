// Matrix products: linear maps and batched matmul.
#include "ops/gemm.h"
#include "ops/internal.h"
#include "ops/op_entry.h"

namespace mynah {
namespace {

using ops::gemm;
using ops::rows_of;
using ops::turned_rows_of;
using ops::turned_view_of;
using ops::view_of;

// One dimension of a strided matrix must be dense for the kernels; otherwise it is copied.
Tensor dense(const Tensor& w) {
  if (w.rank() == 2 && (w.stride(1) == 1 || w.stride(0) == 1 || w.numel() == 0)) return w;
  return contiguous(w);
}

// The gradient of a weight [M,K]: g^T x, g [N,M] with rows `stride` apart, x [N,K]. Parameters have it added where their gradients are
// summed, in the order in which they are stored; the result is then undefined.
Tensor weight_gradient(const Tensor& weight, int64_t n, const float* g, int64_t stride, const float* x) {
  const int64_t m = weight.size(0), k = weight.size(1);
  GradientSum to = gradient_sum(weight);
  const bool in_place = to.value.defined();
  if (!in_place) to = {Tensor::empty({m, k}), true};
  float* out = to.value.data<float>();
  if (to.value.stride(1) == 1) gemm(m, k, n, turned_rows_of(g, stride), rows_of(x, k), out, to.value.stride(0), !to.empty);
  else gemm(k, m, n, turned_rows_of(x, k), rows_of(g, stride), out, to.value.stride(1), !to.empty);
  return in_place ? Tensor() : to.value;
}

}  // namespace

Tensor linear(const Tensor& in, const std::vector<Tensor>& given, const std::vector<Tensor>& biases) {
  const Tensor x = ops::input(in);
  const int64_t n = ops::rows(x), k = ops::columns(x);
  std::vector<Tensor> inputs = {x}, weights;
  std::vector<int64_t> starts = {0};
  for (const Tensor& w : given) {
    require(w.rank() == 2 && w.size(1) == k && is_floating(w.dtype()), "linear: weight {} {}, x has shape {}", name(w.dtype()), w.shape().str(), x.shape().str());
    weights.push_back(dense(w));
    starts.push_back(starts.back() + w.size(0));
    inputs.push_back(weights.back());
  }
  require(biases.empty() || biases.size() == weights.size(), "linear: {} biases for {} weights", biases.size(), weights.size());
  std::vector<Tensor> added(weights.size());
  for (size_t i = 0; i < biases.size(); ++i) {
    if (!biases[i].defined()) continue;
    require(biases[i].numel() == weights[i].size(0), "linear: bias {} for weight {}", biases[i].shape().str(), weights[i].shape().str());
    added[i] = ops::input(biases[i]);
    inputs.push_back(added[i]);
  }
  Shape shape = x.shape();
  require(shape.rank() >= 1, "linear: x is a scalar");
  const int64_t total = starts.back();
  shape[shape.rank() - 1] = total;
  Tensor y = Tensor::empty(shape);
  for (size_t i = 0; i < weights.size(); ++i)
    gemm(n, weights[i].size(0), k, rows_of(x.data<float>(), k), turned_view_of(weights[i]), y.data<float>() + starts[i], total, false,
         added[i].defined() ? added[i].data<float>() : nullptr);
  bool any = false;
  for (const Tensor& t : inputs) any = any || t.requires_grad();
  if (!grad_enabled() || !any) return y;
  return record(y, inputs, [=, x = x.detach(), want_x = x.requires_grad()](const Tensor& g) {
    Grads grads(inputs.size());
    const float* gp = g.data<float>();
    if (want_x) {
      grads[0] = Tensor::empty(x.shape());
      for (size_t i = 0; i < weights.size(); ++i)
        gemm(n, k, weights[i].size(0), rows_of(gp + starts[i], total), view_of(weights[i]), grads[0].data<float>(), k, i > 0);
    }
    size_t next_bias = 1 + weights.size();
    for (size_t i = 0; i < weights.size(); ++i) {
      const int64_t m = weights[i].size(0);
      if (weights[i].requires_grad()) grads[1 + i] = weight_gradient(weights[i], n, gp + starts[i], total, x.data<float>());
      if (added[i].defined()) {
        const Tensor db = ops::column_sums(gp + starts[i], total, n, m);
        grads[next_bias++] = db.as_strided(added[i].shape(), contiguous_strides(added[i].shape()));
      }
    }
    return grads;
  });
}

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  return linear(x, std::vector<Tensor>{weight}, std::vector<Tensor>{bias});
}

Tensor matmul(const Tensor& left, const Tensor& right) {
  require(left.rank() >= 2 && right.rank() >= 2 && left.size(-1) == right.size(-2), "matmul: shapes {} and {}", left.shape().str(), right.shape().str());
  const Tensor a = ops::input(left), b = ops::input(right);
  const int64_t m = a.size(-2), k = a.size(-1), n = b.size(-1);
  const bool shared = b.rank() == 2;  // one right matrix for every batch
  Shape shape = a.shape();
  shape[shape.rank() - 1] = n;
  int64_t batches = 1;
  for (int i = 0; i + 2 < a.rank(); ++i) {
    require(shared || (b.rank() == a.rank() && a.size(i) == b.size(i)), "matmul: shapes {} and {}, the batch dimensions differ", a.shape().str(), b.shape().str());
    batches *= a.size(i);
  }
  require(shared || b.rank() == a.rank(), "matmul: shapes {} and {}, the batch dimensions differ", a.shape().str(), b.shape().str());
  Tensor y = Tensor::empty(shape);
  const int64_t b_step = shared ? 0 : k * n;
  for (int64_t i = 0; i < batches; ++i)
    gemm(m, n, k, rows_of(a.data<float>() + i * m * k, k), rows_of(b.data<float>() + i * b_step, n), y.data<float>() + i * m * n, n);
  if (!tracked({&a, &b})) return y;
  return record(y, {a, b}, [=](const Tensor& g) {
    Tensor da = a.requires_grad() ? Tensor::empty(a.shape()) : Tensor(), db = b.requires_grad() ? Tensor::empty(b.shape()) : Tensor();
    for (int64_t i = 0; i < batches; ++i) {
      const float* gi = g.data<float>() + i * m * n;
      if (da.defined()) gemm(m, k, n, rows_of(gi, n), turned_rows_of(b.data<float>() + i * b_step, n), da.data<float>() + i * m * k, k);
      if (db.defined())
        gemm(k, n, m, turned_rows_of(a.data<float>() + i * m * k, k), rows_of(gi, n), db.data<float>() + i * b_step, n, shared && i > 0);
    }
    return Grads{da, db};
  });
}

namespace {

std::vector<OpSample> linear_samples() {
  const auto with_bias = [](const std::vector<Tensor>& in) { return linear(in[0], in[1], in[2]); };
  return {{"with bias", {sample_tensor({2, 3, 7}, 0), sample_tensor({5, 7}, 1), sample_tensor({5}, 2)}, with_bias},
          {"one row", {sample_tensor({1, 37}, 0), sample_tensor({21, 37}, 1)}, [](const auto& in) { return linear(in[0], in[1]); }},
          {"two weights side by side",
           {sample_tensor({4, 6}, 0), sample_tensor({3, 6}, 1), sample_tensor({5, 6}, 2), sample_tensor({5}, 3)},
           [](const auto& in) { return linear(in[0], {in[1], in[2]}, {Tensor(), in[3]}); }},
          {"weight stored [in, out]", {sample_tensor({4, 6}, 0), sample_tensor({6, 5}, 1)}, [](const auto& in) { return linear(in[0], transpose(in[1], 0, 1)); }},
          {"benchmark 512x1536x576", {sample_tensor({512, 576}, 0), sample_tensor({1536, 576}, 1)},
           [](const auto& in) { return linear(in[0], in[1]); }, -1, false, 2.0 * 512 * 1536 * 576}};
}
std::vector<OpSample> matmul_samples() {
  const auto call = [](const std::vector<Tensor>& in) { return matmul(in[0], in[1]); };
  return {{"matrices", {sample_tensor({3, 4}, 0), sample_tensor({4, 5}, 1)}, call},
          {"batches", {sample_tensor({2, 3, 4}, 0), sample_tensor({2, 4, 5}, 1)}, call},
          {"shared right side", {sample_tensor({2, 3, 4}, 0), sample_tensor({4, 5}, 1)}, call},
          {"benchmark 1024", {sample_tensor({1024, 1024}, 0), sample_tensor({1024, 1024}, 1)}, call, -1, false, 2.0 * 1024 * 1024 * 1024}};
}

}  // namespace

extern const OpEntry op_linear{"linear", "x [..., K], weights [N_i, K], biases [N_i] -> [..., sum N_i]", "PyTorch", linear_samples};
extern const OpEntry op_matmul{"matmul", "[..., M, K] x [..., K, N] -> [..., M, N]", "PyTorch", matmul_samples};

}  // namespace mynah
