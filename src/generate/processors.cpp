// What generate() does to the scores of a step whether it samples or not.
#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "base/require.h"
#include "generate/scores.h"
#include "kernels/rows.h"

namespace mynah::generation {
namespace {

void ban(std::span<float> scores, int32_t id) {
  if (id >= 0 && id < static_cast<int64_t>(scores.size())) scores[static_cast<size_t>(id)] = kNever;
}

// Negative scores are multiplied, others divided, once per distinct token but those that are exempt.
void penalise(float factor, std::span<const int32_t> tokens, std::span<const int32_t> exempt, std::span<float> scores) {
  std::unordered_set<int32_t> seen;
  for (const int32_t id : tokens) {
    if (!seen.insert(id).second || id < 0 || id >= static_cast<int64_t>(scores.size())) continue;
    if (std::binary_search(exempt.begin(), exempt.end(), id)) continue;
    float& s = scores[static_cast<size_t>(id)];
    s = s < 0 ? s * factor : s / factor;
  }
}

// Bans every token that would complete an n-gram which `source` holds already.
void ban_repeated_ngrams(int64_t n, std::span<const int32_t> source, std::span<const int32_t> tokens, std::span<float> scores) {
  const int64_t length = static_cast<int64_t>(tokens.size());
  if (length + 1 < n) return;
  const auto last = tokens.subspan(static_cast<size_t>(length - n + 1));
  for (int64_t i = 0; i + n <= static_cast<int64_t>(source.size()); ++i)
    if (std::equal(last.begin(), last.end(), source.begin() + i)) ban(scores, source[static_cast<size_t>(i + n - 1)]);
}

bool ends_with(std::span<const int32_t> tokens, std::span<const int32_t> last) {
  return last.size() <= tokens.size() && std::equal(last.rbegin(), last.rend(), tokens.rbegin());
}

// Whether `tokens` end with all of `sequence` but its last token.
bool may_complete(const std::vector<int32_t>& sequence, std::span<const int32_t> tokens) {
  if (sequence.size() == 1) return true;
  return sequence.size() <= tokens.size() && ends_with(tokens, std::span(sequence).first(sequence.size() - 1));
}

void add_sequence_bias(const std::vector<std::pair<std::vector<int32_t>, float>>& biases, std::span<const int32_t> tokens, std::span<float> scores) {
  for (const auto& [sequence, bias] : biases) {
    require(sequence.back() < static_cast<int64_t>(scores.size()), "generation: sequence_bias names token {}, expected 0..{}", sequence.back(), scores.size() - 1);
    if (may_complete(sequence, tokens)) scores[static_cast<size_t>(sequence.back())] += bias;
  }
}

// A ban on single ids always holds; a longer word is cut off at its last token. End tokens alone cannot be banned.
void ban_words(const GenerationConfig& c, std::span<const int32_t> tokens, std::span<float> scores) {
  for (const auto& word : c.bad_words_ids) {
    const bool is_eos = word.size() == 1 && std::find(c.eos_token_id.begin(), c.eos_token_id.end(), word[0]) != c.eos_token_id.end();
    if (!is_eos && may_complete(word, tokens)) ban(scores, word.back());
  }
}

void force(const std::vector<int32_t>& ids, std::span<float> scores) {
  std::fill(scores.begin(), scores.end(), kNever);
  for (const int32_t id : ids)
    if (id >= 0 && id < static_cast<int64_t>(scores.size())) scores[static_cast<size_t>(id)] = 0;
}

bool may_end(const GenerationConfig& c, std::span<const int32_t> tokens) {
  return c.decay_after.empty() || std::any_of(c.decay_after.begin(), c.decay_after.end(), [&](const auto& last) { return ends_with(tokens, last); });
}

// The shorter the time left, the more an end is worth: |score| (factor^steps - 1) is added.
void favour_end(const GenerationConfig& c, int64_t steps, std::span<float> scores) {
  const float factor = static_cast<float>(std::pow(static_cast<double>(c.exponential_decay_length_penalty->second), static_cast<double>(steps)) - 1);
  for (const int32_t id : c.eos_token_id)
    if (id < static_cast<int64_t>(scores.size())) scores[static_cast<size_t>(id)] += std::abs(scores[static_cast<size_t>(id)]) * factor;
}

// Classifier-free guidance, arXiv:2306.17806: away from what the model says without the prompt.
void guide(float scale, std::span<const float> negative, std::span<float> scores) {
  std::vector<float> without(negative.begin(), negative.end());
  log_softmax_row(without);
  log_softmax_row(scores);
  for (size_t i = 0; i < scores.size(); ++i) scores[i] = scale * (scores[i] - without[i]) + without[i];
}

}  // namespace

void process(const GenerationConfig& c, const Progress& at, std::span<float> scores) {
  const int64_t length = static_cast<int64_t>(at.tokens.size()), generated = length - at.prompt_length;
  if (!c.sequence_bias.empty()) add_sequence_bias(c.sequence_bias, at.tokens, scores);
  if (c.encoder_repetition_penalty != 1.0f) penalise(1 / c.encoder_repetition_penalty, at.encoded, {}, scores);
  if (c.repetition_penalty != 1.0f) penalise(c.repetition_penalty, at.tokens, c.repetition_exempt, scores);
  if (c.no_repeat_ngram_size > 0) ban_repeated_ngrams(c.no_repeat_ngram_size, at.tokens, at.tokens, scores);
  if (c.encoder_no_repeat_ngram_size > 0) ban_repeated_ngrams(c.encoder_no_repeat_ngram_size, at.encoded, at.tokens, scores);
  if (!c.bad_words_ids.empty()) ban_words(c, at.tokens, scores);
  if (c.min_new_tokens ? generated < *c.min_new_tokens : length < c.min_length)
    for (const int32_t id : c.eos_token_id) ban(scores, id);
  if (c.forced_bos_token_id && length == 1) force({*c.forced_bos_token_id}, scores);
  if (!c.forced_eos_token_id.empty() && length == at.max_length - 1) force(c.forced_eos_token_id, scores);
  if (c.remove_invalid_values)
    for (float& s : scores) s = std::isnan(s) ? 0 : std::clamp(s, std::numeric_limits<float>::lowest(), std::numeric_limits<float>::max());
  if (c.exponential_decay_length_penalty && generated > c.exponential_decay_length_penalty->first && may_end(c, at.tokens))
    favour_end(c, generated - c.exponential_decay_length_penalty->first, scores);
  for (const int32_t id : c.suppress_tokens) ban(scores, id);
  const int64_t begin = at.prompt_length > 1 || !c.forced_bos_token_id ? at.prompt_length : at.prompt_length + 1;
  if (length == begin)
    for (const int32_t id : c.begin_suppress_tokens) ban(scores, id);
}

void log_softmax_row(std::span<float> scores) {
  kernels::rows().log_softmax(scores.data(), scores.data(), 1, static_cast<int64_t>(scores.size()));
}

Scorer::Scorer(const GenerationConfig& config, int64_t vocabulary) : config_(config) {
  if (config.watermarking_config) watermark_.emplace(*config.watermarking_config, vocabulary);
}

void Scorer::process(const Progress& progress, std::span<float> scores, std::span<const float> negative,
                     const std::function<void(std::span<float>)>& restrict) const {
  require(config_.remove_invalid_values || !std::isnan(kernels::rows().max(scores.data(), static_cast<int64_t>(scores.size()))),
          "generation: the model's logits are not numbers; its weights hold NaN or infinity, fetch or convert them again");
  if (!negative.empty()) guide(config_.guidance_scale, negative, scores);
  generation::process(config_, progress, scores);
  restrict(scores);
  // Beams need one token to go on with beside every end token.
  if (config_.do_sample) warp(config_, config_.num_beams > 1 ? std::max<int64_t>(2, static_cast<int64_t>(config_.eos_token_id.size()) + 1) : 1, scores);
  if (watermark_) (*watermark_)(progress.tokens, scores);
  if (config_.renormalize_logits) log_softmax_row(scores);
}

}  // namespace mynah::generation
