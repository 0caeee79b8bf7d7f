// Soft capping of scores, as Gemma 2 uses it.
#include "ops/internal.h"
#include "ops/op_entry.h"

namespace mynah {

Tensor softcap(const Tensor& x, float cap) {
  require(cap > 0, "softcap: cap is {}, expected a positive number", cap);
  return mul(tanh(mul(x, 1.0f / cap)), cap);
}

namespace {

std::vector<OpSample> samples() {
  return {{"cap 2", {sample_tensor({3, 7}, 0, 0, 3)}, [](const auto& in) { return softcap(in[0], 2.0f); }}};
}

}  // namespace

extern const OpEntry op_softcap{"softcap", "x, cap -> x's shape", "arXiv:2408.00118", samples};

}  // namespace mynah
