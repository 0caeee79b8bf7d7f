#include "generate/media_prompt.h"

#include <map>
#include <numeric>

#include "base/require.h"
#include "generate/config.h"
#include "generate/prompt.h"
#include "store/digest.h"

namespace mynah::generation {
namespace {

using Rows = nn::CausalLM::Rows;

Tensor tensor_of(const Rows& rows) {
  std::vector<int64_t> all;
  for (const auto& row : rows) all.insert(all.end(), row.begin(), row.end());
  return Tensor::from(std::span<const int64_t>(all),
                      {static_cast<int64_t>(rows.size()), static_cast<int64_t>(rows[0].size())});
}

// A number below 0 that stands for a token and bytes that belong to it.
int32_t digest(int32_t token, const void* data, size_t size) {
  store::Hasher hasher;
  hasher.add(&token, sizeof token);
  hasher.add(data, size);
  return -1 - static_cast<int32_t>(std::stoul(hasher.finish().hex().substr(0, 8), nullptr, 16) & 0x7fffffff);
}

// The keys of a prompt's tokens: those that hold an embedding stand for its numbers, those that attend to rows for
// their digest too.
std::vector<int32_t> keys_of(const Prompt& p, const PromptMedia& media, const std::vector<int32_t>& source_digests) {
  std::vector<int32_t> keys = p.seen;
  const Tensor rows = media.rows.defined() ? contiguous(media.rows) : Tensor();
  for (size_t i = 0; i < media.places.size(); ++i) {
    int32_t& key = keys[static_cast<size_t>(media.places[i])];
    key = digest(key, rows.data<float>() + static_cast<int64_t>(i) * rows.size(1),
                 static_cast<size_t>(rows.size(1)) * sizeof(float));
  }
  for (size_t s = 0; s < media.sources.size(); ++s) {
    const auto end = s + 1 < media.sources.size() ? static_cast<size_t>(media.sources[s + 1].first) : keys.size();
    for (auto t = static_cast<size_t>(media.sources[s].first); t < end; ++t)
      keys[t] = digest(keys[t], &source_digests[s], sizeof(int32_t));
  }
  return keys;
}

// A batch of all prompts, padding included, as the model reads media for it.
nn::TokenBatch batch_of(const nn::CausalLM& lm, const Rows& ids, const Rows& mask) {
  nn::TokenBatch batch;
  batch.precision = lm.attention_type();
  bool hides = false;
  for (size_t b = 0; b < ids.size(); ++b) {
    batch.lengths.push_back(static_cast<int64_t>(ids[b].size()));
    batch.ids.insert(batch.ids.end(), ids[b].begin(), ids[b].end());
    for (size_t t = 0; t < ids[b].size(); ++t) {
      batch.positions.push_back(static_cast<int32_t>(t));
      batch.key_mask.push_back(mask[b][t] != 0);
      hides = hides || mask[b][t] == 0;
    }
  }
  if (!hides) batch.key_mask.clear();
  return batch;
}

// What one prompt attends to: keys and values of its memory, once for each set of parts that its tokens see.
std::vector<PromptMedia::Source> sources_of(const nn::CausalLM& lm, const nn::TokenBatch& batch, size_t row,
                                            const std::vector<int64_t>& seen, std::vector<int32_t>* digests) {
  const int64_t begin = std::accumulate(batch.memory_lengths.begin(),
                                        batch.memory_lengths.begin() + static_cast<long>(row), int64_t{0}),
                length = batch.memory_lengths[row];
  const int64_t parts =
      batch.memory_parts.empty() ? 1 : static_cast<int64_t>(batch.memory_parts.size() / batch.ids.size());
  std::map<std::vector<uint8_t>, std::shared_ptr<const nn::Cache>> made;
  std::vector<PromptMedia::Source> out;
  std::vector<uint8_t> before;
  for (size_t i = 0; i < seen.size(); ++i) {
    std::vector<uint8_t> sees(static_cast<size_t>(parts), 1);
    if (!batch.memory_parts.empty()) std::copy_n(batch.memory_parts.begin() + seen[i] * parts, parts, sees.begin());
    if (i > 0 && sees == before) continue;
    before = sees;
    auto& cache = made[sees];
    std::vector<int64_t> rows;
    for (int64_t m = 0; m < length; ++m) {
      const bool hidden = !batch.memory_mask.empty() && batch.memory_mask[static_cast<size_t>(begin + m)] == 0;
      if (sees[static_cast<size_t>(m / (length / parts))] && !hidden) rows.push_back(begin + m);
    }
    if (!cache) {
      auto keys = std::make_shared<nn::Cache>(lm.new_memory());
      if (!rows.empty()) lm.remember(index_rows(batch.memory, rows), keys.get());
      cache = std::move(keys);
    }
    out.push_back({static_cast<int64_t>(i), cache});
    const Tensor seen_rows = rows.empty() ? Tensor::zeros({1}) : contiguous(index_rows(batch.memory, rows));
    digests->push_back(digest(static_cast<int32_t>(rows.size()), seen_rows.raw(), seen_rows.nbytes()));
  }
  return out;
}

}  // namespace

std::vector<Prompt> media_prompts(const nn::CausalLM& lm, int64_t count, Rows ids, Rows mask,
                                  const nn::NamedTensors& media) {
  nn::NamedTensors inputs = media;
  if (!ids.empty()) inputs["input_ids"] = tensor_of(ids), inputs["attention_mask"] = tensor_of(mask);
  lm.start_rows(count, &ids, &mask);
  require(!ids.empty(), "generate: input_ids is missing");
  nn::TokenBatch batch = batch_of(lm, ids, mask);
  std::vector<std::string_view> known = lm.media_names();
  known.insert(known.end(), {"input_ids", "attention_mask"});
  lm.read_media(nn::Inputs(inputs, known), &batch);

  std::vector<Prompt> out;
  size_t media_row = 0;
  for (size_t b = 0, first = 0; b < ids.size(); first += ids[b].size(), ++b) {
    Prompt p;
    p.tokens = ids[b];
    p.seen = seen_tokens(p.tokens, mask[b]);
    p.negative = {p.tokens.back()};
    auto own = std::make_shared<PromptMedia>();
    std::vector<int64_t> seen, rows;  // the batch's rows of tokens that are not hidden; of embeddings
    for (size_t t = 0; t < ids[b].size(); ++t) {
      const auto at = static_cast<int64_t>(first + t);
      const bool holds_media = media_row < batch.media_rows.size() && batch.media_rows[media_row] == at;
      if (mask[b][t] && holds_media) {
        own->places.push_back(static_cast<int64_t>(seen.size()));
        rows.push_back(static_cast<int64_t>(media_row));
      }
      if (holds_media) ++media_row;
      if (mask[b][t]) seen.push_back(at);
    }
    if (!rows.empty()) own->rows = index_rows(batch.media, rows);
    if (!batch.axes.empty() && !rows.empty()) {
      for (const int64_t at : seen) own->axes.push_back(batch.axes[static_cast<size_t>(at)]);
      own->axes_shift = batch.axes_end[b] - static_cast<int32_t>(seen.size());
    }
    std::vector<int32_t> digests;
    if (batch.memory.defined()) own->sources = sources_of(lm, batch, b, seen, &digests);
    own->keys = keys_of(p, *own, digests);
    if (!own->places.empty() || !own->sources.empty()) p.media = std::move(own);
    out.push_back(std::move(p));
  }
  return out;
}

Prompt media_prompt(const nn::CausalLM& lm, const GenerateInputs& inputs, const GenerationConfig& config) {
  require(inputs.input_ids.size() <= 1, "generation: one prompt was expected, got {}", inputs.input_ids.size());
  if (const nn::Seq2SeqLM* pair = lm.seq2seq_lm()) {
    require(inputs.input_ids.empty(), "generation: this model answers {} alone, not text", pair->medium());
    Prompt p = encoded_prompt(*pair, inputs.media, {decoder_start(*pair, config)});
    p.max_length = length_limit(config, static_cast<int64_t>(p.tokens.size()), lm.max_positions());
    return p;
  }
  Rows mask = inputs.attention_mask;
  if (mask.empty() && !inputs.input_ids.empty()) mask = {std::vector<int32_t>(inputs.input_ids[0].size(), 1)};
  Prompt p = std::move(media_prompts(lm, 1, inputs.input_ids, mask, inputs.media)[0]);
  p.max_length = length_limit(config, static_cast<int64_t>(p.tokens.size()), lm.max_positions());
  return p;
}

}  // namespace mynah::generation
