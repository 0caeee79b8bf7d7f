#include "text/prefix_tree.h"

#include <algorithm>

#include "base/require.h"

namespace mynah::text {

PrefixTree::PrefixTree(std::vector<std::pair<std::string_view, int64_t>> entries) {
  constexpr size_t kLongest = 1024;
  std::erase_if(entries, [](const auto& entry) { return entry.first.empty(); });
  std::vector<uint32_t> order(entries.size());
  for (uint32_t i = 0; i < order.size(); ++i) {
    order[i] = i;
    if (entries[i].first.size() > kLongest)
      fail(ErrorCode::integrity, "tokenizer: a token of {} bytes; at most {} are allowed here", entries[i].first.size(),
           kLongest);
  }
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    const int compared = entries[a].first.compare(entries[b].first);
    return compared != 0 ? compared < 0 : a < b;
  });
  struct Work {  // entries order[begin, end) are equal up to `depth`, where `node` stands
    uint32_t node, begin, end, depth;
  };
  nodes_.emplace_back();
  std::vector<Work> todo = {{0, 0, static_cast<uint32_t>(order.size()), 0}};
  for (size_t next = 0; next < todo.size(); ++next) {  // breadth first: a node's children lie together
    auto [node, begin, end, depth] = todo[next];
    const auto text = [&](uint32_t i) { return entries[order[i]].first; };
    if (begin < end && text(begin).size() == depth) nodes_[node].value = entries[order[begin]].second;
    while (begin < end && text(begin).size() == depth) ++begin;
    nodes_[node].first_child = static_cast<uint32_t>(nodes_.size());
    while (begin < end) {
      const char byte = text(begin)[depth];
      uint32_t stop = begin;
      while (stop < end && text(stop)[depth] == byte) ++stop;
      todo.push_back({static_cast<uint32_t>(nodes_.size()), begin, stop, depth + 1});
      nodes_.push_back({-1, 0, 0, static_cast<unsigned char>(byte)});
      ++nodes_[node].children;
      begin = stop;
    }
  }
  for (uint32_t i = 0; i < nodes_[0].children; ++i) {
    const uint32_t at = nodes_[0].first_child + i;
    first_[nodes_[at].byte] = at;
  }
}

uint32_t PrefixTree::child(const Node& node, char byte) const {
  const Node* begin = nodes_.data() + node.first_child;
  const Node* end = begin + node.children;
  const auto wanted = static_cast<unsigned char>(byte);
  const Node* at = std::partition_point(begin, end, [wanted](const Node& n) { return n.byte < wanted; });
  return at != end && at->byte == wanted ? static_cast<uint32_t>(at - nodes_.data()) : 0;
}

}  // namespace mynah::text
