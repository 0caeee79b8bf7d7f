// Dropout (JMLR 15, 2014) with a mask that is a function of (seed, stream, element).
#include "kernels/rows.h"
#include "ops/dropout_mask.h"
#include "ops/internal.h"
#include "ops/op_entry.h"

namespace mynah {
namespace {

void masked(const kernels::DropoutMask& mask, const Tensor& x, Tensor& y) {
  constexpr int64_t kGrain = 1 << 14;
  const float* from = x.data<float>();
  float* to = y.data<float>();
  parallel_for(x.numel(), kGrain, [&](int64_t begin, int64_t end) { kernels::rows().dropout(mask, static_cast<uint64_t>(begin), from + begin, to + begin, end - begin); });
}

}  // namespace

Tensor dropout(const Tensor& in, float p, uint64_t seed, uint64_t stream) {
  const kernels::DropoutMask mask = ops::dropout_mask("dropout", p, seed, stream);
  const Tensor x = ops::input(in);
  Tensor y = Tensor::empty(x.shape());
  masked(mask, x, y);
  return record(y, {x}, [mask](const Tensor& g) {
    Tensor dx = Tensor::empty(g.shape());
    masked(mask, g, dx);
    return Grads{dx};
  });
}

namespace {

std::vector<OpSample> samples() {
  const auto call = [](const std::vector<Tensor>& in) { return dropout(in[0], 0.3f, 7, 2); };
  return {{"rows of 19", {sample_tensor({3, 2, 19})}, call}, {"benchmark", {sample_tensor({512, 768})}, call, -1, false, 512 * 768 * 2.0}};
}

}  // namespace

extern const OpEntry op_dropout{"dropout", "x, p, seed, stream -> x's shape", "JMLR 15, 2014", samples};

}  // namespace mynah
