// Keeps an answer inside a grammar: which tokens may come next, from the automaton over bytes and the tokens' own bytes. Masks are
// kept for each state, so that a step costs little more than applying one.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "mynah/generate.h"
#include "mynah/tokenizer.h"
#include "text/grammar.h"

namespace mynah::generation {

class Constraint {
 public:
  using State = text::Automaton::State;

  // Throws failure if the vocabulary cannot write every byte, and so not every text.
  Constraint(text::Automaton automaton, const Tokenizer& tokenizer, std::vector<int32_t> end_tokens, int64_t vocabulary);

  State start() const { return automaton_.start(); }
  // Puts what may not come next to -infinity. An end token may come where the text is complete. `left`: tokens that may still
  // come, this one included: only what can be completed within them stays, if anything does.
  void apply(State state, int64_t left, std::span<float> scores);
  // The state after a token; dead after one that apply() did not leave.
  State next(State state, int32_t token);
  // Whether the text is complete and nothing can follow.
  bool complete(State state) const { return state != text::Automaton::kDead && automaton_.accepts(state) && !automaton_.goes_on(state); }

 private:
  struct Mask {
    std::vector<uint64_t> allowed;  // a bit per token
    int64_t farthest = 0;           // no token leads further from the end than this
  };
  // A node of the tree of all tokens' bytes.
  struct Node {
    uint8_t byte = 0;
    int32_t next = 0;               // the node after this one and all that is under it
    int32_t first = 0, count = 0;   // tokens that end here
  };
  using Tree = std::vector<Node>;     // depth first
  const Mask& mask(State state);
  void visit(const Tree& tree, State state, int64_t most_distance, Mask* mask);
  Tree build_tree(const std::vector<int32_t>& order);

  text::Automaton automaton_;
  std::vector<int32_t> ends_;
  std::vector<std::string> bytes_;  // of each token; empty: never allowed
  Tree short_, long_;               // of tokens of up to kShort bytes, and of the others
  std::vector<int32_t> tokens_;     // of the nodes, in order
  std::unordered_map<State, Mask> masks_, short_masks_;
};

// What config.format or config.regex asks for; null for neither. Throws failure without a tokenizer, usage for what cannot be read.
std::shared_ptr<Constraint> make_constraint(const GenerationConfig& config, const std::shared_ptr<const Tokenizer>& tokenizer, int64_t vocabulary);

}  // namespace mynah::generation
