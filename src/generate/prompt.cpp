#include "generate/prompt.h"

#include <algorithm>

#include "base/require.h"

namespace mynah::generation {

std::vector<int32_t> seen_tokens(std::span<const int32_t> ids, std::span<const int32_t> mask) {
  std::vector<int32_t> out;
  for (size_t t = 0; t < ids.size(); ++t)
    if (mask[t]) out.push_back(ids[t]);
  require(!out.empty(), "generate: a row of attention_mask hides every token");
  return out;
}

namespace {

// The decoder starts with `start` and attends to the rows of one sequence, [n, C].
Prompt prompt_after(const nn::Seq2SeqLM& lm, const Tensor& encoded, std::vector<int32_t> start) {
  auto cache = std::make_shared<nn::Cache>(lm.new_memory());
  lm.remember(encoded, cache.get());
  Prompt p;
  p.seen = start;
  p.tokens = std::move(start);
  p.source = std::move(cache);
  return p;
}

}  // namespace

Prompt encoded_prompt(const nn::Seq2SeqLM& lm, std::span<const int32_t> ids, std::span<const int32_t> mask, std::vector<int32_t> start) {
  require(lm.medium().empty(), "generate: this model answers {}, not text", lm.medium());
  seen_tokens(ids, mask);
  nn::TokenBatch source;
  std::vector<int64_t> rows;  // that cross-attention sees
  // Padding at the end changes nothing and is left out.
  const size_t length = mask.size() - static_cast<size_t>(std::find_if(mask.rbegin(), mask.rend(), [](int32_t m) { return m != 0; }) - mask.rbegin());
  for (size_t t = 0; t < length; ++t) {
    source.ids.push_back(ids[t]);
    source.positions.push_back(static_cast<int32_t>(t));
    if (mask[t]) rows.push_back(static_cast<int64_t>(t));
  }
  source.lengths = {static_cast<int64_t>(length)};
  source.precision = lm.attention_type();
  if (rows.size() < length) source.key_mask.assign(mask.begin(), mask.begin() + static_cast<long>(length));
  const Tensor encoded = lm.encode(source, nullptr);
  Prompt p = prompt_after(lm, rows.size() < length ? index_rows(encoded, rows) : encoded, std::move(start));
  p.encoded.assign(ids.begin(), ids.end());
  return p;
}

Prompt encoded_prompt(const nn::Seq2SeqLM& lm, const nn::NamedTensors& media, std::vector<int32_t> start) {
  const nn::Encoded encoded = lm.encode_media(media, nullptr);
  std::vector<int64_t> seen;
  for (int64_t i = 0; i < encoded.rows.size(0); ++i)
    if (encoded.mask.empty() || encoded.mask[static_cast<size_t>(i)]) seen.push_back(i);
  require(!seen.empty(), "generate: the mask of {} hides all of a sequence", lm.medium());
  return prompt_after(lm, static_cast<int64_t>(seen.size()) < encoded.rows.size(0) ? index_rows(encoded.rows, seen) : encoded.rows, std::move(start));
}

int32_t decoder_start(const nn::Seq2SeqLM& lm, const GenerationConfig& c) {
  const int32_t start = c.decoder_start_token_id ? *c.decoder_start_token_id : c.bos_token_id ? *c.bos_token_id : lm.decoder_start();
  require(start >= 0, "generate: the model names no decoder_start_token_id; give one, or decoder_input_ids");
  return start;
}

}  // namespace mynah::generation
