#include "models/experts.h"

#include <algorithm>
#include <numeric>

#include "base/require.h"

namespace mynah {
namespace {

// The `count` largest entries of each row [N, E], largest first, lowest index on ties: flat indices, row by row.
std::vector<int64_t> largest(const Tensor& scores, int64_t count) {
  const auto values = scores.to_vector();
  const int64_t n = scores.size(0), e = scores.size(1);
  std::vector<int64_t> order(static_cast<size_t>(e)), chosen;
  for (int64_t row = 0; row < n; ++row) {
    std::iota(order.begin(), order.end(), row * e);
    std::partial_sort(order.begin(), order.begin() + count, order.end(), [&](int64_t a, int64_t b) {
      const float x = values[static_cast<size_t>(a)], y = values[static_cast<size_t>(b)];
      return x > y || (x == y && a < b);
    });
    chosen.insert(chosen.end(), order.begin(), order.begin() + count);
  }
  return chosen;
}

}  // namespace

Experts::Experts(const ExpertsConfig& config, const nn::Weights& w, nn::Init init)
    : c_(config), router_(w, "gate", config.hidden_size, config.count, init, false) {
  require(c_.per_token <= c_.count, "config.json: {} experts for each token, there are {}", c_.per_token, c_.count);
  for (int64_t e = 0; e < c_.count; ++e) {
    const nn::Weights at = w / "experts" / e;
    experts_.push_back({nn::JoinedLinear(at, {c_.gate_name, c_.up_name}, c_.hidden_size, {c_.intermediate_size, c_.intermediate_size}, init, false),
                        nn::Linear(at, c_.down_name, c_.intermediate_size, c_.hidden_size, init, false)});
  }
}

Tensor Experts::forward(const Tensor& x, const nn::TokenBatch& batch) const {
  const int64_t n = x.size(0), k = c_.per_token, e = c_.count;
  const Tensor logits = router_(x);
  if (batch.router_logits) batch.router_logits->push_back(logits);
  const Tensor probabilities = softmax(logits);
  const std::vector<int64_t> chosen = largest(probabilities, k);  // [N * k], entry = row * E + expert
  Tensor weights = reshape(index_rows(reshape(probabilities, {n * e, 1}), chosen), {n, k, 1});
  if (c_.normalise) weights = weights / sum(weights, 1, true);

  // Rows sorted by expert go through their expert together; `place` says where each choice went.
  std::vector<Tensor> outputs;
  std::vector<int64_t> place(chosen.size());
  int64_t at = 0;
  for (int64_t expert = 0; expert < e; ++expert) {
    std::vector<int64_t> rows;
    for (size_t i = 0; i < chosen.size(); ++i)
      if (chosen[i] % e == expert) {
        rows.push_back(chosen[i] / e);
        place[i] = at++;
      }
    if (rows.empty()) continue;
    const Expert& part = experts_[static_cast<size_t>(expert)];
    outputs.push_back(part.down(part.gate_up.gated(index_rows(x, rows), c_.hidden_act)));
  }
  const Tensor all = index_rows(outputs.size() == 1 ? outputs[0] : cat(outputs, 0), place);
  return sum(reshape(all, {n, k, x.size(1)}) * weights, 1);
}

Tensor balance_loss(const std::vector<Tensor>& router_logits, int64_t per_token, const std::vector<uint8_t>& key_mask) {
  require(!router_logits.empty(), "forward: no layer of this model has a router, so there is no aux_loss");
  const Tensor probabilities = softmax(cat(router_logits, 0));
  const int64_t n = probabilities.size(0), e = probabilities.size(1);
  std::vector<float> seen(static_cast<size_t>(n), 1.0f), share(static_cast<size_t>(e));
  for (size_t i = 0; !key_mask.empty() && i < seen.size(); ++i) seen[i] = key_mask[i % key_mask.size()] != 0;
  const float total = std::accumulate(seen.begin(), seen.end(), 0.0f);
  for (const int64_t entry : largest(probabilities, per_token))
    share[static_cast<size_t>(entry % e)] += seen[static_cast<size_t>(entry / e)] / total;
  const Tensor mask = Tensor::from(std::span<const float>(seen), {n, 1}), shares = Tensor::from(std::span<const float>(share), {e});
  return sum(sum(probabilities * mask, 0) * shares) * (static_cast<float>(e) / total);
}

}  // namespace mynah
