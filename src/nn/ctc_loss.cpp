#include "nn/ctc_loss.h"

#include <cmath>
#include <limits>

#include "autograd/record.h"
#include "base/require.h"
#include "mynah/ops.h"

namespace mynah::nn {
namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();

double log_add(double a, double b) {
  if (a == kNever) return b;
  if (b == kNever) return a;
  return std::max(a, b) + std::log1p(std::exp(-std::abs(a - b)));
}

// One sequence: labels with blanks around them are states; alpha and beta are log-probabilities of the prefixes and suffixes.
struct Lattice {
  const float* log_probs;
  int64_t time, width;
  const std::vector<int32_t>& labels;
  int32_t blank;
  std::vector<double> alpha, beta;

  int64_t states() const { return 2 * static_cast<int64_t>(labels.size()) + 1; }
  int32_t label(int64_t s) const { return s % 2 == 0 ? blank : labels[static_cast<size_t>(s / 2)]; }
  // A state may be reached from two before it if a blank lies between different labels.
  bool skips(int64_t s) const { return s % 2 == 1 && s > 1 && label(s) != label(s - 2); }
  double emit(int64_t t, int64_t s) const { return log_probs[t * width + label(s)]; }
  double& at(std::vector<double>& table, int64_t t, int64_t s) { return table[static_cast<size_t>(t * states() + s)]; }

  // log P(labels)
  double forward() {
    const int64_t n = states();
    alpha.assign(static_cast<size_t>(time * n), kNever);
    at(alpha, 0, 0) = emit(0, 0);
    if (n > 1) at(alpha, 0, 1) = emit(0, 1);
    for (int64_t t = 1; t < time; ++t)
      for (int64_t s = 0; s < n; ++s) {
        double from = at(alpha, t - 1, s);
        if (s > 0) from = log_add(from, at(alpha, t - 1, s - 1));
        if (skips(s)) from = log_add(from, at(alpha, t - 1, s - 2));
        at(alpha, t, s) = from + emit(t, s);
      }
    return log_add(at(alpha, time - 1, n - 1), n > 1 ? at(alpha, time - 1, n - 2) : kNever);
  }

  // Adds -scale * P(state of label k at t | labels) to gradient[t, k]; forward() came before and gave `total`.
  void backward(double total, double scale, float* gradient) {
    const int64_t n = states();
    beta.assign(static_cast<size_t>(time * n), kNever);
    at(beta, time - 1, n - 1) = 0;
    if (n > 1) at(beta, time - 1, n - 2) = 0;
    for (int64_t t = time - 2; t >= 0; --t)
      for (int64_t s = 0; s < n; ++s) {
        double to = at(beta, t + 1, s) + emit(t + 1, s);
        if (s + 1 < n) to = log_add(to, at(beta, t + 1, s + 1) + emit(t + 1, s + 1));
        if (s + 2 < n && skips(s + 2)) to = log_add(to, at(beta, t + 1, s + 2) + emit(t + 1, s + 2));
        at(beta, t, s) = to;
      }
    for (int64_t t = 0; t < time; ++t)
      for (int64_t s = 0; s < n; ++s) {
        const double both = at(alpha, t, s) + at(beta, t, s);
        if (both != kNever) gradient[t * width + label(s)] -= static_cast<float>(scale * std::exp(both - total));
      }
  }
};

}  // namespace

Tensor ctc_loss(const Tensor& in, int64_t sequences, const std::vector<int64_t>& lengths, const std::vector<std::vector<int32_t>>& labels,
                const CtcOptions& options) {
  const Tensor log_probs = contiguous(in);
  require(log_probs.rank() == 2 && sequences > 0 && log_probs.size(0) % sequences == 0, "ctc_loss: log_probs {} for {} sequences", log_probs.shape().str(), sequences);
  const int64_t rows = log_probs.size(0) / sequences, width = log_probs.size(1);
  require(static_cast<int64_t>(lengths.size()) == sequences && static_cast<int64_t>(labels.size()) == sequences && options.blank >= 0 && options.blank < width,
          "ctc_loss: {} lengths and {} label rows for {} sequences, blank {} of {}", lengths.size(), labels.size(), sequences, options.blank, width);
  double loss = 0;
  std::vector<double> weight(static_cast<size_t>(sequences)), total(static_cast<size_t>(sequences));
  for (int64_t b = 0; b < sequences; ++b) {
    const auto i = static_cast<size_t>(b);
    require(lengths[i] > 0 && lengths[i] <= rows, "ctc_loss: sequence {} has {} frames, expected 1..{}", b, lengths[i], rows);
    for (const int32_t label : labels[i]) require(label >= 0 && label < width, "ctc_loss: a label is {}, expected 0..{}", label, width - 1);
    total[i] = Lattice{log_probs.data<float>() + b * rows * width, lengths[i], width, labels[i], options.blank, {}, {}}.forward();
    weight[i] = options.mean ? 1.0 / (static_cast<double>(sequences) * std::max<double>(1, static_cast<double>(labels[i].size()))) : 1.0;
    if (total[i] == kNever && options.zero_infinity) weight[i] = 0;
    else loss -= weight[i] * total[i];
  }
  return record(Tensor::scalar(static_cast<float>(loss)), {log_probs}, [=, log_probs = log_probs.detach()](const Tensor& g) {
    Tensor d = Tensor::zeros(log_probs.shape());
    for (int64_t b = 0; b < sequences; ++b) {
      const auto i = static_cast<size_t>(b);
      if (weight[i] == 0) continue;
      Lattice l{log_probs.data<float>() + b * rows * width, lengths[i], width, labels[i], options.blank, {}, {}};
      l.forward();
      l.backward(total[i], weight[i] * static_cast<double>(g.item()), d.data<float>() + b * rows * width);
    }
    return Grads{d};
  });
}

}  // namespace mynah::nn
