#include "nn/dropout.h"

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

bool skips_layer(float p) { return drops(p) && uniform(current->seed_, current->next_stream(), 0, RandomPurpose::dropout) < p; }
std::function<double()> draws() {
  MYNAH_CHECK(current != nullptr);
  return [seed = current->seed_, stream = current->next_stream(), next = uint64_t{0}]() mutable {
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
  return mynah::dropout(x, p, current->seed_, current->next_stream());
}

Tensor attention_with_dropout(const Tensor& q, const Tensor& k, const Tensor& v, std::span<const Sequence> sequences, const AttentionConfig& config, float p) {
  if (!drops(p)) return scaled_dot_product_attention(q, k, v, sequences, config);
  AttentionConfig dropping = config;
  dropping.dropout = p;
  dropping.dropout_seed = current->seed_;
  dropping.dropout_stream = current->next_stream();
  return scaled_dot_product_attention(q, k, v, sequences, dropping);
}

}  // namespace mynah::nn
