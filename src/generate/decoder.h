// Runs a language model over sequences that each have a memory of their own: prompts in pieces, then steps, many sequences at
// once. Every sequence's numbers depend on its own tokens only, so company changes nothing.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "nn/causal_lm.h"

namespace mynah::generation {

// What a prompt holds beside its tokens, whose numbers are those of the tokens that are not hidden.
struct PromptMedia {
  Tensor rows;                  // embeddings [M, C] in place of the tokens `places`, ascending
  std::vector<int64_t> places;
  std::vector<std::array<int32_t, 3>> axes;  // TokenBatch::axes of the tokens; empty: the model has none
  int32_t axes_shift = 0;                    // of all three for what follows the prompt, to a token's number
  // From token `first` on the decoder attends to these keys and values; ascending. Empty: to none ever.
  struct Source {
    int64_t first = 0;
    std::shared_ptr<const nn::Cache> cache;
  };
  std::vector<Source> sources;
  // What stands for each token where prompts are compared: its id or, below 0, a digest of the media that it holds or sees.
  std::vector<int32_t> keys;
};

// How many of `count` tokens from number `first` on attend to the same source, which `source` becomes (and stays, if there is none).
int64_t source_at(const PromptMedia& media, int64_t first, int64_t count, std::shared_ptr<const nn::Cache>* source);
// Enters the embeddings among the prompt's tokens first .. first + count - 1, which are the next rows of a batch, into it and `rows`.
void append_media(const PromptMedia& media, int64_t first, int64_t count, nn::TokenBatch* batch, std::vector<Tensor>* rows);

// What the model has seen of one sequence.
struct Memory {
  nn::Cache cache;
  std::shared_ptr<const nn::Cache> source;  // keys and values of what an encoder read; null for decoders alone
  int64_t offset = 0;                       // position of the first token
  std::shared_ptr<const PromptMedia> media = nullptr;  // null: there are tokens only

  // The same again, sharing what has been computed.
  Memory fork() const { return {cache.prefix(cache.length()), source, offset, media}; }
};

class Decoder {
 public:
  explicit Decoder(const nn::CausalLM& lm) : lm_(lm) {}

  struct Piece {
    Memory* memory;
    std::span<const int32_t> tokens;  // what follows the memory; not empty
    bool every = false;               // logits after each token, not only the last
    int64_t quiet = 0;                // but after none of the first so many
  };

  Memory memory(std::shared_ptr<const nn::Cache> source = {}) const { return {lm_.new_cache(), std::move(source)}; }
  // Appends each piece's tokens to its memory. Logits [n, V] of all pieces' wanted tokens, in order.
  Tensor run(std::span<const Piece> pieces);
  const nn::CausalLM& model() const { return lm_; }

 private:
  // The piece, or all that its memory holds and the piece behind it where the model reads a text of this length anew.
  Piece with_past(const Piece& piece, std::vector<int32_t>* tokens) const;
  Tensor compute(std::span<const Piece> pieces);
  void append(const Piece& piece, int64_t from, int64_t count);

  const nn::CausalLM& lm_;
  nn::TokenBatch batch_;          // reused, so that a step allocates nothing
  std::vector<int64_t> wanted_;   // rows of batch_ whose logits are asked for
  std::vector<Tensor> media_;     // rows for batch_.media_rows
};

}  // namespace mynah::generation
