#include "tasks/scores.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace mynah::tasks {

std::string label_name(const bundle::Bundle& b, int64_t index) {
  const std::string key = std::to_string(index);
  if (const auto it = b.config.find("id2label"); it != b.config.end() && it->is_object() && it->contains(key) && (*it)[key].is_string())
    return (*it)[key].get<std::string>();
  return "LABEL_" + key;
}

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

}  // namespace mynah::tasks
