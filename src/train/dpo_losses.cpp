// The losses of pairs that TRL knows, from summed log-probabilities. Sources: DPO arXiv:2305.18290, IPO 2310.12036, SLiC 2305.10425 (hinge),
// cDPO/robust 2403.00409, EXO 2402.00856, NCA 2402.05369, BCO 2404.04656, SPPO 2405.00675, AOT 2406.05882, APO 2408.06266, DiscoPOP 2406.08414.
#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "base/require.h"
#include "mynah/ops.h"
#include "train/preference.h"

namespace mynah::train {
namespace {

Tensor values(const std::vector<int64_t>& counts) {
  std::vector<float> v;
  for (const int64_t c : counts) v.push_back(static_cast<float>(std::max<int64_t>(1, c)));
  return Tensor::from(v, {static_cast<int64_t>(v.size())});
}

Tensor sorted(const Tensor& x) {
  std::vector<int64_t> order(static_cast<size_t>(x.numel()));
  std::iota(order.begin(), order.end(), 0);
  const Tensor v = contiguous(x.detach());
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return v.data<float>()[a] < v.data<float>()[b]; });
  return index_rows(x, order);
}

// What a divergence makes of a log ratio.
Tensor score(const PreferenceOptions& o, const Tensor& log_ratio) {
  if (o.f_divergence_type == "reverse_kl") return log_ratio;
  if (o.f_divergence_type == "forward_kl") return add(neg(exp(neg(log_ratio))), 1.0f);
  if (o.f_divergence_type == "js_divergence") return add(log_sigmoid(log_ratio), static_cast<float>(std::numbers::ln2));
  if (o.f_divergence_type == "alpha_divergence") {
    const auto power = static_cast<float>(o.f_alpha_divergence_coef - 1);
    if (std::abs(power) < 1e-6f) return log_ratio;
    constexpr float kMostExponent = 80;
    return add(exp(minimum(log_ratio * power, Tensor::scalar(kMostExponent))), -1.0f) * (1 / power);
  }
  fail(ErrorCode::usage, "--f-divergence-type: \"{}\", expected reverse_kl, forward_kl, js_divergence or alpha_divergence", o.f_divergence_type);
}

}  // namespace

Tensor log_sigmoid(const Tensor& x) {
  return minimum(x, Tensor::scalar(0)) - log(add(exp(neg(abs(x))), 1.0f));
}

Tensor dpo_losses(const std::string& type, const PreferenceOptions& o, const DpoScores& s) {
  const auto beta = static_cast<float>(o.beta), epsilon = static_cast<float>(o.label_smoothing);
  const Tensor c = s.chosen - s.ref_chosen, r = s.rejected - s.ref_rejected;  // log ratios
  const Tensor fc = score(o, c), fr = score(o, r), delta = (fc - fr) * beta;
  const auto one_minus = [](const Tensor& x) { return add(neg(x), 1.0f); };
  const auto both_ways = [&](const Tensor& x) {
    return neg(log_sigmoid(x)) * (1 - epsilon) - log_sigmoid(neg(x)) * epsilon;
  };
  if (type == "sigmoid") return neg(log_sigmoid(delta));
  if (type == "hinge") return relu(one_minus(delta));
  if (type == "ipo") return square(add(fc / values(s.chosen_tokens) - fr / values(s.rejected_tokens), -1 / (2 * beta)));
  if (type == "sigmoid_norm") return neg(log_sigmoid((fc / values(s.chosen_tokens) - fr / values(s.rejected_tokens)) * beta));
  if (type == "exo_pair") {
    if (epsilon <= 0) fail(ErrorCode::usage, "--loss-type exo_pair: needs --label-smoothing above 0");
    return sigmoid(delta) * add(log_sigmoid(delta), -std::log1p(-epsilon)) + sigmoid(neg(delta)) * add(log_sigmoid(neg(delta)), -std::log(epsilon));
  }
  if (type == "nca_pair") return neg(log_sigmoid(c * beta)) - log_sigmoid(neg(c) * beta) * 0.5f - log_sigmoid(neg(r) * beta) * 0.5f;
  if (type == "robust") return (neg(log_sigmoid(delta)) * (1 - epsilon) + log_sigmoid(neg(delta)) * epsilon) * (1 / (1 - 2 * epsilon));
  if (type == "bco_pair") return neg(log_sigmoid(c * beta)) - log_sigmoid(neg(r) * beta);
  if (type == "sppo_hard") return square(add(c, -0.5f / beta)) + square(add(r, 0.5f / beta));
  if (type == "aot") return both_ways((sorted(s.chosen - s.rejected) - sorted(s.ref_chosen - s.ref_rejected)) * beta);
  if (type == "aot_unpaired") return both_ways((sorted(c) - sorted(r)) * beta);
  if (type == "apo_zero") return one_minus(sigmoid(c * beta)) + sigmoid(r * beta);
  if (type == "apo_down") return sigmoid(c * beta) + one_minus(sigmoid((c - r) * beta));
  if (type == "discopop") {
    const Tensor share = sigmoid(delta * static_cast<float>(1 / o.discopop_tau));
    return neg(log_sigmoid(delta)) * one_minus(share) + exp(neg(delta)) * share;
  }
  if (type == "sft") return reshape(neg(mean(s.chosen_per_token)), {1});
  fail(ErrorCode::usage,
       "--loss-type: \"{}\", expected sigmoid, hinge, ipo, exo_pair, nca_pair, robust, bco_pair, sppo_hard, aot, aot_unpaired, apo_zero, apo_down, "
       "discopop, sft or sigmoid_norm",
       type);
}

}  // namespace mynah::train
