// A tree over the bytes of a set of texts: which of them begin at a place of another text.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace mynah::text {

class PrefixTree {
 public:
  PrefixTree() = default;
  // Of equal texts the first counts. Throws integrity when one is longer than 1024 bytes, since a search may cost that
  // much at every place. Empty texts are left out. The texts are not needed afterwards.
  explicit PrefixTree(std::vector<std::pair<std::string_view, int64_t>> entries);

  bool empty() const { return nodes_.size() <= 1; }
  // Whether an entry begins with this byte.
  bool begins_with(char byte) const { return first_[static_cast<unsigned char>(byte)] != 0; }

  // Calls found(end, value) for every entry that is text[at, end), from the shortest to the longest.
  template <class F>
  void each(std::string_view text, size_t at, F&& found) const {
    if (at >= text.size()) return;
    uint32_t node = first_[static_cast<unsigned char>(text[at])];
    for (size_t end = at + 1; node != 0; ++end) {
      if (nodes_[node].value >= 0) found(end, nodes_[node].value);
      node = end < text.size() ? child(nodes_[node], text[end]) : 0;
    }
  }

 private:
  struct Node {
    int64_t value = -1;
    uint32_t first_child = 0;  // in nodes_, sorted by byte
    uint16_t children = 0;
    unsigned char byte = 0;
  };
  // The node's child for a byte, 0 if there is none.
  uint32_t child(const Node& node, char byte) const;

  std::vector<Node> nodes_;
  std::array<uint32_t, 256> first_{};
};

}  // namespace mynah::text
