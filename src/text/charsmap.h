// SentencePiece's table of replacements: a double-array trie (Darts) over bytes, whose values are places in a block of
// zero-terminated texts.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mynah::text {

class CharsMap {
 public:
  // Throws integrity when the table is damaged. An empty one replaces nothing.
  explicit CharsMap(std::string_view table);

  // Calls found(size, replacement) for every known sequence that `text` begins with, from the shortest to the longest,
  // until it returns false.
  template <class F>
  void each(std::string_view text, F&& found) const {
    if (units_.empty()) return;
    size_t node = offset(units_[0]);
    for (size_t i = 0; i < text.size(); ++i) {
      const auto byte = static_cast<unsigned char>(text[i]);
      if (byte == 0) return;
      node ^= byte;
      if (node >= units_.size() || (units_[node] & (1u << 31 | 0xFF)) != byte) return;
      const bool leaf = units_[node] >> 8 & 1;
      node ^= offset(units_[node]);
      if (!leaf) continue;
      if (node >= units_.size()) return;
      const size_t begin = units_[node] & ~(1u << 31);
      if (begin > replacements_.size()) return;
      const size_t end = replacements_.find('\0', begin);
      if (!found(i + 1, std::string_view(replacements_).substr(begin, end == std::string::npos ? end : end - begin)))
        return;
    }
  }

 private:
  static size_t offset(uint32_t unit) { return static_cast<size_t>(unit >> 10) << ((unit & 1u << 9) >> 6); }

  std::vector<uint32_t> units_;
  std::string replacements_;
};

}  // namespace mynah::text
