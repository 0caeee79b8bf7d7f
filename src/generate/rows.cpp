// generate() of the reference: rows of ids in, padded rows out.
#include <algorithm>

#include "base/require.h"
#include "bundle/bundle.h"
#include "generate/beam_search.h"
#include "generate/config.h"
#include "generate/prompt.h"
#include "mynah/autograd.h"

namespace mynah {
namespace {

using generation::Prompt;
using generation::Run;
using Rows = std::vector<std::vector<int32_t>>;

void check_rows(const Rows& rows, const char* name, size_t count, int64_t vocabulary) {
  require(rows.size() == count && !rows[0].empty(), "generate: {} has {} rows, expected {} that are not empty", name, rows.size(), count);
  for (const auto& row : rows) {
    require(row.size() == rows[0].size(), "generate: {} has rows of {} and {} tokens, expected one length", name, rows[0].size(), row.size());
    for (const int32_t id : row) require(id >= 0 && id < vocabulary, "generate: {} holds {}, expected 0..{}", name, id, vocabulary - 1);
  }
}

// The given mask, or what the padding id says, or all ones.
Rows mask_of(const GenerateInputs& in, const GenerationConfig& c) {
  const Rows& ids = in.input_ids;
  if (!in.attention_mask.empty()) {
    require(in.attention_mask.size() == ids.size(), "generate: attention_mask has {} rows, input_ids {}", in.attention_mask.size(), ids.size());
    for (const auto& row : in.attention_mask)
      require(row.size() == ids[0].size(), "generate: attention_mask has rows of {} tokens, input_ids of {}", row.size(), ids[0].size());
    return in.attention_mask;
  }
  Rows mask = ids;
  const bool known = c.pad_token_id && std::find(c.eos_token_id.begin(), c.eos_token_id.end(), *c.pad_token_id) == c.eos_token_id.end();
  for (auto& row : mask)
    for (int32_t& m : row) m = !known || m != *c.pad_token_id;
  return mask;
}

// Decoder-only: the rows are the prompts.
std::vector<Prompt> decoder_prompts(const GenerateInputs& in, const Rows& mask, const nn::CausalLM& lm) {
  require(in.decoder_input_ids.empty(), "generate: decoder_input_ids are for encoder-decoders; this model takes input_ids alone");
  if (!in.negative_prompt_ids.empty()) check_rows(in.negative_prompt_ids, "negative_prompt_ids", in.input_ids.size(), lm.vocabulary_size());
  std::vector<Prompt> out;
  for (size_t b = 0; b < in.input_ids.size(); ++b) {
    Prompt p;
    p.tokens = in.input_ids[b];
    p.seen = generation::seen_tokens(p.tokens, mask[b]);
    p.negative = in.negative_prompt_ids.empty() ? std::vector<int32_t>{p.tokens.back()} : in.negative_prompt_ids[b];
    out.push_back(std::move(p));
  }
  return out;
}

// The decoder's prompt of each row; the start token goes first, unless one of the given rows has it there.
Rows decoder_starts(const GenerateInputs& in, const nn::Seq2SeqLM& lm, const GenerationConfig& c) {
  const int32_t start = generation::decoder_start(lm, c);
  if (in.decoder_input_ids.empty()) return Rows(in.input_ids.size(), {start});
  check_rows(in.decoder_input_ids, "decoder_input_ids", in.input_ids.size(), lm.vocabulary_size());
  Rows rows = in.decoder_input_ids;
  if (std::none_of(rows.begin(), rows.end(), [&](const auto& row) { return row[0] == start; }))
    for (auto& row : rows) row.insert(row.begin(), start);
  return rows;
}

std::vector<Prompt> encoded_prompts(const GenerateInputs& in, const Rows& mask, const nn::Seq2SeqLM& lm, const GenerationConfig& c) {
  if (c.guidance_scale != 1.0f) fail(ErrorCode::usage, "generation: guidance_scale is for decoder-only models");
  const Rows starts = decoder_starts(in, lm, c);
  std::vector<Prompt> out;
  for (size_t b = 0; b < in.input_ids.size(); ++b) out.push_back(generation::encoded_prompt(lm, in.input_ids[b], mask[b], starts[b]));
  return out;
}

// The reference fills beams with the end token where the padding id is 0 or missing.
int32_t filler(const GenerationConfig& c) {
  const int32_t pad = c.pad_token_id.value_or(c.eos_token_id.empty() ? 0 : c.eos_token_id[0]);
  return c.num_beams > 1 && pad == 0 && !c.eos_token_id.empty() ? c.eos_token_id[0] : pad;
}

}  // namespace

GenerateOutputs generate(const Model& model, const GenerateInputs& in, const GenerationConfig& config) {
  NoGrad no_grad;
  generation::check(config);
  const nn::CausalLM& lm = model.bundle().causal_lm();
  const nn::Seq2SeqLM* seq2seq = lm.seq2seq_lm();
  require(!in.input_ids.empty(), "generate: input_ids has no rows");
  check_rows(in.input_ids, "input_ids", in.input_ids.size(), seq2seq ? seq2seq->source_vocabulary_size() : lm.vocabulary_size());
  const Rows mask = mask_of(in, config);
  std::vector<Prompt> prompts = seq2seq ? encoded_prompts(in, mask, *seq2seq, config) : decoder_prompts(in, mask, lm);
  for (Prompt& p : prompts) p.max_length = generation::length_limit(config, static_cast<int64_t>(p.tokens.size()), lm.max_positions());

  Run run(lm, config, model.tokenizer());
  run.record.vocabulary = lm.vocabulary_size();
  run.record.rows = static_cast<int64_t>(prompts.size()) * std::max(config.num_beams, config.num_return_sequences);
  GenerateOutputs out;
  if (config.num_beams > 1) {
    for (auto& row : beam_search(run, prompts))
      for (auto& beam : row) {
        out.sequences.push_back(std::move(beam.tokens));
        out.sequences_scores.push_back(beam.score);
      }
  } else {
    for (auto& s : sample(run, prompts)) out.sequences.push_back(std::move(s.tokens));
  }
  size_t longest = 0;
  for (const auto& row : out.sequences) longest = std::max(longest, row.size());
  for (auto& row : out.sequences) row.resize(longest, filler(config));
  out.scores = std::move(run.record.scores);
  out.logits = std::move(run.record.logits);
  return out;
}

}  // namespace mynah
