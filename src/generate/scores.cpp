#include "generate/scores.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_set>

#include "base/random.h"
#include "base/require.h"
#include "kernels/rows.h"

namespace mynah::generation {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

void ban(std::span<float> scores, int32_t id) {
  if (id >= 0 && id < static_cast<int64_t>(scores.size())) scores[static_cast<size_t>(id)] = kNever;
}

void penalise_repetition(float penalty, std::span<const int32_t> tokens, std::span<float> scores) {
  std::unordered_set<int32_t> seen;
  for (const int32_t id : tokens) {
    if (!seen.insert(id).second || id < 0 || id >= static_cast<int64_t>(scores.size())) continue;
    float& s = scores[static_cast<size_t>(id)];
    s = s < 0 ? s * penalty : s / penalty;
  }
}

// Bans every token that would complete an n-gram which has occurred.
void ban_repeated_ngrams(int64_t n, std::span<const int32_t> tokens, std::span<float> scores) {
  const int64_t length = static_cast<int64_t>(tokens.size());
  if (length + 1 < n) return;
  const auto last = tokens.subspan(static_cast<size_t>(length - n + 1));
  for (int64_t i = 0; i + n <= length; ++i)
    if (std::equal(last.begin(), last.end(), tokens.begin() + i)) ban(scores, tokens[static_cast<size_t>(i + n - 1)]);
}

bool ends_with(std::span<const int32_t> tokens, std::span<const int32_t> tail) {
  return tokens.size() >= tail.size() && std::equal(tail.begin(), tail.end(), tokens.end() - static_cast<long>(tail.size()));
}

void add_sequence_bias(const std::vector<std::pair<std::vector<int32_t>, float>>& biases, std::span<const int32_t> tokens, std::span<float> scores) {
  for (const auto& [sequence, bias] : biases)
    if (!sequence.empty() && sequence.back() < static_cast<int64_t>(scores.size()) &&
        (sequence.size() == 1 || (sequence.size() <= tokens.size() && ends_with(tokens, {sequence.data(), sequence.size() - 1}))))
      scores[static_cast<size_t>(sequence.back())] += bias;
}

// A ban on single ids always holds; a longer word is cut off at its last token.
void ban_words(const GenerationConfig& c, std::span<const int32_t> tokens, std::span<float> scores) {
  for (const auto& word : c.bad_words_ids) {
    const bool is_eos = word.size() == 1 && std::find(c.eos_token_id.begin(), c.eos_token_id.end(), word[0]) != c.eos_token_id.end();
    if (!is_eos && (word.size() == 1 || (word.size() <= tokens.size() && ends_with(tokens, {word.data(), word.size() - 1})))) ban(scores, word.back());
  }
}

void force(const std::vector<int32_t>& ids, std::span<float> scores) {
  std::fill(scores.begin(), scores.end(), kNever);
  for (const int32_t id : ids)
    if (id >= 0 && id < static_cast<int64_t>(scores.size())) scores[static_cast<size_t>(id)] = 0;
}

float row_max(std::span<const float> s) { return kernels::rows().max(s.data(), static_cast<int64_t>(s.size())); }

void keep_top_k(int64_t k, std::span<float> scores) {
  if (k <= 0 || k >= static_cast<int64_t>(scores.size())) return;
  // A small heap of the k largest; ties with the k-th stay, as in the reference.
  std::vector<float> heap(scores.begin(), scores.begin() + k);
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  for (size_t i = static_cast<size_t>(k); i < scores.size(); ++i) {
    if (!(scores[i] > heap.front())) continue;
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    heap.back() = scores[i];
    std::push_heap(heap.begin(), heap.end(), std::greater<>());
  }
  for (float& s : scores)
    if (s < heap.front()) s = kNever;
}

// Softmax of the row; tokens that are out have probability 0.
std::vector<float> probabilities(std::span<const float> scores) {
  std::vector<float> p(scores.size());
  kernels::rows().softmax(scores.data(), p.data(), 1, static_cast<int64_t>(scores.size()));
  return p;
}

// Removes the least likely tokens whose probabilities sum to at most 1 - p; at least one stays.
void keep_top_p(float top_p, std::span<float> scores) {
  const std::vector<float> p = probabilities(scores);
  const float out = 1.0f - top_p, small = out / static_cast<float>(p.size());
  // Tokens no likelier than `small` all go, however many they are; only the rest needs sorting.
  std::vector<std::pair<float, int32_t>> rest;
  double cumulative = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    if (p[i] > small) rest.emplace_back(p[i], static_cast<int32_t>(i));
    else cumulative += p[i];
  }
  if (rest.empty()) return;
  for (size_t i = 0; i < p.size(); ++i)
    if (!(p[i] > small)) scores[i] = kNever;
  std::sort(rest.begin(), rest.end());
  for (size_t i = 0; i + 1 < rest.size(); ++i) {
    cumulative += rest[i].first;
    if (cumulative > out) break;
    scores[static_cast<size_t>(rest[i].second)] = kNever;
  }
}

void keep_min_p(float min_p, std::span<float> scores) {
  const float limit = row_max(scores) + std::log(min_p);
  for (float& s : scores)
    if (s < limit) s = kNever;
}

// Locally typical sampling, arXiv:2202.00666: keeps the tokens whose surprise is nearest to the entropy.
void keep_typical(float mass, std::span<float> scores) {
  const std::vector<float> p = probabilities(scores);
  double entropy = 0;
  for (const float v : p)
    if (v > 0) entropy -= v * std::log(static_cast<double>(v));
  std::vector<std::pair<double, int32_t>> order;
  for (size_t i = 0; i < p.size(); ++i)
    if (p[i] > 0) order.emplace_back(std::abs(-std::log(static_cast<double>(p[i])) - entropy), static_cast<int32_t>(i));
  std::sort(order.begin(), order.end());
  double cumulative = 0;
  size_t kept = 0;
  while (kept < order.size() && (kept == 0 || cumulative < mass)) cumulative += p[static_cast<size_t>(order[kept++].second)];
  for (size_t i = kept; i < order.size(); ++i) scores[static_cast<size_t>(order[i].second)] = kNever;
}

// Truncation sampling, arXiv:2210.15191: an absolute floor (epsilon) or one that falls with the entropy (eta). The best stays.
void keep_above(float floor, std::span<float> scores, const std::vector<float>& p) {
  const float best = row_max(scores);
  for (size_t i = 0; i < scores.size(); ++i)
    if (p[i] < floor && scores[i] < best) scores[i] = kNever;
}
void keep_eta(float eta, std::span<float> scores) {
  const std::vector<float> p = probabilities(scores);
  double entropy = 0;
  for (const float v : p)
    if (v > 0) entropy -= v * std::log(static_cast<double>(v));
  keep_above(static_cast<float>(std::min<double>(eta, std::sqrt(eta) * std::exp(-entropy))), scores, p);
}

}  // namespace

void process(const GenerationConfig& c, const Progress& at, std::span<float> scores) {
  const int64_t length = static_cast<int64_t>(at.tokens.size()), generated = length - at.prompt_length;
  if (!c.sequence_bias.empty()) add_sequence_bias(c.sequence_bias, at.tokens, scores);
  if (c.repetition_penalty != 1.0f) penalise_repetition(c.repetition_penalty, at.tokens, scores);
  if (c.no_repeat_ngram_size > 0) ban_repeated_ngrams(c.no_repeat_ngram_size, at.tokens, scores);
  if (!c.bad_words_ids.empty()) ban_words(c, at.tokens, scores);
  if (length < c.min_length || generated < c.min_new_tokens)
    for (const int32_t id : c.eos_token_id) ban(scores, id);
  if (c.forced_bos_token_id && length == 1) force({*c.forced_bos_token_id}, scores);
  if (!c.forced_eos_token_id.empty() && length == at.max_length - 1) force(c.forced_eos_token_id, scores);
  if (c.remove_invalid_values)
    for (float& s : scores) s = std::isnan(s) ? 0 : std::clamp(s, std::numeric_limits<float>::lowest(), std::numeric_limits<float>::max());
  if (c.exponential_decay_length_penalty && generated > c.exponential_decay_length_penalty->first)
    for (const int32_t id : c.eos_token_id) {
      float& s = scores[static_cast<size_t>(id)];
      const double power = std::pow(c.exponential_decay_length_penalty->second, static_cast<double>(generated - c.exponential_decay_length_penalty->first));
      s += std::abs(s) * static_cast<float>(power - 1);
    }
  for (const int32_t id : c.suppress_tokens) ban(scores, id);
  const int64_t begin = at.prompt_length > 1 || !c.forced_bos_token_id ? at.prompt_length : at.prompt_length + 1;
  if (length == begin)
    for (const int32_t id : c.begin_suppress_tokens) ban(scores, id);
}

void warp(const GenerationConfig& c, std::span<float> scores) {
  if (c.temperature != 1.0f)
    for (float& s : scores) s /= c.temperature;
  keep_top_k(c.top_k, scores);
  if (c.top_p < 1.0f) keep_top_p(c.top_p, scores);
  if (c.min_p > 0.0f) keep_min_p(c.min_p, scores);
  if (c.typical_p < 1.0f) keep_typical(c.typical_p, scores);
  if (c.epsilon_cutoff > 0.0f) keep_above(c.epsilon_cutoff, scores, probabilities(scores));
  if (c.eta_cutoff > 0.0f) keep_eta(c.eta_cutoff, scores);
}

int32_t choose(const GenerationConfig& c, const Progress& at, std::span<float> scores, uint64_t stream) {
  require(c.remove_invalid_values || !std::isnan(row_max(scores)),
          "generation: the model's logits are not numbers; its weights hold NaN or infinity, fetch or convert them again");
  process(c, at, scores);
  const int64_t n = static_cast<int64_t>(scores.size());
  if (!c.do_sample || c.temperature == 0.0f) return static_cast<int32_t>(kernels::rows().argmax(scores.data(), n));
  warp(c, scores);
  const float best = row_max(scores);
  require(std::isfinite(best), "generation: no token is allowed next, or the model's logits are not numbers");
  // The draw goes through the tokens by id, with weights exp(score - best).
  std::vector<std::pair<int32_t, double>> kept;
  double total = 0;
  for (int64_t i = 0; i < n; ++i)
    if (const float s = scores[static_cast<size_t>(i)]; s != kNever) {
      total += std::exp(static_cast<double>(s - best));
      kept.emplace_back(static_cast<int32_t>(i), total);
    }
  const double point = uniform(c.seed, stream, static_cast<uint64_t>(at.tokens.size()), RandomPurpose::sampling) * total;
  const auto it = std::upper_bound(kept.begin(), kept.end(), point, [](double v, const auto& row) { return v < row.second; });
  return it == kept.end() ? kept.back().first : it->first;
}

}  // namespace mynah::generation
