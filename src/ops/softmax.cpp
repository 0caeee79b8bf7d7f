// Softmax, log-softmax and cross-entropy over the last dimension.
#include <cmath>
#include <limits>

#include "kernels/rows.h"
#include "ops/internal.h"
#include "ops/op_entry.h"

namespace mynah {
namespace {

using Forward = void (*)(const float*, float*, int64_t, int64_t);
using Backward = void (*)(const float*, const float*, float*, int64_t, int64_t);

Tensor row_op(const Tensor& in, Forward forward, Backward backward) {
  const Tensor x = ops::input(in);
  const int64_t n = ops::rows(x), c = ops::columns(x);
  Tensor y = Tensor::empty(x.shape());
  parallel_for(n, ops::row_grain(c), [&](int64_t r, int64_t end) { forward(x.data<float>() + r * c, y.data<float>() + r * c, end - r, c); });
  if (!tracked({&x})) return y;
  return record(y, {x}, [=](const Tensor& g) {
    Tensor dx = Tensor::empty(g.shape());
    parallel_for(n, ops::row_grain(c), [&](int64_t r, int64_t end) {
      backward(y.data<float>() + r * c, g.data<float>() + r * c, dx.data<float>() + r * c, end - r, c);
    });
    return Grads{dx};
  });
}

}  // namespace

Tensor softmax(const Tensor& x) { return row_op(x, kernels::rows().softmax, kernels::rows().softmax_backward); }
Tensor log_softmax(const Tensor& x) { return row_op(x, kernels::rows().log_softmax, kernels::rows().log_softmax_backward); }

Tensor cross_entropy(const Tensor& in, const Tensor& targets, int64_t ignore_index, float denominator) {
  require(in.rank() == 2 && targets.dtype() == DType::i64 && targets.numel() == in.size(0),
          "cross_entropy: logits {}, targets {} {}; expected [N,V] and i64 [N]", in.shape().str(), name(targets.dtype()), targets.shape().str());
  const Tensor x = ops::input(in), wanted = contiguous(targets);
  const int64_t n = x.size(0), c = x.size(1);
  Tensor kept = Tensor::empty({n}, DType::i64);  // the kernel takes a negative target as a row to ignore
  int64_t counted = 0;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t t = wanted.data<int64_t>()[i];
    require(t == ignore_index || (t >= 0 && t < c), "cross_entropy: target {} at row {}, expected 0..{} or {}", t, i, c - 1, ignore_index);
    kept.data<int64_t>()[i] = t == ignore_index ? -1 : t;
    counted += t != ignore_index;
  }
  const float scale = denominator > 0 ? 1.0f / denominator : 1.0f / static_cast<float>(counted);
  const bool keep = tracked({&x});
  Tensor losses = Tensor::empty({n}), dx = keep ? Tensor::empty(x.shape()) : Tensor();
  parallel_for(n, ops::row_grain(c, 1 << 15), [&](int64_t r, int64_t end) {
    kernels::rows().cross_entropy(x.data<float>() + r * c, kept.data<int64_t>() + r, scale, losses.data<float>() + r,
                                  keep ? dx.data<float>() + r * c : nullptr, end - r, c);
  });
  const double total = kernels::rows().sum(losses.data<float>(), n);
  Tensor y = Tensor::scalar(counted == 0 && denominator <= 0 ? std::numeric_limits<float>::quiet_NaN() : static_cast<float>(total * scale));
  if (!keep) return y;
  return record(y, {x}, [dx](const Tensor& g) { return Grads{g.item() == 1.0f ? dx : mul(dx, g.item())}; });
}

namespace {

template <Tensor (*F)(const Tensor&)>
std::vector<OpSample> row_samples() {
  const auto call = [](const std::vector<Tensor>& in) { return F(in[0]); };
  return {{"rows of 19", {sample_tensor({3, 2, 19}, 0, 0, 2)}, call},
          {"one element", {sample_tensor({4, 1})}, call},
          {"benchmark", {sample_tensor({512, 512})}, call, -1, false, 512 * 512 * 5.0}};
}
std::vector<OpSample> cross_samples() {
  const std::vector<int64_t> t = {3, -100, 0, 10};
  const Tensor targets = Tensor::from(std::span<const int64_t>(t), {4});
  const auto call = [targets](const std::vector<Tensor>& in) { return cross_entropy(in[0], targets); };
  Tensor many = Tensor::zeros({64}, DType::i64);
  return {{"an ignored row", {sample_tensor({4, 11}, 0, 0, 2)}, call},
          {"given denominator", {sample_tensor({4, 11}, 0, 0, 2)}, [targets](const auto& in) { return cross_entropy(in[0], targets, -100, 7); }},
          {"benchmark", {sample_tensor({64, 49152})}, [many](const auto& in) { return cross_entropy(in[0], many); }, -1, false, 64 * 49152 * 5.0}};
}

}  // namespace

extern const OpEntry op_softmax{"softmax", "x [..., C] -> [..., C]", "", row_samples<softmax>};
extern const OpEntry op_log_softmax{"log_softmax", "x [..., C] -> [..., C]", "", row_samples<log_softmax>};
extern const OpEntry op_cross_entropy{"cross_entropy", "logits [N, V], targets i64 [N] -> []", "PyTorch", cross_samples};

}  // namespace mynah
