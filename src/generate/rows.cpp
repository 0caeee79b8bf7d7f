// generate() of the reference: rows of ids in, padded rows out.
#include <algorithm>

#include "base/require.h"
#include "bundle/bundle.h"
#include "generate/beam_search.h"
#include "generate/config.h"
#include "generate/media_prompt.h"
#include "generate/own_way.h"
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

// How many rows there are, whatever holds them.
size_t row_count(const GenerateInputs& in, const nn::CausalLM& lm) {
  const nn::Seq2SeqLM* encoder = lm.seq2seq_lm();
  if (!encoder || encoder->medium().empty()) {
    require(in.media.empty() || !lm.media_names().empty(), "generate: {} is not an input of this model, which reads input_ids", in.media.empty() ? "" : in.media.begin()->first);
    if (const auto pixels = in.media.find("pixel_values"); in.input_ids.empty() && pixels != in.media.end() && pixels->second.rank() > 0)
      return static_cast<size_t>(pixels->second.size(0));
    require(!in.input_ids.empty(), "generate: input_ids has no rows");
    return in.input_ids.size();
  }
  const std::string name(encoder->medium());
  const auto medium = in.media.find(name);
  require(medium != in.media.end(), "generate: {} is missing", name);
  require(in.input_ids.empty(), "generate: this model reads {}, not input_ids; give what its decoder starts with as decoder_input_ids", name);
  const int64_t rows = medium->second.rank() > 0 ? medium->second.size(0) : 0;
  require(rows > 0, "generate: {} has shape {}, expected [batch, ...]", name, medium->second.shape().str());
  for (const auto& [other, tensor] : in.media)
    require(tensor.rank() > 0 && tensor.size(0) == rows, "generate: {} has shape {}, expected {} rows as {} has", other, tensor.shape().str(), rows, name);
  return static_cast<size_t>(rows);
}

// Decoder-only: the rows are the prompts.
std::vector<Prompt> decoder_prompts(const GenerateInputs& in, size_t count, const Rows& mask, const nn::CausalLM& lm) {
  require(in.decoder_input_ids.empty(), "generate: decoder_input_ids are for encoder-decoders; this model takes input_ids alone");
  if (!in.negative_prompt_ids.empty()) check_rows(in.negative_prompt_ids, "negative_prompt_ids", in.input_ids.size(), lm.vocabulary_size());
  if (!in.media.empty()) return generation::media_prompts(lm, static_cast<int64_t>(count), in.input_ids, mask, in.media);
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

// The decoder's prompt of each row; the start token goes first, unless one of the given rows has it there or the family's prompts name their task.
Rows decoder_starts(const GenerateInputs& in, size_t count, const nn::Seq2SeqLM& lm, const GenerationConfig& c) {
  const int32_t start = generation::decoder_start(lm, c);
  if (in.decoder_input_ids.empty()) return Rows(count, {start});
  check_rows(in.decoder_input_ids, "decoder_input_ids", count, lm.vocabulary_size());
  Rows rows = in.decoder_input_ids;
  if (lm.starts_prompts() && std::none_of(rows.begin(), rows.end(), [&](const auto& row) { return row[0] == start; }))
    for (auto& row : rows) row.insert(row.begin(), start);
  return rows;
}

std::vector<Prompt> encoded_prompts(const GenerateInputs& in, size_t count, const nn::Seq2SeqLM& lm, const GenerationConfig& c) {
  if (c.guidance_scale != 1.0f) fail(ErrorCode::usage, "generation: guidance_scale is for decoder-only models");
  const Rows starts = decoder_starts(in, count, lm, c);
  std::vector<Prompt> out;
  if (!lm.medium().empty()) {
    for (size_t b = 0; b < count; ++b) {
      nn::NamedTensors row;
      for (const auto& [name, tensor] : in.media) row[name] = narrow(tensor, 0, static_cast<int64_t>(b), 1);
      out.push_back(generation::encoded_prompt(lm, row, starts[b]));
    }
    return out;
  }
  const Rows mask = mask_of(in, c);
  for (size_t b = 0; b < count; ++b) out.push_back(generation::encoded_prompt(lm, in.input_ids[b], mask[b], starts[b]));
  return out;
}

// The reference fills beams with the end token where the padding id is 0 or missing.
int32_t filler(const GenerationConfig& c) {
  const int32_t pad = c.pad_token_id.value_or(c.eos_token_id.empty() ? 0 : c.eos_token_id[0]);
  return c.num_beams > 1 && pad == 0 && !c.eos_token_id.empty() ? c.eos_token_id[0] : pad;
}

GenerateOutputs padded(GenerateOutputs out, const GenerationConfig& config) {
  size_t longest = 0;
  for (const auto& row : out.sequences) longest = std::max(longest, row.size());
  for (auto& row : out.sequences) row.resize(longest, filler(config));
  return out;
}

}  // namespace

GenerateOutputs generate(const Model& model, const GenerateInputs& in, const GenerationConfig& config) {
  NoGrad no_grad;
  generation::check(config);
  const nn::CausalLM& lm = model.bundle().causal_lm();
  const nn::Seq2SeqLM* seq2seq = lm.seq2seq_lm();
  const size_t count = row_count(in, lm);
  const nn::Decoding* own = seq2seq ? seq2seq->decoding() : nullptr;
  if (!own && !config.speech.asked.empty()) fail(ErrorCode::usage, "generation: {} is a setting of models that write down sound; this one does not", config.speech.asked);
  if (own) {
    if (!in.decoder_input_ids.empty()) check_rows(in.decoder_input_ids, "decoder_input_ids", count, lm.vocabulary_size());
    GenerateOutputs out;
    out.transcripts = generation::run_decoding(model.bundle(), *own, in, config);
    for (const Transcript& t : out.transcripts) out.sequences.push_back(t.tokens);
    return padded(std::move(out), config);
  }
  if (!in.input_ids.empty()) check_rows(in.input_ids, "input_ids", count, seq2seq ? seq2seq->source_vocabulary_size() : lm.vocabulary_size());
  std::vector<Prompt> prompts = seq2seq ? encoded_prompts(in, count, *seq2seq, config) : decoder_prompts(in, count, mask_of(in, config), lm);
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
  out.scores = std::move(run.record.scores);
  out.logits = std::move(run.record.logits);
  if (!seq2seq) out.prompt_length = static_cast<int64_t>(prompts[0].tokens.size());
  return padded(std::move(out), config);
}

}  // namespace mynah
