#include "nn/relative_buckets.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "mynah/ops.h"

namespace mynah::nn {

int64_t relative_bucket(int64_t distance, int64_t buckets, int64_t max_distance, bool bidirectional) {
  int64_t first = 0;
  if (bidirectional) {
    buckets /= 2;
    if (distance > 0) first = buckets;
    distance = std::abs(distance);
  } else {
    distance = -std::min<int64_t>(distance, 0);
  }
  const int64_t exact = buckets / 2;
  if (distance < exact) return first + distance;
  // in f32, as the reference computes it: the floor of a logarithm decides
  const float fraction = std::log(static_cast<float>(distance) / static_cast<float>(exact)) /
                         static_cast<float>(std::log(static_cast<double>(max_distance) / static_cast<double>(exact)));
  const auto further = static_cast<int64_t>(fraction * static_cast<float>(buckets - exact));
  return first + std::min(exact + further, buckets - 1);
}

Tensor distance_bias(const Tensor& table, int64_t reach, int64_t max_distance, bool bidirectional) {
  std::vector<int64_t> rows;
  for (int64_t distance = 1 - reach; distance < reach; ++distance) rows.push_back(relative_bucket(distance, table.size(0), max_distance, bidirectional));
  return transpose(index_rows(table, rows), 0, 1);
}

}  // namespace mynah::nn
