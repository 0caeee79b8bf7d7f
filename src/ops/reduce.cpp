// Sums, means and maxima.
#include "kernels/rows.h"
#include "ops/internal.h"
#include "ops/op_entry.h"

namespace mynah {
namespace {

Shape without(const Shape& shape, int dim, bool keepdim) {
  std::vector<int64_t> dims(shape.dims().begin(), shape.dims().end());
  if (keepdim) dims[static_cast<size_t>(dim)] = 1;
  else dims.erase(dims.begin() + dim);
  return Shape(dims);
}

// x seen as [outer, n, inner] around one dimension.
struct Around {
  int64_t outer = 1, n, inner = 1;
  Around(const Shape& s, int dim) : n(s[dim]) {
    for (int i = 0; i < dim; ++i) outer *= s[i];
    for (int i = dim + 1; i < s.rank(); ++i) inner *= s[i];
  }
};

}  // namespace

Tensor ops::column_sums(const float* rows, int64_t stride, int64_t count, int64_t columns) {
  Tensor out = Tensor::zeros({columns});
  parallel_for(columns, row_grain(count, 1 << 16), [&](int64_t begin, int64_t end) {
    kernels::rows().column_sum(rows + begin, stride, out.data<float>() + begin, count, end - begin);
  });
  return out;
}

Tensor sum(const Tensor& in) {
  const Tensor x = ops::input(in);
  // Pieces of fixed size are summed on their own and then in order: the same bits for any number of threads.
  constexpr int64_t kPiece = 1 << 16;
  const int64_t n = x.numel();
  std::vector<double> pieces(static_cast<size_t>((n + kPiece - 1) / kPiece));
  parallel_for(n, kPiece, [&](int64_t i, int64_t end) { pieces[static_cast<size_t>(i / kPiece)] = kernels::rows().sum(x.data<float>() + i, end - i); });
  double total = 0;
  for (const double p : pieces) total += p;
  return record(Tensor::scalar(static_cast<float>(total)), {x}, [shape = x.shape()](const Tensor& g) { return Grads{Tensor::full(shape, g.item())}; });
}

Tensor mean(const Tensor& x) { return mul(sum(x), 1.0f / static_cast<float>(x.numel())); }

Tensor sum(const Tensor& in, int dim, bool keepdim) {
  const Tensor x = ops::input(in);
  const int d = ops::dimension("sum", x, dim);
  const Around a(x.shape(), d);
  Tensor y = Tensor::zeros(without(x.shape(), d, keepdim));
  parallel_for(a.outer, ops::row_grain(a.n * a.inner), [&](int64_t o, int64_t end) {
    for (; o < end; ++o) {
      const float* from = x.data<float>() + o * a.n * a.inner;
      if (a.inner == 1) y.data<float>()[o] = static_cast<float>(kernels::rows().sum(from, a.n));
      else kernels::rows().column_sum(from, a.inner, y.data<float>() + o * a.inner, a.n, a.inner);
    }
  });
  return record(y, {x}, [a, shape = x.shape()](const Tensor& g) {
    Tensor dx = Tensor::empty(shape);
    for (int64_t o = 0; o < a.outer; ++o)
      for (int64_t i = 0; i < a.n; ++i)
        kernels::rows().scale(1.0f, g.data<float>() + o * a.inner, dx.data<float>() + (o * a.n + i) * a.inner, a.inner);
    return Grads{dx};
  });
}

Tensor mean(const Tensor& x, int dim, bool keepdim) {
  const int d = ops::dimension("mean", x, dim);
  return mul(sum(x, d, keepdim), 1.0f / static_cast<float>(x.size(d)));
}

Tensor amax(const Tensor& in, int dim, bool keepdim) {
  const Tensor x = ops::input(in);
  const int d = ops::dimension("amax", x, dim);
  const Around a(x.shape(), d);
  require(a.n > 0, "amax: dimension {} of shape {} is empty", dim, x.shape().str());
  Tensor y = Tensor::empty(without(x.shape(), d, keepdim));
  std::vector<int64_t> where(static_cast<size_t>(y.numel()));
  for (int64_t o = 0; o < a.outer; ++o)
    for (int64_t i = 0; i < a.inner; ++i) {
      const float* column = x.data<float>() + o * a.n * a.inner + i;
      int64_t best = 0;
      for (int64_t j = 1; j < a.n; ++j)
        if (column[j * a.inner] > column[best * a.inner]) best = j;
      where[static_cast<size_t>(o * a.inner + i)] = (o * a.n + best) * a.inner + i;
      y.data<float>()[o * a.inner + i] = column[best * a.inner];
    }
  return record(y, {x}, [where, shape = x.shape()](const Tensor& g) {
    Tensor dx = Tensor::zeros(shape);
    for (size_t i = 0; i < where.size(); ++i) dx.data<float>()[where[i]] += g.data<float>()[i];
    return Grads{dx};
  });
}

std::vector<int64_t> argmax(const Tensor& in) {
  const Tensor x = ops::input(in.detach());
  const int64_t n = ops::rows(x), c = ops::columns(x);
  require(c > 0, "argmax: shape {} has no columns", x.shape().str());
  std::vector<int64_t> best(static_cast<size_t>(n));
  for (int64_t r = 0; r < n; ++r) best[static_cast<size_t>(r)] = kernels::rows().argmax(x.data<float>() + r * c, c);
  return best;
}

namespace {

std::vector<OpSample> sum_samples() {
  const Tensor x = sample_tensor({3, 4, 5});
  return {{"all", {x}, [](const auto& in) { return sum(in[0]); }},
          {"mean of all", {x}, [](const auto& in) { return mean(in[0]); }},
          {"first dimension", {x}, [](const auto& in) { return sum(in[0], 0); }},
          {"middle dimension, kept", {x}, [](const auto& in) { return sum(in[0], 1, true); }},
          {"last dimension", {x}, [](const auto& in) { return mean(in[0], -1); }},
          {"benchmark", {sample_tensor({512, 1536})}, [](const auto& in) { return sum(in[0]); }, -1, false, 512 * 1536.0}};
}
std::vector<OpSample> amax_samples() {
  const Tensor x = sample_tensor({3, 4, 5});
  return {{"last dimension", {x}, [](const auto& in) { return amax(in[0], -1); }}, {"first dimension, kept", {x}, [](const auto& in) { return amax(in[0], 0, true); }}};
}

}  // namespace

extern const OpEntry op_sum{"sum, mean", "x -> [] or without one dimension", "PyTorch", sum_samples};
extern const OpEntry op_amax{"amax", "x -> without one dimension", "PyTorch", amax_samples};

}  // namespace mynah
