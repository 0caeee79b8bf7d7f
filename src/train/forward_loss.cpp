#include "train/forward_loss.h"

#include <algorithm>

#include "mynah/ops.h"

namespace mynah::train {
namespace {

template <class Value>
Tensor table(const std::vector<std::vector<int32_t>>& rows, int64_t padding, Value&& value) {
  size_t longest = 1;
  for (const auto& row : rows) longest = std::max(longest, row.size());
  std::vector<int64_t> values(rows.size() * longest, padding);
  for (size_t r = 0; r < rows.size(); ++r)
    for (size_t t = 0; t < rows[r].size(); ++t) values[r * longest + t] = value(rows[r][t]);
  return Tensor::from(std::span<const int64_t>(values), {static_cast<int64_t>(rows.size()), static_cast<int64_t>(longest)});
}

}  // namespace

Tensor padded(const std::vector<std::vector<int32_t>>& rows, int32_t padding) {
  return table(rows, padding, [](int32_t v) { return static_cast<int64_t>(v); });
}
Tensor padding_mask(const std::vector<std::vector<int32_t>>& rows) {
  return table(rows, 0, [](int32_t) { return int64_t{1}; });
}

Tensor forward_loss(const nn::Model& network, const ForwardBatch& batch, const Share& share) {
  if (batch.targets <= 0) return Tensor::scalar(0);
  return network.forward(batch.inputs, {.only_loss = true}).at("loss") * static_cast<float>(batch.targets / share.targets);
}

}  // namespace mynah::train
