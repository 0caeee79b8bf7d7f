#include "tasks/scores.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "nn/head_kind.h"

namespace mynah::tasks {

std::string label_name(const bundle::Bundle& b, int64_t index) { return nn::label_name(b.config, index); }

std::vector<float> softmax(std::span<const float> logits) {
  std::vector<float> out(logits.begin(), logits.end());
  if (out.empty()) return out;
  const float most = *std::max_element(out.begin(), out.end());
  float sum = 0;
  for (float& x : out) sum += x = std::exp(x - most);
  for (float& x : out) x /= sum;
  return out;
}

size_t argmax(std::span<const float> values) { return static_cast<size_t>(std::max_element(values.begin(), values.end()) - values.begin()); }

std::vector<size_t> largest(std::span<const float> values, size_t k) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  k = std::min(k, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<long>(k), order.end(),
                    [&](size_t a, size_t b) { return values[a] != values[b] ? values[a] > values[b] : a < b; });
  order.resize(k);
  return order;
}

bool to_unit_length(std::span<float> vector) {
  double sum = 0;
  for (const float x : vector) sum += static_cast<double>(x) * static_cast<double>(x);
  if (sum <= 0 || !std::isfinite(sum)) return false;
  const auto scale = static_cast<float>(1 / std::sqrt(sum));
  for (float& x : vector) x *= scale;
  return true;
}

}  // namespace mynah::tasks
