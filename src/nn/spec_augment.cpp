#include "nn/spec_augment.h"

#include <algorithm>
#include <numeric>

#include "base/require.h"
#include "nn/config.h"
#include "nn/dropout.h"

namespace mynah::nn {

SpecAugment::SpecAugment(const Json& c, bool otherwise)
    : time_{dropout_rate(c, "mask_time_prob", 0.05), config_int(c, "mask_time_length", 10), config_int(c, "mask_time_min_masks", 2, 0)},
      features_{dropout_rate(c, "mask_feature_prob", 0), config_int(c, "mask_feature_length", 10), config_int(c, "mask_feature_min_masks", 0, 0)} {
  if (!config_bool(c, "apply_spec_augment", otherwise)) time_.probability = features_.probability = 0;
}

// The number of spans is rounded up or down by one draw for the whole batch; their first places are distinct, but spans may overlap. A row
// shorter than a span has its last place hidden, which is padding.
std::vector<uint8_t> SpecAugment::Spans::draw(int64_t size, const std::vector<int64_t>& lengths) const {
  if (!drops(static_cast<float>(probability)) || length > size) return {};
  auto next = draws();
  const double rounding = next();
  const auto spans_of = [&](int64_t n) {
    int64_t spans = std::max(static_cast<int64_t>(probability * static_cast<double>(n) / static_cast<double>(length) + rounding), fewest);
    if (spans * length > size) spans = size / length;
    return std::min(spans, std::max<int64_t>(0, n - (length - 1)));
  };
  if (spans_of(size) == 0) return {};
  std::vector<uint8_t> hidden(lengths.size() * static_cast<size_t>(size));
  for (size_t row = 0; row < lengths.size(); ++row) {
    uint8_t* to = hidden.data() + row * static_cast<size_t>(size);
    const int64_t spans = spans_of(lengths[row]), places = lengths[row] - (length - 1);
    if (spans == 0) to[size - 1] = 1;
    std::vector<int64_t> firsts(static_cast<size_t>(std::max<int64_t>(0, places)));
    std::iota(firsts.begin(), firsts.end(), 0);
    for (int64_t i = 0; i < spans; ++i) {
      const int64_t chosen = i + std::min(places - i - 1, static_cast<int64_t>(next() * static_cast<double>(places - i)));
      std::swap(firsts[static_cast<size_t>(i)], firsts[static_cast<size_t>(chosen)]);
      std::fill_n(to + firsts[static_cast<size_t>(i)], length, uint8_t{1});
    }
  }
  return hidden;
}

std::vector<uint8_t> SpecAugment::hidden_moments(int64_t steps, const std::vector<int64_t>& lengths) const { return time_.draw(steps, lengths); }

std::vector<uint8_t> SpecAugment::hidden_features(int64_t rows, int64_t features) const {
  return features_.draw(features, std::vector<int64_t>(static_cast<size_t>(rows), features));
}

}  // namespace mynah::nn
