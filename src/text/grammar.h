// A language over bytes, built from expressions, and the automaton that follows it. States are made as they are reached, so rules
// may be recursive: a state is the set of what may come next, each a stack of expressions still to be met.
#pragma once
#include <bitset>
#include <cstdint>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

namespace mynah::text {

class Grammar {
 public:
  using Expression = int32_t;
  using Bytes = std::bitset<256>;

  Expression bytes(const Bytes& set);                                          // one byte of the set
  Expression literal(std::string_view text);
  Expression sequence(const std::vector<Expression>& parts);
  Expression either(const std::vector<Expression>& alternatives);              // of none: nothing matches
  Expression repeat(Expression part, int64_t least, int64_t most);             // most < 0: without end
  Expression optional(Expression part) { return repeat(part, 0, 1); }
  // A name that may be used before it is defined.
  Expression rule();
  void define(Expression rule, Expression body);
  // One character, in UTF-8, of ranges [first, last] of code points; surrogates are left out.
  Expression characters(const std::vector<std::pair<char32_t, char32_t>>& ranges);

 private:
  friend class Automaton;
  enum class Kind : uint8_t { bytes, sequence, either, repeat, rule };
  struct Node {
    Kind kind;
    std::vector<Expression> parts;
    int32_t set = -1;             // of bytes
    int64_t least = 0, most = 0;  // of repeat
  };
  Expression add(Node node);
  Expression utf8(char32_t first, char32_t last);

  std::vector<Node> nodes_;
  std::vector<Bytes> sets_;
  std::map<std::vector<int64_t>, Expression> repeats_;
};

// Follows texts of a grammar byte by byte. Not for several threads at once.
class Automaton {
 public:
  using State = int32_t;
  static constexpr State kDead = -1;  // no text of the language begins so

  Automaton(Grammar grammar, Grammar::Expression root);

  State start() const { return start_; }
  State next(State state, uint8_t byte);
  State next(State state, std::string_view bytes);
  bool accepts(State state) const { return states_[static_cast<size_t>(state)].accepts; }
  // Whether a text of the language goes on from here.
  bool goes_on(State state) const { return states_[static_cast<size_t>(state)].leaves.size() > (accepts(state) ? 1u : 0u); }
  // A state that goes on alike for at least `reach` bytes: counts that are further off are made equal, so that many states share
  // one. `extra` gets how much longer the way to the end may be from `state` than from it.
  State similar(State state, int64_t reach, int64_t* extra);
  // Bytes of the shortest way to the end of a text.
  int64_t distance(State state) const { return states_[static_cast<size_t>(state)].distance; }

 private:
  using Stack = int32_t;  // 0 is empty
  struct Cell {
    Grammar::Expression top;
    Stack rest;
    int64_t distance;
  };
  struct StateData {
    std::vector<Stack> leaves;  // sorted; each empty or with bytes on top
    std::vector<State> next;    // by byte; kUnknown until asked for
    int64_t distance;
    bool accepts;
  };
  static constexpr State kUnknown = -2;

  Stack push(Grammar::Expression top, Stack rest);
  Grammar::Expression repeat(Grammar::Expression part, int64_t least, int64_t most);
  Stack near(Stack stack, int64_t reach);
  void expand(Stack stack, std::vector<Stack>* seen, std::vector<Stack>* leaves);
  State intern(std::vector<Stack> leaves);
  void measure();

  Grammar grammar_;
  std::vector<int64_t> shortest_;  // bytes of each expression's shortest text
  std::vector<Cell> cells_;
  std::map<std::pair<Grammar::Expression, Stack>, Stack> known_;
  std::vector<StateData> states_;
  std::map<std::vector<Stack>, State> ids_;
  State start_ = kDead;
};

}  // namespace mynah::text
