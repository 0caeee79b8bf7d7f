#include "nn/sinusoids.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace mynah::nn {

Tensor sinusoids(std::span<const int32_t> positions, int64_t size) {
  Tensor table = Tensor::empty({static_cast<int64_t>(positions.size()), size});
  float* row = table.data<float>();
  const int64_t sines = (size + 1) / 2;
  for (const int32_t p : positions) {
    for (int64_t i = 0; i < sines; ++i) {
      const double angle = p / std::pow(10000.0, 2 * static_cast<double>(i) / static_cast<double>(size));
      row[i] = static_cast<float>(std::sin(angle));
      if (sines + i < size) row[sines + i] = static_cast<float>(std::cos(angle));
    }
    row += size;
  }
  return table;
}

Tensor sinusoids_with_padding(std::span<const int32_t> positions, int64_t size, int32_t padding) {
  Tensor table = Tensor::zeros({static_cast<int64_t>(positions.size()), size});
  const int64_t half = size / 2;
  std::vector<float> frequencies;
  const float step = static_cast<float>(std::log(10000.0) / static_cast<double>(std::max<int64_t>(1, half - 1)));
  for (int64_t i = 0; i < half; ++i) frequencies.push_back(std::exp(static_cast<float>(i) * -step));
  float* row = table.data<float>();
  for (const int32_t p : positions) {
    for (int64_t i = 0; i < half && p != padding; ++i) {
      const float angle = static_cast<float>(p) * frequencies[static_cast<size_t>(i)];
      row[i] = std::sin(angle);
      row[half + i] = std::cos(angle);
    }
    row += size;
  }
  return table;
}

}  // namespace mynah::nn
