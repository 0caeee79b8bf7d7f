// A tokenizer's model: words to token ids.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/pieces.h"
#include "text/string_table.h"
#include "text/word_cache.h"

namespace mynah::text {

// A linked list of symbols under merging, and a heap of candidate merges.
struct MergeScratch {
  struct Symbol {
    int32_t id;
    uint32_t begin, end;     // bytes of the word
    int32_t previous, next;  // -1 at the ends
  };
  std::vector<Token> symbols;
  std::vector<uint64_t> ranks;
  std::vector<Symbol> list;
  std::vector<uint64_t> heap;
};

// The best way to a place of a word (unigram.h).
struct PathNode {
  double score = 0;    // of the best path from the beginning of the word to here
  int32_t id = -1;     // of its last piece
  uint32_t begin = 0;  // where that piece begins
  bool reached = false;
};

// What one encoding needs for itself; kept and used again by later encodings.
struct Workspace {
  WordCache cache;
  MergeScratch merge;
  Pieces pieces;
  std::vector<Token> tokens;
  std::vector<PathNode> path;
  std::string spelling;
};

class Model {
 public:
  virtual ~Model() = default;
  // Appends the tokens of a word (valid UTF-8; any bytes if reads_bytes()).
  virtual void tokenize(std::string_view word, Workspace& work, std::vector<Token>& tokens) const = 0;
  virtual const Vocabulary& vocabulary() const = 0;
  // What encodings show for a token of `word`.
  virtual std::string_view token_text(std::string_view, const Token& token) const {
    return vocabulary().text(token.id);
  }
  // What marks tokens that continue a word ("##"); empty when nothing does.
  virtual std::string_view continuing_prefix() const { return {}; }
  // Whether words come as raw bytes although the vocabulary spells them as characters (byte_level.h).
  virtual bool reads_bytes() const { return false; }
  // Asks the model to read raw bytes; returns whether it can.
  virtual bool read_bytes() { return false; }
};

}  // namespace mynah::text
