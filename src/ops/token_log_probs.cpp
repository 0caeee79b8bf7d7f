// log softmax(logits)[target] for each row: what preference and policy losses are made of.
#include "kernels/rows.h"
#include "ops/internal.h"
#include "ops/op_entry.h"

namespace mynah {

Tensor token_log_probs(const Tensor& in, std::span<const int64_t> targets) {
  require(in.rank() == 2 && in.size(0) == static_cast<int64_t>(targets.size()), "token_log_probs: logits {}, {} targets; expected [N,V] and N",
          in.shape().str(), targets.size());
  const Tensor x = ops::input(in);
  const int64_t n = x.size(0), c = x.size(1);
  for (const int64_t t : targets) require(t >= 0 && t < c, "token_log_probs: target {}, expected 0..{}", t, c - 1);
  const bool keep = tracked({&x});
  Tensor y = Tensor::empty({n}), dx = keep ? Tensor::empty(x.shape()) : Tensor();
  parallel_for(n, ops::row_grain(c, 1 << 15), [&](int64_t r, int64_t end) {
    kernels::rows().cross_entropy(x.data<float>() + r * c, targets.data() + r, 1, y.data<float>() + r, keep ? dx.data<float>() + r * c : nullptr,
                                  end - r, c);
    kernels::rows().scale(-1, y.data<float>() + r, y.data<float>() + r, end - r);
  });
  if (!keep) return y;
  return record(y, {x}, [dx, n, c](const Tensor& g) {
    Tensor out = Tensor::empty(dx.shape());  // (onehot - softmax) * g
    parallel_for(n, ops::row_grain(c), [&](int64_t r, int64_t end) {
      for (; r < end; ++r) kernels::rows().scale(-g.data<float>()[r], dx.data<float>() + r * c, out.data<float>() + r * c, c);
    });
    return Grads{out};
  });
}

namespace {

std::vector<OpSample> samples() {
  static const std::vector<int64_t> few = {3, 0, 10, 10}, many(64, 5);
  return {{"rows of 11", {sample_tensor({4, 11}, 0, 0, 2)}, [](const std::vector<Tensor>& in) { return token_log_probs(in[0], few); }},
          {"benchmark", {sample_tensor({64, 49152})}, [](const std::vector<Tensor>& in) { return token_log_probs(in[0], many); }, -1, false, 64 * 49152 * 5.0}};
}

}  // namespace

extern const OpEntry op_token_log_probs{"token_log_probs", "logits [N, V], targets [N] -> [N]", "PyTorch", samples};

}  // namespace mynah
