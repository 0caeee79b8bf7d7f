#include "nn/low_rank.h"

#include <array>

#include "kernels/rows.h"
#include "nn/dropout.h"
#include "ops/gemm.h"
#include "ops/internal.h"

namespace mynah::nn {
namespace {

// An adapter at work, and the columns of y that it adds to, from `first` on.
struct Placed {
  Tensor a, b;
  float scale;
  int64_t first;
  size_t source;  // its x among the recorded inputs
  Tensor low;     // scale * x A^T: [n, r]
  int64_t rank() const { return a.size(0); }
  int64_t out() const { return b.size(0); }
};

void scale_all(Tensor& t, float by) { kernels::rows().scale(by, t.data<float>(), t.data<float>(), t.numel()); }

// Gradients of what one adapter adds: `wanted` says whether of x, A and B. That of x is written, or added to if it is defined.
void backward_of(const Placed& p, const float* g, int64_t m, const Tensor& x, std::array<bool, 3> wanted, Tensor* dx, Tensor* da, Tensor* db) {
  const int64_t n = p.low.size(0), k = p.a.size(1), r = p.rank();
  g += p.first;
  if (wanted[2]) {
    *db = Tensor::empty(p.b.shape());
    ops::gemm(p.out(), r, n, ops::turned_rows_of(g, m), ops::rows_of(p.low.data<float>(), r), db->data<float>(), r);
  }
  if (!wanted[0] && !wanted[1]) return;
  Tensor dlow = Tensor::empty({n, r});
  ops::gemm(n, r, p.out(), ops::rows_of(g, m), ops::view_of(p.b), dlow.data<float>(), r);
  scale_all(dlow, p.scale);
  if (wanted[1]) {
    *da = Tensor::empty(p.a.shape());
    ops::gemm(r, k, n, ops::turned_rows_of(dlow.data<float>(), r), ops::rows_of(x.data<float>(), k), da->data<float>(), k);
  }
  if (!wanted[0]) return;
  const bool adds = dx->defined();
  if (!adds) *dx = Tensor::empty(x.shape());
  ops::gemm(n, k, r, ops::rows_of(dlow.data<float>(), r), ops::view_of(p.a), dx->data<float>(), k, adds);
}

}  // namespace

Tensor add_low_rank(Tensor y, const Tensor& in, std::span<const std::shared_ptr<const LowRank>> adapters, std::span<const int64_t> outs) {
  const Tensor x = ops::input(in);
  const int64_t n = ops::rows(x), k = ops::columns(x), m = ops::columns(y);
  std::vector<Tensor> inputs = {y, x};
  std::vector<Placed> placed;
  int64_t first = 0;
  for (size_t i = 0; i < adapters.size(); first += outs[i++]) {
    const LowRank* low = adapters[i].get();
    if (!low) continue;
    Placed p{low->a, low->b, low->scale, first, 1, Tensor::empty({n, low->a.size(0)})};
    if (drops(low->dropout)) {
      p.source = inputs.size();
      inputs.push_back(dropout(x, low->dropout));
    }
    ops::gemm(n, p.rank(), k, ops::rows_of(inputs[p.source].data<float>(), k), ops::turned_view_of(p.a), p.low.data<float>(), p.rank());
    scale_all(p.low, p.scale);
    ops::gemm(n, p.out(), p.rank(), ops::rows_of(p.low.data<float>(), p.rank()), ops::turned_view_of(p.b), y.data<float>() + first, m, true);
    placed.push_back(p);
  }
  std::vector<Tensor> sources(inputs.begin(), inputs.end());  // as numbers alone: the tape holds what comes before
  sources[0] = Tensor();
  for (const Placed& p : placed) inputs.insert(inputs.end(), {p.a, p.b});
  std::vector<bool> wanted;
  for (Tensor& t : sources) t = t.detach();
  for (const Tensor& t : inputs) wanted.push_back(t.requires_grad());
  return record(y.detach(), inputs, [placed, sources, wanted, m](const Tensor& g) {
    Grads grads(wanted.size());
    grads[0] = g;
    size_t at = sources.size();
    for (const Placed& p : placed) {
      backward_of(p, g.data<float>(), m, sources[p.source], {wanted[p.source], wanted[at], wanted[at + 1]}, &grads[p.source], &grads[at], &grads[at + 1]);
      at += 2;
    }
    return grads;
  });
}

}  // namespace mynah::nn
