// Norms over channels of planes: batch norm and group norm.
#include <cmath>

#include "ops/internal.h"
#include "ops/op_entry.h"

namespace mynah {
namespace {

// x [N,C,...] as N x C planes of `size` elements.
struct Planes {
  int64_t n, c, size;
  Planes(const char* op, const Tensor& x) : n(0), c(0), size(1) {
    require(x.rank() >= 2 && x.numel() > 0, "{}: x {}, expected [N,C,...]", op, x.shape().str());
    n = x.size(0), c = x.size(1);
    for (int i = 2; i < x.rank(); ++i) size *= x.size(i);
  }
};

void check_channels(const char* op, const char* what, const Tensor& t, int64_t c) {
  require(t.shape() == Shape{c}, "{}: {} has shape {}, expected [{}]", op, what, t.shape().str(), c);
}

// Shape [1, C, 1, ...] that broadcasts a channel vector over x.
Shape over(const Tensor& x) {
  std::vector<int64_t> dims(static_cast<size_t>(x.rank()), 1);
  dims[1] = x.size(1);
  return Shape(std::span<const int64_t>(dims));
}

// Normalises groups of planes that share statistics. A unit is a set of segments of `length` elements, each `stride` apart,
// starting at start(unit): for batch norm a channel of every image, for group norm some channels of one image.
struct Units {
  int64_t count, segments, length, stride;
  bool batch;  // unit u starts at plane u; otherwise units follow one another
  int64_t start(int64_t u) const { return batch ? u * length : u * segments * length; }
  int64_t elements() const { return segments * length; }
};

// The sum of f over the elements of a unit: in every segment eight chains side by side, then in order.
template <class F>
double sum_of(const Units& u, int64_t unit, const F& f) {
  double total = 0;
  for (int64_t s = 0; s < u.segments; ++s) {
    const int64_t first = u.start(unit) + s * u.stride, whole = u.length - u.length % 8;
    double chains[8] = {};
    for (int64_t i = 0; i < whole; i += 8)
      for (int64_t k = 0; k < 8; ++k) chains[k] += f(first + i + k);
    for (int64_t i = whole; i < u.length; ++i) chains[i - whole] += f(first + i);
    for (const double chain : chains) total += chain;
  }
  return total;
}

template <class F>
void each_of(const Units& u, int64_t unit, const F& f) {
  for (int64_t s = 0; s < u.segments; ++s) {
    const int64_t first = u.start(unit) + s * u.stride;
    for (int64_t i = first; i < first + u.length; ++i) f(i);
  }
}

Tensor normalise(const Tensor& x, const Units& u, float eps, Tensor* mean_out, Tensor* variance_out) {
  Tensor y = Tensor::empty(x.shape()), mean = Tensor::empty({u.count}), variance = Tensor::empty({u.count});
  parallel_for(u.count, ops::row_grain(u.elements()), [&, in = x.data<float>(), out = y.data<float>(), means = mean.data<float>(), variances = variance.data<float>()](int64_t unit, int64_t end) {
    for (; unit < end; ++unit) {
      const double m = sum_of(u, unit, [in](int64_t i) { return static_cast<double>(in[i]); }) / static_cast<double>(u.elements());
      const double v = sum_of(u, unit, [in, m](int64_t i) { return (in[i] - m) * (in[i] - m); }) / static_cast<double>(u.elements());
      const auto scale = static_cast<float>(1 / std::sqrt(v + eps));
      means[unit] = static_cast<float>(m);
      variances[unit] = static_cast<float>(v);
      each_of(u, unit, [in, out, m, scale](int64_t i) { out[i] = static_cast<float>(in[i] - m) * scale; });
    }
  });
  if (mean_out) *mean_out = mean;
  if (variance_out) *variance_out = variance;
  // With z the result: dx = (g - mean(g) - z mean(g z)) / sqrt(v + eps).
  return record(y, {x}, [=, z = y.detach()](const Tensor& g) {
    Tensor dx = Tensor::empty(z.shape());
    parallel_for(u.count, ops::row_grain(u.elements()), [&, gs = g.data<float>(), zs = z.data<float>(), out = dx.data<float>(), variances = variance.data<float>()](int64_t unit, int64_t end) {
      for (; unit < end; ++unit) {
        const double a = sum_of(u, unit, [gs](int64_t i) { return static_cast<double>(gs[i]); }) / static_cast<double>(u.elements());
        const double b = sum_of(u, unit, [gs, zs](int64_t i) { return static_cast<double>(gs[i]) * zs[i]; }) / static_cast<double>(u.elements());
        const double scale = 1 / std::sqrt(static_cast<double>(variances[unit]) + eps);
        each_of(u, unit, [gs, zs, out, a, b, scale](int64_t i) { out[i] = static_cast<float>((gs[i] - a - zs[i] * b) * scale); });
      }
    });
    return Grads{dx};
  });
}

Tensor scaled(const Tensor& z, const Tensor& weight, const Tensor& bias) {
  Tensor y = z;
  if (weight.defined()) y = y * reshape(weight, over(z));
  if (bias.defined()) y = y + reshape(bias, over(z));
  return y;
}

}  // namespace

Tensor batch_norm(const Tensor& x, const Tensor& mean, const Tensor& variance, const Tensor& weight, const Tensor& bias, float eps) {
  const Planes p("batch_norm", x);
  check_channels("batch_norm", "mean", mean, p.c);
  check_channels("batch_norm", "variance", variance, p.c);
  check_channels("batch_norm", "weight", weight, p.c);
  check_channels("batch_norm", "bias", bias, p.c);
  // One factor and one term per channel: x f + (bias - mean f)
  const Tensor factor = weight * rsqrt(add(variance, eps));
  return scaled(x, factor, bias - mean * factor);
}

Tensor batch_norm_training(const Tensor& in, const Tensor& weight, const Tensor& bias, float eps, Tensor* mean, Tensor* variance) {
  const Planes p("batch_norm", in);
  check_channels("batch_norm", "weight", weight, p.c);
  check_channels("batch_norm", "bias", bias, p.c);
  require(p.n * p.size > 1, "batch_norm: one value per channel has no variance, x {}", in.shape().str());
  return scaled(normalise(ops::input(in), {p.c, p.n, p.size, p.c * p.size, true}, eps, mean, variance), weight, bias);
}

Tensor group_norm(const Tensor& in, int64_t groups, const Tensor& weight, const Tensor& bias, float eps) {
  const Planes p("group_norm", in);
  require(groups > 0 && p.c % groups == 0, "group_norm: {} channels in {} groups", p.c, groups);
  if (weight.defined()) check_channels("group_norm", "weight", weight, p.c);
  if (bias.defined()) check_channels("group_norm", "bias", bias, p.c);
  const int64_t each = p.c / groups;
  return scaled(normalise(ops::input(in), {p.n * groups, each, p.size, p.size, false}, eps, nullptr, nullptr), weight, bias);
}

namespace {

std::vector<OpSample> batch_samples() {
  return {{"planes", {sample_tensor({2, 3, 4, 5}), sample_tensor({3}, 1), sample_tensor({3}, 2, 1.5f, 0.1f), sample_tensor({3}, 3), sample_tensor({3}, 4)},
           [](const auto& in) { return batch_norm(in[0], in[1], in[2], in[3], in[4], 1e-3f); }}};
}
std::vector<OpSample> training_samples() {
  return {{"planes", {sample_tensor({2, 3, 4, 5}, 0, 1, 2), sample_tensor({3}, 1), sample_tensor({3}, 2)},
           [](const auto& in) { return batch_norm_training(in[0], in[1], in[2], 1e-3f); }}};
}
std::vector<OpSample> group_samples() {
  return {{"two groups", {sample_tensor({2, 6, 3, 2}, 0, 1, 2), sample_tensor({6}, 1), sample_tensor({6}, 2)},
           [](const auto& in) { return group_norm(in[0], 2, in[1], in[2], 1e-3f); }},
          {"a group per channel", {sample_tensor({2, 3, 7}, 0, 1, 2), sample_tensor({3}, 1), sample_tensor({3}, 2)},
           [](const auto& in) { return group_norm(in[0], 3, in[1], in[2], 1e-3f); }}};
}

}  // namespace

extern const OpEntry op_batch_norm{"batch_norm", "x [N, C, ...], mean, variance, weight, bias [C] -> x's shape", "arXiv:1502.03167", batch_samples};
extern const OpEntry op_batch_norm_training{"batch_norm_training", "x [N, C, ...], weight, bias [C] -> x's shape", "arXiv:1502.03167", training_samples};
extern const OpEntry op_group_norm{"group_norm", "x [N, C, ...], weight, bias [C] -> x's shape", "arXiv:1803.08494", group_samples};

}  // namespace mynah
