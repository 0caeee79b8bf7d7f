// Tokens that are found in the text itself, before the model sees it: special tokens and those that users added.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/normalizer.h"
#include "text/pieces.h"
#include "text/string_table.h"

namespace mynah::text {

struct AddedToken {
  std::string content;
  int32_t id = -1;
  bool special = false;      // recognised only on request; skipped in decoding on request
  bool single_word = false;  // not inside a word
  bool lstrip = false, rstrip = false;  // takes the white space before, behind it
  bool normalized = false;   // found in the normalized text, by its normalized content
};

// Finds the leftmost of a set of texts, the longest of those, the first added of equals.
class TextSet {
 public:
  // Throws integrity when a text is longer than 1024 bytes (matching costs text times longest entry).
  void add(std::string text, size_t value);
  void finish();
  bool empty() const { return texts_.empty(); }
  struct Found {
    size_t begin = 0, end = 0, value = 0;
  };
  // The next match at or after `from`; false if there is none.
  bool find(std::string_view text, size_t from, Found& found) const;

 private:
  struct Node {
    uint32_t first_child = 0, children = 0;  // in nodes_, sorted by byte
    int64_t value = -1;
    char byte = 0;
  };
  const Node* child(const Node& node, char byte) const;
  void build(uint32_t node, size_t begin, size_t end, size_t depth);

  std::vector<std::pair<std::string, size_t>> texts_;
  std::vector<Node> nodes_;
  std::string first_bytes_;  // what an entry may begin with
  bool starts_[256] = {};
};

class AddedTokens {
 public:
  // Adds one; a later token of equal content replaces the first one's flags. `vocabulary` gives known texts their id.
  void add(AddedToken token, const Vocabulary& vocabulary);
  // Call once after the last add().
  void finish(const Normalizer* normalizer);

  // Cuts the tokens that match the input as it is (normalized = false) or its normal form out of the text pieces.
  void cut(Pieces& pieces, bool normalized, bool parse_special) const;

  const AddedToken* find(int32_t id) const;
  const AddedToken* find(std::string_view content) const;
  int32_t limit() const { return limit_; }

 private:
  template <class Emit>
  void cut_text(std::string_view text, const TextSet& set, bool parse_special, Emit&& emit) const;

  std::vector<AddedToken> tokens_;
  std::unordered_map<std::string, size_t> by_content_;
  std::unordered_map<int32_t, size_t> by_id_;
  TextSet plain_, normalized_;
  int32_t limit_ = 0;  // one more than the largest id
};

}  // namespace mynah::text
