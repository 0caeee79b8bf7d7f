#include "text/grammar.h"

#include <algorithm>

#include "base/require.h"

namespace mynah::text {
namespace {

constexpr int64_t kNoEnd = int64_t{1} << 40;     // the distance of what has no end
constexpr size_t kMostAlternatives = 20000;      // stacks of one state: more means a rule that begins with itself
constexpr size_t kMostStates = 1000000;

}  // namespace

Grammar::Expression Grammar::add(Node node) {
  nodes_.push_back(std::move(node));
  return static_cast<Expression>(nodes_.size()) - 1;
}

Grammar::Expression Grammar::bytes(const Bytes& set) {
  sets_.push_back(set);
  return add({Kind::bytes, {}, static_cast<int32_t>(sets_.size()) - 1});
}

Grammar::Expression Grammar::literal(std::string_view text) {
  std::vector<Expression> parts;
  for (const char c : text) parts.push_back(bytes(Bytes().set(static_cast<unsigned char>(c))));
  return sequence(parts);
}

Grammar::Expression Grammar::sequence(const std::vector<Expression>& parts) { return parts.size() == 1 ? parts[0] : add({Kind::sequence, parts}); }
Grammar::Expression Grammar::either(const std::vector<Expression>& alternatives) {
  return alternatives.size() == 1 ? alternatives[0] : add({Kind::either, alternatives});
}

Grammar::Expression Grammar::repeat(Expression part, int64_t least, int64_t most) {
  if (least == 1 && most == 1) return part;
  const auto [it, fresh] = repeats_.try_emplace({part, least, most});
  if (fresh) it->second = add({Kind::repeat, {part}, -1, least, most});
  return it->second;
}

Grammar::Expression Grammar::rule() { return add({Kind::rule, {}}); }
void Grammar::define(Expression rule, Expression body) { nodes_[static_cast<size_t>(rule)].parts = {body}; }

// Code points of one length in UTF-8 whose encodings are a product of byte ranges are one sequence; others are cut up.
Grammar::Expression Grammar::utf8(char32_t first, char32_t last) {
  constexpr char32_t kEnds[] = {0x7F, 0x7FF, 0xFFFF};
  for (const char32_t end : kEnds)
    if (first <= end && last > end) return either({utf8(first, end), utf8(end + 1, last)});
  const int length = first <= 0x7F ? 1 : first <= 0x7FF ? 2 : first <= 0xFFFF ? 3 : 4;
  for (int i = 1; i < length; ++i) {
    const char32_t low = (char32_t{1} << (6 * i)) - 1;
    if ((first & ~low) == (last & ~low)) continue;
    if ((first & low) != 0) return either({utf8(first, first | low), utf8((first | low) + 1, last)});
    if ((last & low) != low) return either({utf8(first, (last & ~low) - 1), utf8(last & ~low, last)});
  }
  std::vector<Expression> parts;
  for (int i = length - 1; i >= 0; --i) {
    constexpr int kLead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    const bool lead = i == length - 1;
    const auto byte_of = [&](char32_t c) { return static_cast<int>((c >> (6 * i)) & (lead ? 0xFFu : 0x3Fu)) | (lead ? kLead[length] : 0x80); };
    Bytes set;
    for (int b = byte_of(first); b <= byte_of(last); ++b) set.set(static_cast<size_t>(b));
    parts.push_back(bytes(set));
  }
  return sequence(parts);
}

Grammar::Expression Grammar::characters(const std::vector<std::pair<char32_t, char32_t>>& ranges) {
  std::vector<Expression> alternatives;
  Bytes ascii;
  const auto add_range = [&](char32_t first, char32_t last) {
    for (; first <= last && first < 0x80; ++first) ascii.set(first);
    if (first <= last) alternatives.push_back(utf8(first, last));
  };
  for (const auto& [first, last] : ranges) {
    add_range(first, std::min<char32_t>(last, 0xD7FF));
    add_range(std::max<char32_t>(first, 0xE000), std::min<char32_t>(last, 0x10FFFF));
  }
  if (ascii.any()) alternatives.push_back(bytes(ascii));
  return either(alternatives);
}

Automaton::Automaton(Grammar grammar, Grammar::Expression root) : grammar_(std::move(grammar)), cells_{{-1, 0, 0}} {
  measure();
  std::vector<Stack> seen, leaves;
  expand(push(root, 0), &seen, &leaves);
  start_ = intern(std::move(leaves));
  require(start_ != kDead && distance(start_) < kNoEnd, "grammar: no text of it is finite");
}

// Shortest texts: rules refer to each other, so until nothing changes.
void Automaton::measure() {
  shortest_.resize(grammar_.nodes_.size(), kNoEnd);
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = 0; i < grammar_.nodes_.size(); ++i) {
      const Grammar::Node& n = grammar_.nodes_[i];
      int64_t shortest = n.kind == Grammar::Kind::bytes ? 1 : n.kind == Grammar::Kind::sequence ? 0 : kNoEnd;
      for (const Grammar::Expression part : n.parts) {
        const int64_t p = shortest_[static_cast<size_t>(part)];
        if (n.kind == Grammar::Kind::sequence) shortest = std::min(kNoEnd, shortest + p);
        else if (n.kind == Grammar::Kind::repeat) shortest = n.least == 0 ? 0 : p >= kNoEnd / n.least ? kNoEnd : p * n.least;
        else shortest = std::min(shortest, p);
      }
      if (n.kind == Grammar::Kind::bytes && grammar_.sets_[static_cast<size_t>(n.set)].none()) shortest = kNoEnd;
      if (shortest == shortest_[i]) continue;
      shortest_[i] = shortest;
      changed = true;
    }
  }
}

Automaton::Stack Automaton::push(Grammar::Expression top, Stack rest) {
  const auto [it, fresh] = known_.try_emplace({top, rest}, static_cast<Stack>(cells_.size()));
  if (fresh) cells_.push_back({top, rest, std::min(kNoEnd, shortest_[static_cast<size_t>(top)] + cells_[static_cast<size_t>(rest)].distance)});
  return it->second;
}

// An expression that is made while a text is followed.
Grammar::Expression Automaton::repeat(Grammar::Expression part, int64_t least, int64_t most) {
  const Grammar::Expression e = grammar_.repeat(part, least, most);
  if (shortest_.size() < grammar_.nodes_.size()) shortest_.push_back(std::min(kNoEnd, least * shortest_[static_cast<size_t>(part)]));
  return e;
}

// The stack with counts of more than `reach` cut down to one more than that.
Automaton::Stack Automaton::near(Stack stack, int64_t reach) {
  if (stack == 0) return 0;
  const Cell cell = cells_[static_cast<size_t>(stack)];
  const Stack rest = near(cell.rest, reach);
  const Grammar::Node& n = grammar_.nodes_[static_cast<size_t>(cell.top)];
  if (n.kind != Grammar::Kind::repeat || (n.least <= reach && n.most <= reach)) return push(cell.top, rest);
  const Grammar::Expression part = n.parts[0];
  return push(repeat(part, std::min(n.least, reach + 1), std::min(n.most, reach + 1)), rest);
}

Automaton::State Automaton::similar(State state, int64_t reach, int64_t* extra) {
  const std::vector<Stack> leaves = states_[static_cast<size_t>(state)].leaves;
  std::vector<Stack> other;
  *extra = 0;
  for (const Stack s : leaves) {
    other.push_back(near(s, reach));
    *extra = std::max(*extra, cells_[static_cast<size_t>(s)].distance - cells_[static_cast<size_t>(other.back())].distance);
  }
  std::sort(other.begin(), other.end());
  other.erase(std::unique(other.begin(), other.end()), other.end());
  return intern(std::move(other));
}

// The stacks with bytes on top, or empty, that `stack` comes to without reading anything.
void Automaton::expand(Stack stack, std::vector<Stack>* seen, std::vector<Stack>* leaves) {
  std::vector<Stack> open = {stack};
  while (!open.empty()) {
    const Stack s = open.back();
    open.pop_back();
    if (std::find(seen->begin(), seen->end(), s) != seen->end()) continue;
    seen->push_back(s);
    require(seen->size() < kMostAlternatives, "grammar: a rule begins with itself, or too much may come next");
    const Cell cell = cells_[static_cast<size_t>(s)];
    if (cell.distance >= kNoEnd) continue;  // cannot be completed
    if (s == 0 || grammar_.nodes_[static_cast<size_t>(cell.top)].kind == Grammar::Kind::bytes) {
      leaves->push_back(s);
      continue;
    }
    const Grammar::Node n = grammar_.nodes_[static_cast<size_t>(cell.top)];
    if (n.kind == Grammar::Kind::sequence) {
      Stack rest = cell.rest;
      for (auto part = n.parts.rbegin(); part != n.parts.rend(); ++part) rest = push(*part, rest);
      open.push_back(rest);
    } else if (n.kind == Grammar::Kind::repeat) {
      if (n.least == 0) open.push_back(cell.rest);
      if (n.most == 0) continue;
      const Grammar::Expression again = repeat(n.parts[0], std::max<int64_t>(n.least - 1, 0), n.most < 0 ? -1 : n.most - 1);
      open.push_back(push(n.parts[0], n.most == 1 ? cell.rest : push(again, cell.rest)));
    } else {
      for (const Grammar::Expression part : n.parts) open.push_back(push(part, cell.rest));
    }
  }
}

Automaton::State Automaton::intern(std::vector<Stack> leaves) {
  if (leaves.empty()) return kDead;
  std::sort(leaves.begin(), leaves.end());
  const auto [it, fresh] = ids_.try_emplace(leaves, static_cast<State>(states_.size()));
  if (!fresh) return it->second;
  require(states_.size() < kMostStates, "grammar: too many states");
  int64_t distance = kNoEnd;
  for (const Stack s : leaves) distance = std::min(distance, cells_[static_cast<size_t>(s)].distance);
  const bool accepts = leaves.front() == 0;
  states_.push_back({std::move(leaves), std::vector<State>(256, kUnknown), distance, accepts});
  return it->second;
}

Automaton::State Automaton::next(State state, uint8_t byte) {
  if (const State known = states_[static_cast<size_t>(state)].next[byte]; known != kUnknown) return known;
  std::vector<Stack> seen, leaves;
  const std::vector<Stack> now = states_[static_cast<size_t>(state)].leaves;
  for (const Stack s : now) {
    if (s == 0) continue;
    const Cell cell = cells_[static_cast<size_t>(s)];
    if (grammar_.sets_[static_cast<size_t>(grammar_.nodes_[static_cast<size_t>(cell.top)].set)][byte]) expand(cell.rest, &seen, &leaves);
  }
  const State found = intern(std::move(leaves));
  states_[static_cast<size_t>(state)].next[byte] = found;
  return found;
}

Automaton::State Automaton::next(State state, std::string_view bytes) {
  for (const char c : bytes) {
    if (state == kDead) break;
    state = next(state, static_cast<uint8_t>(c));
  }
  return state;
}

}  // namespace mynah::text
