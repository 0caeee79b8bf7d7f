#include "generate/watermark.h"

#include <algorithm>
#include <numeric>
#include <random>

namespace mynah::generation {
namespace {

// The first `count` elements of PyTorch's randperm(n) under manual_seed(seed).
std::vector<int32_t> permutation(int64_t n, int64_t count, uint64_t seed) {
  std::mt19937 random(static_cast<uint32_t>(seed));
  std::vector<int32_t> p(static_cast<size_t>(n));
  std::iota(p.begin(), p.end(), 0);
  for (int64_t i = 0; i < std::min(count, n - 1); ++i)
    std::swap(p[static_cast<size_t>(i)], p[static_cast<size_t>(i + static_cast<int64_t>(random()) % (n - i))]);
  p.resize(static_cast<size_t>(count));
  return p;
}

constexpr int64_t kTable = 1000003;

}  // namespace

Watermark::Watermark(const WatermarkingConfig& config, int64_t vocabulary)
    : config_(config), green_count_(static_cast<int64_t>(static_cast<double>(vocabulary) * config.greenlist_ratio)), vocabulary_(vocabulary) {
  if (config.selfhash) table_ = permutation(kTable, kTable, static_cast<uint64_t>(config.hashing_key));
}

std::vector<int32_t> Watermark::green(std::span<const int32_t> context) const {
  const uint64_t key = static_cast<uint64_t>(config_.hashing_key);
  uint64_t seed = key * static_cast<uint64_t>(context.back());
  if (config_.selfhash) {
    const auto hash = [&](int32_t token) { return static_cast<uint64_t>(table_[static_cast<size_t>(token % kTable)]) + 1; };
    int64_t least = INT64_MAX;
    for (const int32_t token : context.last(std::min(context.size(), static_cast<size_t>(config_.context_width))))
      least = std::min(least, static_cast<int64_t>(key * hash(token) * hash(context.back())));
    // As Python takes a negative number modulo 2^64 - 1.
    seed = static_cast<uint64_t>(least) - (least < 0);
  }
  return permutation(vocabulary_, green_count_, seed);
}

void Watermark::operator()(std::span<const int32_t> tokens, std::span<float> scores) const {
  if (static_cast<int64_t>(tokens.size()) < config_.context_width) return;
  if (!config_.selfhash) {
    for (const int32_t id : green(tokens)) scores[static_cast<size_t>(id)] += config_.bias;
    return;
  }
  // A token is green if it is so in the list that it draws itself; the reference tries the 40 best.
  std::vector<int32_t> best(scores.size());
  std::iota(best.begin(), best.end(), 0);
  const auto tried = best.begin() + std::min<long>(40, static_cast<long>(best.size()));
  std::partial_sort(best.begin(), tried, best.end(), [&](int32_t a, int32_t b) {
    const float x = scores[static_cast<size_t>(a)], y = scores[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  });
  std::vector<int32_t> context(tokens.begin(), tokens.end()), chosen;
  context.push_back(0);
  for (auto it = best.begin(); it != tried; ++it) {
    context.back() = *it;
    const auto list = green(context);
    if (std::find(list.begin(), list.end(), *it) != list.end()) chosen.push_back(*it);
  }
  for (const int32_t id : chosen) scores[static_cast<size_t>(id)] += config_.bias;
}

}  // namespace mynah::generation
