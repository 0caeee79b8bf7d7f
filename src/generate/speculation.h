// Speculative decoding: something cheap guesses the next tokens, the model checks them all at once. Guesses decide only how fast
// it goes: a token is kept exactly where the model chooses it, also when sampling, since every draw depends on its place alone.
// The draft draws with the same noise, so it tends to draw the same.
#pragma once
#include <memory>
#include <span>
#include <vector>

#include "generate/running.h"

namespace mynah::generation {

class Proposer {
 public:
  virtual ~Proposer() = default;
  // What may follow the sequence, at most `most` tokens, perhaps none.
  virtual std::vector<int32_t> propose(const Running& sequence, int64_t most) = 0;
};

// config.prompt_lookup_num_tokens or config.assistant_model; null for neither, and where the way of decoding has no use for it.
// Throws failure for an assistant with another vocabulary.
std::unique_ptr<Proposer> make_proposer(const GenerationConfig& config, const nn::CausalLM& model);

// Adds at least one token to each sequence.
void speculate(Run& run, Proposer& proposer, std::span<Running* const> sequences);

}  // namespace mynah::generation
