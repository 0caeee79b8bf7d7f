// Sampling: which tokens may be drawn, and the draw.
#include <algorithm>
#include <cmath>

#include "base/random.h"
#include "base/require.h"
#include "generate/scores.h"
#include "kernels/rows.h"

namespace mynah::generation {
namespace {

float row_max(std::span<const float> s) { return kernels::rows().max(s.data(), static_cast<int64_t>(s.size())); }

// The k-th largest score.
float kth_largest(int64_t k, std::span<const float> scores) {
  if (k >= static_cast<int64_t>(scores.size())) return kNever;
  // A small heap of the k largest.
  std::vector<float> heap(scores.begin(), scores.begin() + k);
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  for (size_t i = static_cast<size_t>(k); i < scores.size(); ++i) {
    if (!(scores[i] > heap.front())) continue;
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    heap.back() = scores[i];
    std::push_heap(heap.begin(), heap.end(), std::greater<>());
  }
  return heap.front();
}

// Ties with the k-th stay, as in the reference.
void keep_top_k(int64_t k, std::span<float> scores) {
  const float least = kth_largest(k, scores);
  for (float& s : scores)
    if (s < least) s = kNever;
}

// Softmax of the row; tokens that are out have probability 0.
std::vector<float> probabilities(std::span<const float> scores) {
  std::vector<float> p(scores.size());
  kernels::rows().softmax(scores.data(), p.data(), 1, static_cast<int64_t>(scores.size()));
  return p;
}

double entropy_of(const std::vector<float>& p) {
  double entropy = 0;
  for (const float v : p)
    if (v > 0) entropy -= v * std::log(static_cast<double>(v));
  return entropy;
}

// Removes the least likely tokens whose probabilities sum to at most 1 - p.
void keep_top_p(float top_p, int64_t keep, std::span<float> scores) {
  const std::vector<float> p = probabilities(scores);
  const float out = 1.0f - top_p, small = out / static_cast<float>(p.size()), spared = kth_largest(keep, scores);
  // Tokens no likelier than `small` all go, however many they are; only the rest needs sorting.
  std::vector<std::pair<float, int32_t>> rest;
  double cumulative = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    if (p[i] > small) rest.emplace_back(p[i], static_cast<int32_t>(i));
    else cumulative += p[i];
  }
  if (rest.empty()) return;
  for (size_t i = 0; i < p.size(); ++i)
    if (!(p[i] > small) && scores[i] < spared) scores[i] = kNever;
  std::sort(rest.begin(), rest.end());
  for (size_t i = 0; i + static_cast<size_t>(keep) < rest.size(); ++i) {
    cumulative += rest[i].first;
    if (cumulative > out) break;
    scores[static_cast<size_t>(rest[i].second)] = kNever;
  }
}

void keep_min_p(float min_p, int64_t keep, std::span<float> scores) {
  const float limit = std::min(row_max(scores) + std::log(min_p), kth_largest(keep, scores));
  for (float& s : scores)
    if (s < limit) s = kNever;
}

// Locally typical sampling, arXiv:2202.00666: keeps the tokens whose surprise is nearest to the entropy.
void keep_typical(float mass, int64_t keep, std::span<float> scores) {
  const std::vector<float> p = probabilities(scores);
  const double entropy = entropy_of(p);
  std::vector<std::pair<double, int32_t>> order;
  for (size_t i = 0; i < p.size(); ++i)
    if (p[i] > 0) order.emplace_back(std::abs(-std::log(static_cast<double>(p[i])) - entropy), static_cast<int32_t>(i));
  std::sort(order.begin(), order.end());
  double cumulative = 0;
  size_t kept = 0;
  while (kept < order.size() && (kept < static_cast<size_t>(keep) || cumulative < mass)) cumulative += p[static_cast<size_t>(order[kept++].second)];
  for (size_t i = kept; i < order.size(); ++i) scores[static_cast<size_t>(order[i].second)] = kNever;
}

// Truncation sampling, arXiv:2210.15191: an absolute floor (epsilon) or one that falls with the entropy (eta).
void keep_above(float floor, int64_t keep, std::span<float> scores, const std::vector<float>& p) {
  const float spared = kth_largest(keep, scores);
  for (size_t i = 0; i < scores.size(); ++i)
    if (p[i] < floor && scores[i] < spared) scores[i] = kNever;
}
void keep_eta(float eta, int64_t keep, std::span<float> scores) {
  const std::vector<float> p = probabilities(scores);
  keep_above(static_cast<float>(std::min<double>(eta, std::sqrt(eta) * std::exp(-entropy_of(p)))), keep, scores, p);
}

// Uniform in (0,1), 52 bits.
double unit(uint32_t high, uint32_t low) {
  const uint64_t bits = (static_cast<uint64_t>(high) << 20) | (low >> 12);
  return (static_cast<double>(bits) + 0.5) * 0x1p-52;
}

}  // namespace

float gumbel(uint64_t seed, uint64_t stream, uint64_t position, uint64_t alternative) {
  const auto r = philox(seed, stream, (position << 32) | alternative, RandomPurpose::sampling);
  return static_cast<float>(-std::log(-std::log(unit(r[0], r[1]))));
}

void warp(const GenerationConfig& c, int64_t keep, std::span<float> scores) {
  if (c.temperature != 1.0f)
    for (float& s : scores) s /= c.temperature;
  if (c.top_k > 0) keep_top_k(std::max(c.top_k, keep), scores);
  if (c.top_p < 1.0f) keep_top_p(c.top_p, keep, scores);
  if (c.min_p > 0.0f) keep_min_p(c.min_p, keep, scores);
  if (c.typical_p < 1.0f) keep_typical(c.typical_p, keep, scores);
  if (c.epsilon_cutoff > 0.0f) keep_above(c.epsilon_cutoff, keep, scores, probabilities(scores));
  if (c.eta_cutoff > 0.0f) keep_eta(c.eta_cutoff, keep, scores);
}

int32_t choose(const GenerationConfig& c, std::span<const float> scores, uint64_t stream, int64_t position) {
  const int32_t likeliest = static_cast<int32_t>(kernels::rows().argmax(scores.data(), static_cast<int64_t>(scores.size())));
  if (!c.do_sample) return likeliest;
  const float best = scores[static_cast<size_t>(likeliest)];
  require(std::isfinite(best), "generation: no token is allowed next");
  // Noise lies between -3.6 and 36.1: what is further behind cannot win.
  int32_t chosen = likeliest;
  float most = kNever;
  for (size_t i = 0; i < scores.size(); ++i) {
    if (!(scores[i] > best - 40)) continue;
    const float noisy = scores[i] + gumbel(c.seed, stream, static_cast<uint64_t>(position), i);
    if (noisy > most) most = noisy, chosen = static_cast<int32_t>(i);
  }
  return chosen;
}

}  // namespace mynah::generation
