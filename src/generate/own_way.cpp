#include "generate/own_way.h"

#include <algorithm>

#include "base/require.h"
#include "generate/beam_search.h"
#include "generate/config.h"
#include "generate/prompt.h"

namespace mynah::generation {
namespace {

class Generator final : public nn::Generator {
 public:
  Generator(const bundle::Bundle& b, const GenerationConfig& config) : bundle_(b), lm_(b.causal_lm()), config_(config) {}

  std::vector<nn::DecodingAnswer> answer(const nn::DecodingCall& call) override {
    GenerationConfig c = config_;
    c.num_return_sequences = 1;
    c.num_beams = call.num_beams;
    c.do_sample = call.temperature > 0;
    if (c.do_sample) c.temperature = call.temperature;
    std::vector<Prompt> prompts;
    for (const auto& row : call.rows) {
      Prompt p;
      p.tokens = row.tokens;
      p.seen = row.seen;
      p.source = row.source;
      p.stream = row.stream;
      p.max_length = length_limit(c, static_cast<int64_t>(p.tokens.size()), lm_.max_positions());
      prompts.push_back(std::move(p));
    }
    Run run(lm_, c, bundle_.tokenizer);
    run.log_probabilities = call.log_probabilities;
    if (call.process) run.process = [&](const Running& s, std::span<float> scores) { call.process(s.tokens, s.prompt_length(), scores); };
    std::vector<nn::DecodingAnswer> out;
    const auto put = [&](const std::vector<int32_t>& tokens, double log_probability) {
      const auto prompt = static_cast<long>(prompts[out.size()].tokens.size());
      out.push_back({{tokens.begin() + prompt, tokens.end()}, log_probability});
    };
    if (c.num_beams > 1)
      for (const auto& row : beam_search(run, prompts)) put(row[0].tokens, row[0].log_probability);
    else
      for (const Running& s : sample(run, prompts)) put(s.tokens, s.log_probability);
    return out;
  }

 private:
  const bundle::Bundle& bundle_;
  const nn::CausalLM& lm_;
  const GenerationConfig& config_;
};

}  // namespace

std::vector<Transcript> run_decoding(const bundle::Bundle& b, const nn::Decoding& decoding, const GenerateInputs& in, const GenerationConfig& c) {
  if (c.output_scores || c.output_logits || c.guidance_scale != 1.0f)
    fail(ErrorCode::usage, "generation: {} is not for this model, which answers piece by piece", c.output_scores ? "output_scores" : c.output_logits ? "output_logits" : "guidance_scale");
  const nn::Seq2SeqLM& lm = *b.causal_lm().seq2seq_lm();
  Generator generator(b, c);
  nn::DecodingRequest request{in.media, in.decoder_input_ids, b.generation_config, b.config, c.speech};
  request.num_beams = c.num_beams;
  request.num_return_sequences = c.num_return_sequences;
  request.start = decoder_start(lm, c);
  request.end = c.eos_token_id.empty() ? c.bos_token_id.value_or(-1) : c.eos_token_id[0];
  request.pad = c.pad_token_id.value_or(request.end);
  request.suppress_tokens = c.suppress_tokens;
  return decoding.run(request, generator);
}

}  // namespace mynah::generation
