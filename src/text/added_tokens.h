// Tokens that are found in the text itself, before the model sees it: special tokens and those that users added.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/normalizer.h"
#include "text/pieces.h"
#include "text/prefix_tree.h"
#include "text/string_table.h"

namespace mynah::text {

struct AddedToken {
  std::string content;
  int32_t id = -1;
  bool special = false;                 // recognised only on request; skipped in decoding on request
  bool single_word = false;             // not inside a word
  bool lstrip = false, rstrip = false;  // takes the white space before, behind it
  bool normalized = false;              // found in the normalized text, by its normalized content
};

// Finds the leftmost of a set of texts, the longest of those, the first added of equals.
class TextSet {
 public:
  void add(std::string text, size_t value) { texts_.emplace_back(std::move(text), static_cast<int64_t>(value)); }
  // Call once after the last add().
  void finish();
  bool empty() const { return tree_.empty(); }
  struct Found {
    size_t begin = 0, end = 0, value = 0;
  };
  // The next match at or after `from`; false if there is none.
  bool find(std::string_view text, size_t from, Found& found) const;

 private:
  std::vector<std::pair<std::string, int64_t>> texts_;
  PrefixTree tree_;
  std::string only_first_byte_;  // when all begin alike
};

class AddedTokens {
 public:
  // Adds one; a later token of equal content replaces the first one's flags, but is looked for where the first one was.
  // `vocabulary` gives known texts their id.
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
