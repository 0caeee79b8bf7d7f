#include "generate/constraint.h"

#include <algorithm>
#include <bitset>
#include <numeric>

#include "base/json.h"
#include "base/require.h"
#include "generate/scores.h"
#include "text/grammar_regex.h"
#include "text/json_schema.h"

namespace mynah::generation {
namespace {

constexpr int64_t kShort = 16;  // bytes; few tokens are longer

}  // namespace

Constraint::Constraint(text::Automaton automaton, const Tokenizer& tokenizer, std::vector<int32_t> end_tokens, int64_t vocabulary)
    : automaton_(std::move(automaton)), ends_(std::move(end_tokens)), bytes_(static_cast<size_t>(vocabulary)) {
  std::bitset<256> single;
  for (int32_t id = 0; id < std::min<int64_t>(vocabulary, tokenizer.vocab_size()); ++id) {
    if (tokenizer.is_special(id) || std::find(ends_.begin(), ends_.end(), id) != ends_.end()) continue;
    std::string& bytes = bytes_[static_cast<size_t>(id)] = tokenizer.token_bytes(id);
    if (bytes.size() == 1) single.set(static_cast<unsigned char>(bytes[0]));
  }
  // Then every text of the grammar can be written, and none needs more tokens than it has bytes.
  for (size_t b = ' '; b < 127; ++b)
    require(single[b], "generation: no token writes \"{}\" alone, so this vocabulary cannot keep to a format", static_cast<char>(b));
  std::vector<int32_t> order(bytes_.size());
  std::iota(order.begin(), order.end(), 0);
  std::erase_if(order, [&](int32_t id) { return bytes_[static_cast<size_t>(id)].empty(); });
  std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    const std::string &x = bytes_[static_cast<size_t>(a)], &y = bytes_[static_cast<size_t>(b)];
    return x != y ? x < y : a < b;
  });
  const auto middle = std::stable_partition(order.begin(), order.end(), [&](int32_t id) { return bytes_[static_cast<size_t>(id)].size() <= static_cast<size_t>(kShort); });
  short_ = build_tree({order.begin(), middle});
  long_ = build_tree({middle, order.end()});
}

Constraint::Tree Constraint::build_tree(const std::vector<int32_t>& order) {
  Tree tree;
  std::vector<int32_t> path;  // nodes from the root to the last token's
  const auto close = [&](size_t depth) {
    for (; path.size() > depth; path.pop_back()) tree[static_cast<size_t>(path.back())].next = static_cast<int32_t>(tree.size());
  };
  std::string last;
  for (const int32_t id : order) {
    const std::string& text = bytes_[static_cast<size_t>(id)];
    const size_t shared = static_cast<size_t>(std::mismatch(last.begin(), last.end(), text.begin(), text.end()).first - last.begin());
    close(shared);
    for (size_t i = shared; i < text.size(); ++i) {
      path.push_back(static_cast<int32_t>(tree.size()));
      tree.push_back({static_cast<uint8_t>(text[i]), 0, static_cast<int32_t>(tokens_.size()), 0});
    }
    ++tree[static_cast<size_t>(path.back())].count;
    tokens_.push_back(id);
    last = text;
  }
  close(0);
  return tree;
}

void Constraint::visit(const Tree& tree, State state, int64_t most_distance, Mask* mask) {
  std::vector<State> states;  // along the path
  std::vector<int32_t> ends;
  for (int32_t at = 0; at < static_cast<int32_t>(tree.size());) {
    const Node& node = tree[static_cast<size_t>(at)];
    while (!ends.empty() && ends.back() <= at) ends.pop_back(), states.pop_back();
    const State now = automaton_.next(states.empty() ? state : states.back(), node.byte);
    if (now == text::Automaton::kDead) {
      at = node.next;
      continue;
    }
    if (node.count > 0)
      if (const int64_t distance = automaton_.distance(now); distance <= most_distance) {
        mask->farthest = std::max(mask->farthest, distance);
        for (int32_t i = 0; i < node.count; ++i) {
          const auto id = static_cast<size_t>(tokens_[static_cast<size_t>(node.first + i)]);
          mask->allowed[id / 64] |= uint64_t{1} << (id % 64);
        }
      }
    states.push_back(now);
    ends.push_back(node.next);
    ++at;
  }
}

// States that differ in counts out of the reach of short tokens share the work for these.
const Constraint::Mask& Constraint::mask(State state) {
  const auto [it, fresh] = masks_.try_emplace(state);
  if (!fresh) return it->second;
  int64_t extra = 0;
  const State near = automaton_.similar(state, kShort, &extra);
  const auto [common, first] = short_masks_.try_emplace(near);
  if (first) {
    common->second.allowed.assign((bytes_.size() + 63) / 64, 0);
    visit(short_, near, INT64_MAX, &common->second);
  }
  it->second = common->second;
  it->second.farthest += extra;
  visit(long_, state, INT64_MAX, &it->second);
  return it->second;
}

void Constraint::apply(State state, int64_t left, std::span<float> scores) {
  if (state == text::Automaton::kDead) return std::fill(scores.begin(), scores.end(), kNever);  // a beam that does not count
  const Mask* allowed = &mask(state);
  // After this token the text must still come to its end.
  Mask near;
  if (allowed->farthest >= left && automaton_.distance(state) <= left) {
    near.allowed.assign((bytes_.size() + 63) / 64, 0);
    visit(short_, state, left - 1, &near);
    visit(long_, state, left - 1, &near);
    allowed = &near;
  }
  std::vector<float> ends;
  for (const int32_t id : ends_) ends.push_back(id < static_cast<int64_t>(scores.size()) ? scores[static_cast<size_t>(id)] : kNever);
  for (size_t word = 0; word < allowed->allowed.size(); ++word) {
    const uint64_t bits = allowed->allowed[word];
    if (bits == ~uint64_t{0}) continue;
    const size_t first = word * 64, last = std::min(first + 64, scores.size());
    for (size_t i = first; i < last; ++i)
      if (!(bits >> (i - first) & 1)) scores[i] = kNever;
  }
  if (automaton_.accepts(state))
    for (size_t i = 0; i < ends_.size(); ++i)
      if (ends[i] != kNever) scores[static_cast<size_t>(ends_[i])] = ends[i];
  require(std::any_of(scores.begin(), scores.end(), [](float s) { return s != kNever; }),
          "generation: no token may come next: the settings ban all that the format allows");
}

Constraint::State Constraint::next(State state, int32_t token) {
  if (std::find(ends_.begin(), ends_.end(), token) != ends_.end()) return state;
  return automaton_.next(state, bytes_[static_cast<size_t>(token)]);
}

namespace {

text::Grammar::Expression json_of(text::Grammar& grammar, const Json& format) { return format == "json" ? text::json_object(grammar) : text::json_schema(grammar, format); }

// {"$before": a regular expression, "$then": "json" or a schema}: a thought in front of the JSON, say.
text::Grammar::Expression behind(text::Grammar& grammar, const Json& format) {
  if (!format["$before"].is_string() || !format.contains("$then")) fail(ErrorCode::usage, "schema: $before is {}, expected a regular expression with $then", format["$before"].dump());
  return grammar.sequence({text::regular_expression(grammar, format["$before"].get<std::string>()), json_of(grammar, format["$then"])});
}

}  // namespace

std::shared_ptr<Constraint> make_constraint(const GenerationConfig& c, const std::shared_ptr<const Tokenizer>& tokenizer, int64_t vocabulary) {
  if (c.format.empty() && c.regex.empty()) return nullptr;
  if (!c.format.empty() && !c.regex.empty()) fail(ErrorCode::usage, "generation: give one of format and regex");
  require(tokenizer != nullptr, "generation: a format needs a tokenizer, and the model comes without one");
  text::Grammar grammar;
  text::Grammar::Expression root;
  if (!c.regex.empty()) {
    root = text::regular_expression(grammar, c.regex);
  } else {
    const Json format = c.format == "json" ? Json("json") : parse_json(c.format, "schema");
    root = format.is_object() && format.contains("$before") ? behind(grammar, format) : json_of(grammar, format);
  }
  return std::make_shared<Constraint>(text::Automaton(std::move(grammar), root), *tokenizer, c.eos_token_id, vocabulary);
}

}  // namespace mynah::generation
