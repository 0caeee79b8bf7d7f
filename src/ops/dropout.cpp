// Dropout (JMLR 15, 2014) with a mask that is a function of (seed, stream, element).
#include "base/random.h"
#include "ops/internal.h"
#include "ops/op_entry.h"

namespace mynah {
namespace {

// y = x * mask / (1 - p); four elements share one block of random bits.
void masked(const float* x, float* y, int64_t n, float p, uint64_t seed, uint64_t stream) {
  const auto threshold = static_cast<uint32_t>(static_cast<double>(p) * 4294967296.0);
  const float keep = 1 / (1 - p);
  constexpr int64_t kGrain = 1 << 14;
  parallel_for(n, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += 4) {
      const auto bits = philox(seed, stream, static_cast<uint64_t>(i / 4), RandomPurpose::dropout);
      for (int64_t j = i; j < std::min(i + 4, end); ++j) y[j] = bits[static_cast<size_t>(j - i)] < threshold ? 0 : x[j] * keep;
    }
  });
}

}  // namespace

Tensor dropout(const Tensor& in, float p, uint64_t seed, uint64_t stream) {
  require(p >= 0 && p < 1, "dropout: p {}, expected 0 or more and below 1", p);
  const Tensor x = ops::input(in);
  Tensor y = Tensor::empty(x.shape());
  masked(x.data<float>(), y.data<float>(), x.numel(), p, seed, stream);
  return record(y, {x}, [p, seed, stream](const Tensor& g) {
    Tensor dx = Tensor::empty(g.shape());
    masked(g.data<float>(), dx.data<float>(), g.numel(), p, seed, stream);
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
