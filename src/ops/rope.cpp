// Rotary position embedding.
#include "kernels/rows.h"
#include "ops/internal.h"
#include "ops/op_entry.h"

namespace mynah {
namespace {

Tensor turn(const Tensor& x, int64_t row_stride, const Tensor& cos, const Tensor& sin, bool interleaved, bool inverse) {
  const int64_t n = x.size(0), heads = x.size(1), d = x.size(2), half = cos.size(1);
  Tensor y = Tensor::empty(x.shape());
  parallel_for(n, ops::row_grain(heads * d), [&](int64_t r, int64_t end) {
    const kernels::RopeShape shape{end - r, heads, d, 2 * half, interleaved, inverse};
    kernels::rows().rope(shape, x.data<float>() + r * row_stride, row_stride, cos.data<float>() + r * half, sin.data<float>() + r * half,
                         y.data<float>() + r * heads * d, heads * d);
  });
  return y;
}

}  // namespace

Tensor rope(const Tensor& in, const Tensor& cos, const Tensor& sin, bool interleaved) {
  require(in.rank() == 3 && cos.rank() == 2 && cos.shape() == sin.shape() && cos.size(0) == in.size(0) && 2 * cos.size(1) <= in.size(2),
          "rope: x {}, cos {}, sin {}; expected [N,H,D] and [N,R/2]", in.shape().str(), cos.shape().str(), sin.shape().str());
  // A slice of a joined q, k, v row needs no copy: heads are dense, rows are strided.
  const bool sliced = in.dtype() == DType::f32 && in.stride(2) == 1 && (in.stride(1) == in.size(2) || in.size(1) == 1);
  const Tensor x = sliced ? in : ops::input(in);
  Tensor y = turn(x, x.stride(0), cos, sin, interleaved, false);
  if (!tracked({&x})) return y;
  return record(y, {x}, [cos, sin, interleaved](const Tensor& g) { return Grads{turn(g, g.stride(0), cos, sin, interleaved, true)}; });
}

namespace {

std::vector<OpSample> samples() {
  const Tensor angles = sample_tensor({5, 4}, 1), c = cos(angles), s = sin(angles);
  return {{"whole heads", {sample_tensor({5, 3, 8})}, [=](const auto& in) { return rope(in[0], c, s); }},
          {"part of each head", {sample_tensor({5, 2, 10})}, [=](const auto& in) { return rope(in[0], c, s); }},
          {"neighbours turn together", {sample_tensor({5, 2, 10})}, [=](const auto& in) { return rope(in[0], c, s, true); }}};
}

}  // namespace

extern const OpEntry op_rope{"rope", "x [N, H, D], cos and sin [N, R/2] -> [N, H, D]", "arXiv:2104.09864", samples};

}  // namespace mynah
