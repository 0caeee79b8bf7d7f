#include "train/lm.h"

#include <algorithm>
#include <cmath>

#include "base/require.h"
#include "base/thread_pool.h"
#include "autograd/record.h"
#include "kernels/rows.h"
#include "mynah/ops.h"

namespace mynah::train {
namespace {

constexpr int64_t kMostLogits = int64_t{1} << 24;  // floats of logits that may exist at once

// Rows of hidden [N, C] with a target, and the targets.
struct Counted {
  Tensor hidden;
  std::vector<int64_t> targets;
};

std::vector<int64_t> rows_with_target(std::span<const int32_t> targets) {
  std::vector<int64_t> rows;
  for (size_t i = 0; i < targets.size(); ++i)
    if (targets[i] != kIgnored) rows.push_back(static_cast<int64_t>(i));
  return rows;
}

Counted counted_rows(const Tensor& hidden, std::span<const int32_t> targets) {
  const std::vector<int64_t> rows = rows_with_target(targets);
  require(hidden.size(0) == static_cast<int64_t>(targets.size()) || hidden.size(0) == static_cast<int64_t>(rows.size()), "loss: {} rows, {} targets", hidden.size(0), targets.size());
  Counted out{nn::wanted_rows(hidden, rows), {}};
  for (const int64_t row : rows) out.targets.push_back(targets[static_cast<size_t>(row)]);
  return out;
}

// The batch, of which rows with a target are read.
nn::TokenBatch read_for_targets(const PackedRows& rows) {
  nn::TokenBatch batch = rows.batch;
  if (std::vector<int64_t> wanted = rows_with_target(rows.targets); !wanted.empty() && wanted.size() < rows.targets.size()) batch.read = std::move(wanted);
  return batch;
}

// Adds entropy and argmax hits of rows of logits [n, V].
void add_stats(const Tensor& logits, std::span<const int64_t> targets, TokenStats* stats) {
  if (!stats) return;
  const int64_t n = logits.size(0), v = logits.size(1);
  const Tensor x = contiguous(logits.detach());
  const size_t first = stats->entropy.size();
  stats->entropy.resize(first + static_cast<size_t>(n));
  stats->mean_logit.resize(first + static_cast<size_t>(n));
  stats->correct.resize(first + static_cast<size_t>(n));
  stats->log_sum_squares.resize(first + static_cast<size_t>(n));
  parallel_for(n, std::max<int64_t>(1, (1 << 15) / v), [&](int64_t r, int64_t end) {
    for (; r < end; ++r) {
      const kernels::LogitStats row = kernels::rows().logit_stats(x.data<float>() + r * v, v);
      const size_t at = first + static_cast<size_t>(r);
      stats->entropy[at] = static_cast<float>(row.entropy);
      stats->mean_logit[at] = static_cast<float>(row.mean);
      stats->log_sum_squares[at] = static_cast<float>(row.log_sum_squares);
      stats->correct[at] = row.best == targets[static_cast<size_t>(r)];
    }
  });
}

template <class T>
double mean_of(const std::vector<T>& values, size_t begin, size_t end) {
  end = std::min(end, values.size());
  double sum = 0;
  for (size_t i = begin; i < end; ++i) sum += values[i];
  return end > begin ? sum / static_cast<double>(end - begin) : 0;
}

Tensor as_tensor(std::span<const int64_t> targets) { return Tensor::from(targets, {static_cast<int64_t>(targets.size())}); }

// Calls piece(first row, rows) for pieces of n rows whose logits are not too many.
template <class F>
void in_pieces(int64_t n, int64_t vocabulary, F&& piece) {
  const int64_t most = std::max<int64_t>(1, kMostLogits / vocabulary);
  for (int64_t first = 0; first < n; first += most) piece(first, std::min(most, n - first));
}

}  // namespace

double TokenStats::mean_entropy(size_t begin, size_t end) const { return mean_of(entropy, begin, end); }
double TokenStats::mean_of_logits(size_t begin, size_t end) const { return mean_of(mean_logit, begin, end); }
double TokenStats::accuracy(size_t begin, size_t end) const { return mean_of(correct, begin, end); }

void PackedRows::add(std::span<const int32_t> ids, std::span<const int32_t> labels, int32_t first_position) {
  MYNAH_CHECK(ids.size() == labels.size() && !ids.empty());
  batch.ids.insert(batch.ids.end(), ids.begin(), ids.end());
  for (size_t i = 0; i < ids.size(); ++i) batch.positions.push_back(first_position + static_cast<int32_t>(i));
  batch.lengths.push_back(static_cast<int64_t>(ids.size()));
  targets.insert(targets.end(), labels.begin() + 1, labels.end());
  targets.push_back(kIgnored);
}

int64_t PackedRows::counted() const {
  return static_cast<int64_t>(targets.size()) - std::count(targets.begin(), targets.end(), kIgnored);
}

Tensor head_loss(const nn::CausalLM& lm, const Tensor& hidden, std::span<const int32_t> targets, double denominator, TokenStats* stats) {
  const Counted counted = counted_rows(hidden, targets);
  const auto n = static_cast<int64_t>(counted.targets.size());
  if (n == 0) return Tensor::scalar(0);
  const std::span<const int64_t> all = counted.targets;
  const auto loss_of = [&](const Tensor& rows, std::span<const int64_t> wanted) {
    const Tensor logits = lm.head(rows);
    add_stats(logits, wanted, stats);
    return cross_entropy(logits, as_tensor(wanted), kIgnored, static_cast<float>(denominator));
  };
  if (n * lm.vocabulary_size() <= kMostLogits) return loss_of(counted.hidden, all);
  const bool learns = tracked({&counted.hidden});
  const Tensor x = contiguous(counted.hidden);
  Tensor dx = learns ? Tensor::empty(x.shape()) : Tensor();
  double total = 0;
  in_pieces(n, lm.vocabulary_size(), [&](int64_t first, int64_t count) {
    const Tensor rows = narrow(x.detach(), 0, first, count);
    const auto wanted = all.subspan(static_cast<size_t>(first), static_cast<size_t>(count));
    if (!learns) {
      total += loss_of(rows, wanted).item();
      return;
    }
    const Tensor leaf = requires_grad(rows);
    const Tensor part = loss_of(leaf, wanted);
    total += part.item();
    backward(part);
    const Tensor g = grad(leaf);
    std::copy_n(g.data<float>(), g.numel(), dx.data<float>() + first * x.size(1));
  });
  return record(Tensor::scalar(static_cast<float>(total)), {x}, [dx](const Tensor& g) {
    MYNAH_CHECK(g.item() == 1.0f);
    return Grads{dx};
  });
}

Tensor lm_loss(const nn::CausalLM& lm, const PackedRows& rows, double denominator, TokenStats* stats) {
  return head_loss(lm, lm.body(read_for_targets(rows), nullptr), rows.targets, denominator, stats);
}

Tensor head_log_probs(const nn::CausalLM& lm, const Tensor& hidden, std::span<const int32_t> targets, float temperature, TokenStats* stats) {
  const Counted counted = counted_rows(hidden, targets);
  const auto n = static_cast<int64_t>(counted.targets.size());
  const auto log_probs = [&lm, temperature, stats](const Tensor& rows, std::span<const int64_t> wanted) {
    Tensor logits = lm.head(rows);
    if (temperature != 1) logits = logits * (1 / temperature);
    add_stats(logits, wanted, stats);
    return token_log_probs(logits, wanted);
  };
  if (n == 0) return Tensor::zeros({0});
  const std::span<const int64_t> all = counted.targets;
  if (n * lm.vocabulary_size() <= kMostLogits) return log_probs(counted.hidden, all);
  std::vector<Tensor> parts;
  in_pieces(n, lm.vocabulary_size(), [&](int64_t first, int64_t count) {
    const auto wanted = all.subspan(static_cast<size_t>(first), static_cast<size_t>(count));
    const std::vector<int64_t> kept(wanted.begin(), wanted.end());
    const auto again = [&lm, kept, temperature](const std::vector<Tensor>& in) {
      const Tensor logits = lm.head(in[0]);
      return token_log_probs(temperature != 1 ? logits * (1 / temperature) : logits, kept);
    };
    if (stats) {
      NoGrad no_grad;
      log_probs(narrow(counted.hidden.detach(), 0, first, count), wanted);
    }
    parts.push_back(checkpoint(again, {narrow(counted.hidden, 0, first, count)}));
  });
  return cat(parts, 0);
}

Body lm_body(const nn::CausalLM& lm, const PackedRows& rows) {
  nn::TokenBatch batch = read_for_targets(rows);
  std::vector<Tensor> router_logits;
  batch.router_logits = &router_logits;
  Body body{lm.body(batch, nullptr), {}};
  if (const Tensor balance = lm.auxiliary_loss(batch); balance.defined()) {
    body.balance = balance * lm.auxiliary_weight();
    body.auxiliary = balance.item();
  }
  return body;
}

void tell_balance(const Body& body, Metrics* metrics) {
  if (body.balance.defined()) metrics->add("aux_loss", body.auxiliary);
}

Tensor with_balance(const Tensor& loss, const Body& body, double parts) {
  return body.balance.defined() ? loss + body.balance * static_cast<float>(1 / parts) : loss;
}

Tensor group_sums(const Tensor& values, std::span<const int64_t> sizes) {
  std::vector<Tensor> sums;
  int64_t at = 0;
  for (const int64_t size : sizes) {
    sums.push_back(size > 0 ? reshape(sum(narrow(values, 0, at, size)), {1}) : Tensor::zeros({1}));
    at += size;
  }
  MYNAH_CHECK(at == values.numel());
  return cat(sums, 0);
}

Tensor lm_log_probs(const nn::CausalLM& lm, const PackedRows& rows, float temperature, TokenStats* stats) {
  return head_log_probs(lm, lm.body(read_for_targets(rows), nullptr), rows.targets, temperature, stats);
}

}  // namespace mynah::train
