#include "nn/dropout.h"

#include <cmath>
#include <limits>
#include <memory>
#include <utility>

#include "base/random.h"
#include "base/require.h"
#include "mynah/autograd.h"
#include "nn/config.h"

namespace mynah::nn {
namespace {
thread_local Training* current = nullptr;
}

Training::Training(uint64_t seed, uint64_t step, bool recomputes, bool drops) : seed_(seed), step_(step), recomputes_(recomputes), drops_(drops), before_(current) {
  current = this;
}
Training::~Training() { current = before_; }

float dropout_rate(const Json& config, const char* key, double otherwise) {
  const bool given = config.contains(key) && !config[key].is_null();
  const double p = given ? config_number(config, key, otherwise) : otherwise;
  require(p >= 0 && p < 1, "config.json: {} is {}, expected 0 or more and below 1", key, p);
  return static_cast<float>(p);
}

bool training() { return current != nullptr; }
bool drops(float p) { return current && current->drops_ && p > 0; }
Tensor drop_path(const Tensor& x, int64_t samples, float p) {
  if (!drops(p)) return x;
  return reshape(reshape(x, {samples, x.numel() / samples}) * dropout(Tensor::full({samples, 1}, 1), p), x.shape());
}

bool skips_layer(float p) { return drops(p) && uniform(current->seed_, current->step_ << 20 | current->calls_++, 0, RandomPurpose::dropout) < p; }
std::function<double()> draws() {
  MYNAH_CHECK(current != nullptr);
  return [seed = current->seed_, stream = current->step_ << 20 | current->calls_++, next = uint64_t{0}]() mutable {
    return static_cast<double>(uniform(seed, stream, next++, RandomPurpose::dropout));
  };
}
bool recomputes() { return current && current->recomputes_ && grad_enabled(); }

Tensor recomputed(std::function<Tensor(const std::vector<Tensor>&)> f, const std::vector<Tensor>& inputs) {
  if (!recomputes()) return f(inputs);
  // Masks count calls: the second pass begins with the number that the first one began with.
  const auto calls = std::make_shared<uint64_t>(current->calls_);
  const auto again = [f = std::move(f), seed = current->seed_, step = current->step_, first = current->calls_, drops = current->drops_, calls](const std::vector<Tensor>& in) {
    Training scope(seed, step, false, drops);
    scope.calls_ = first;
    Tensor y = f(in);
    *calls = scope.calls_;
    return y;
  };
  const Tensor y = checkpoint(again, inputs);
  current->calls_ = *calls;
  current->recomputed_any_ = true;
  return y;
}

Tensor dropout(const Tensor& x, float p) {
  if (!drops(p)) return x;
  return mynah::dropout(x, p, current->seed_, current->step_ << 20 | current->calls_++);
}

namespace {

// 0 where query i may see key j, -infinity elsewhere: [Tq, Tk].
Tensor visible(const Sequence& s, const AttentionConfig& c) {
  std::vector<float> mask(static_cast<size_t>(s.q_count * s.k_count));
  for (int64_t i = 0; i < s.q_count; ++i)
    for (int64_t j = 0; j < s.k_count; ++j) {
      const int64_t at = s.k_count - s.q_count + i;  // the query's place among the keys
      const bool hidden = (c.causal && j > at) || (c.window > 0 && (j <= at - c.window || (!c.causal && j >= at + c.window))) ||
                          (!c.key_mask.empty() && c.key_mask[static_cast<size_t>(s.k_begin + j)] == 0);
      if (hidden) mask[static_cast<size_t>(i * s.k_count + j)] = -std::numeric_limits<float>::max();
    }
  return Tensor::from(mask, {s.q_count, s.k_count});
}

// distance_bias [H, 2R - 1] -> [H, Tq, Tk]
Tensor by_distance(const Tensor& bias, const Sequence& s) {
  const int64_t reach = (bias.size(1) + 1) / 2;
  std::vector<int64_t> columns;
  for (int64_t i = 0; i < s.q_count; ++i)
    for (int64_t j = 0; j < s.k_count; ++j) columns.push_back(j - (s.k_count - s.q_count + i) + reach - 1);
  const Tensor picked = index_rows(contiguous(transpose(bias, 0, 1)), columns);  // [Tq Tk, H]
  return reshape(contiguous(transpose(picked, 0, 1)), {bias.size(0), s.q_count, s.k_count});
}

// The bias of one sequence [H, Tq or 1, Tk]; tables for a whole batch are as wide as its longest sequence.
Tensor bias_of(const Tensor& bias, int64_t sequence, const Sequence& s) {
  Tensor b = bias.rank() == 4 ? select(bias, 0, bias.size(0) == 1 ? 0 : sequence) : bias;
  if (b.size(1) > s.q_count) b = narrow(b, 1, 0, s.q_count);
  return b.size(2) > s.k_count ? narrow(b, 2, 0, s.k_count) : b;
}

// Rows [count, H, D] of one sequence as [H, count, D]; key heads are repeated for the query heads that share them.
Tensor heads_first(const Tensor& x, int64_t begin, int64_t count, int64_t heads) {
  const Tensor rows = contiguous(transpose(narrow(x, 0, begin, count), 0, 1));
  if (rows.size(0) == heads) return rows;
  std::vector<int64_t> which;
  for (int64_t h = 0; h < heads; ++h) which.push_back(h / (heads / rows.size(0)));
  return index_rows(rows, which);
}

}  // namespace

Tensor attention_with_dropout(const Tensor& q, const Tensor& k, const Tensor& v, std::span<const Sequence> sequences, const AttentionConfig& c, float p) {
  if (!drops(p)) return scaled_dot_product_attention(q, k, v, sequences, c);
  require(c.alibi.empty(), "attention: dropout of the weights together with ALiBi is not supported; set it to 0");
  const int64_t heads = q.size(1), d = q.size(2);
  const float scale = c.scale != 0 ? c.scale : 1 / std::sqrt(static_cast<float>(d));
  std::vector<Tensor> outs;
  for (size_t i = 0; i < sequences.size(); ++i) {
    const Sequence& s = sequences[i];
    const Tensor qs = heads_first(q, s.q_begin, s.q_count, heads), ks = heads_first(k, s.k_begin, s.k_count, heads), vs = heads_first(v, s.k_begin, s.k_count, heads);
    Tensor scores = matmul(qs, contiguous(transpose(ks, 1, 2))) * scale;
    if (c.softcap > 0) scores = softcap(scores, c.softcap);
    if (c.bias.defined()) scores = scores + bias_of(c.bias, static_cast<int64_t>(i), s);
    if (c.distance_bias.defined()) scores = scores + by_distance(c.distance_bias, s);
    const Tensor weights = dropout(softmax(scores + visible(s, c)), p);
    outs.push_back(contiguous(transpose(matmul(weights, vs), 0, 1)));
  }
  return outs.size() == 1 ? outs[0] : cat(outs, 0);
}

}  // namespace mynah::nn
