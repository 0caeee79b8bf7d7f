// Runs a language model over sequences that each have a memory of their own: prompts in pieces, then steps, many sequences at
// once. Every sequence's numbers depend on its own tokens only, so company changes nothing.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "nn/causal_lm.h"

namespace mynah::generation {

// What the model has seen of one sequence.
struct Memory {
  nn::Cache cache;
  std::shared_ptr<const nn::Cache> source;  // keys and values of what an encoder read; null for decoders alone
  int64_t offset = 0;                       // position of the first token

  // The same again, sharing what has been computed.
  Memory fork() const { return {cache.prefix(cache.length()), source, offset}; }
};

class Decoder {
 public:
  explicit Decoder(const nn::CausalLM& lm) : lm_(lm) {}

  struct Piece {
    Memory* memory;
    std::span<const int32_t> tokens;  // what follows the memory; not empty
    bool every = false;               // logits after each token, not only the last
  };

  Memory memory(std::shared_ptr<const nn::Cache> source = {}) const { return {lm_.new_cache(), std::move(source)}; }
  // Appends each piece's tokens to its memory. Logits [n, V] of all pieces' wanted tokens, in order.
  Tensor run(std::span<const Piece> pieces);
  const nn::CausalLM& model() const { return lm_; }

 private:
  void append(const Piece& piece, int64_t from, int64_t count);

  const nn::CausalLM& lm_;
  nn::TokenBatch batch_;          // reused, so that a step allocates nothing
  std::vector<int64_t> wanted_;   // rows of batch_ whose logits are asked for
};

}  // namespace mynah::generation
