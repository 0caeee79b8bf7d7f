// Norms over channels of planes: batch norm and group norm.
#include <cmath>

#include "kernels/rows.h"
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

// Normalises groups of planes that share statistics. A unit is a set of segments of `length` elements, each `stride` apart,
// starting at start(unit): for batch norm a channel of every image, for group norm some channels of one image.
struct Units {
  int64_t count, segments, length, stride;
  bool batch;  // unit u starts at plane u; otherwise units follow one another
  int64_t start(int64_t u) const { return batch ? u * length : u * segments * length; }
  int64_t elements() const { return segments * length; }
};

// f(offset) of every segment of a unit.
template <class F>
void each_segment(const Units& u, int64_t unit, const F& f) {
  for (int64_t s = 0; s < u.segments; ++s) f(u.start(unit) + s * u.stride);
}

Tensor normalise(const Tensor& x, const Units& u, float eps, Tensor* mean_out, Tensor* variance_out) {
  Tensor y = Tensor::empty(x.shape()), mean = Tensor::empty({u.count}), variance = Tensor::empty({u.count});
  const auto elements = static_cast<double>(u.elements());
  parallel_for(u.count, ops::row_grain(u.elements()), [&, in = x.data<float>(), out = y.data<float>(), means = mean.data<float>(), variances = variance.data<float>()](int64_t unit, int64_t end) {
    const kernels::RowsTable& rows = kernels::rows();
    for (; unit < end; ++unit) {
      double total = 0, squares = 0;
      each_segment(u, unit, [&](int64_t at) { total += rows.sum(in + at, u.length); });
      const auto m = static_cast<float>(total / elements);
      each_segment(u, unit, [&](int64_t at) {
        rows.binary_scalar(kernels::Binary::sub, in + at, m, out + at, u.length);
        squares += rows.sum_squares(out + at, u.length);
      });
      const double v = squares / elements;
      means[unit] = m;
      variances[unit] = static_cast<float>(v);
      each_segment(u, unit, [&](int64_t at) { rows.scale(static_cast<float>(1 / std::sqrt(v + eps)), out + at, out + at, u.length); });
    }
  });
  if (mean_out) *mean_out = mean;
  if (variance_out) *variance_out = variance;
  // With z the result: dx = (g - mean(g) - z mean(g z)) / sqrt(v + eps).
  return record(y, {x}, [=, z = y.detach()](const Tensor& g) {
    Tensor dx = Tensor::empty(z.shape());
    parallel_for(u.count, ops::row_grain(u.elements()), [&, gs = g.data<float>(), zs = z.data<float>(), out = dx.data<float>(), variances = variance.data<float>()](int64_t unit, int64_t end) {
      const kernels::RowsTable& rows = kernels::rows();
      for (; unit < end; ++unit) {
        double sum_g = 0, sum_gz = 0;
        each_segment(u, unit, [&](int64_t at) {
          sum_g += rows.sum(gs + at, u.length);
          sum_gz += rows.dot(gs + at, zs + at, u.length);
        });
        const double scale = 1 / std::sqrt(static_cast<double>(variances[unit]) + eps);
        const auto a = static_cast<float>(-sum_g / elements * scale), b = static_cast<float>(-sum_gz / elements * scale);
        each_segment(u, unit, [&](int64_t at) {
          rows.scale(static_cast<float>(scale), gs + at, out + at, u.length);
          rows.axpy(b, zs + at, out + at, u.length);
          rows.shift(nullptr, a, false, out + at, u.length);
        });
      }
    });
    return Grads{dx};
  });
}

// z [N,C,...] with a factor and a term for each channel, either of which may be undefined.
Tensor scaled(const Tensor& in, const Tensor& factor, const Tensor& term) {
  if (!factor.defined() && !term.defined()) return in;
  const Tensor z = ops::input(in), weight = factor.defined() ? ops::input(factor) : Tensor(), bias = term.defined() ? ops::input(term) : Tensor();
  const Planes p("norm", z);
  Tensor y = Tensor::empty(z.shape());
  const auto of = [](const Tensor& t, int64_t channel, float otherwise) { return t.defined() ? t.data<float>()[channel] : otherwise; };
  parallel_for(p.n * p.c, ops::row_grain(p.size), [&, from = z.data<float>(), to = y.data<float>()](int64_t plane, int64_t end) {
    for (; plane < end; ++plane) {
      kernels::rows().scale(of(weight, plane % p.c, 1), from + plane * p.size, to + plane * p.size, p.size);
      kernels::rows().shift(nullptr, of(bias, plane % p.c, 0), false, to + plane * p.size, p.size);
    }
  });
  std::vector<Tensor> inputs{z};
  for (const Tensor& t : {weight, bias})
    if (t.defined()) inputs.push_back(t);
  return record(y, inputs, [=, want_z = z.requires_grad(), z = z.detach(), weight = weight.defined() ? weight.detach() : Tensor(), biased = bias.defined()](const Tensor& g) {
    Tensor dz = want_z ? Tensor::empty(z.shape()) : Tensor(), dweight = weight.defined() ? Tensor::empty({p.c}) : Tensor(), dbias = biased ? Tensor::empty({p.c}) : Tensor();
    parallel_for(p.c, ops::row_grain(p.n * p.size), [&, gs = g.data<float>(), zs = z.data<float>()](int64_t channel, int64_t end) {
      const kernels::RowsTable& rows = kernels::rows();
      for (; channel < end; ++channel) {
        double sum_g = 0, sum_gz = 0;
        for (int64_t n = 0; n < p.n; ++n) {
          const int64_t at = (n * p.c + channel) * p.size;
          if (biased) sum_g += rows.sum(gs + at, p.size);
          if (weight.defined()) sum_gz += rows.dot(gs + at, zs + at, p.size);
          if (want_z) rows.scale(of(weight, channel, 1), gs + at, dz.data<float>() + at, p.size);
        }
        if (weight.defined()) dweight.data<float>()[channel] = static_cast<float>(sum_gz);
        if (biased) dbias.data<float>()[channel] = static_cast<float>(sum_g);
      }
    });
    Grads grads{dz};
    if (weight.defined()) grads.push_back(dweight);
    if (biased) grads.push_back(dbias);
    return grads;
  });
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
