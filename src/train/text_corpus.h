// Text as tokens for pretraining: documents of the training files, one after another, in a token file.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "mynah/tokenizer.h"
#include "train/token_file.h"

namespace mynah::train {

// Tokens of a corpus that were read together.
class CorpusPiece {
 public:
  int64_t size() const { return static_cast<int64_t>(words_.size()); }
  int32_t token(int64_t i) const { return words_[static_cast<size_t>(i)] & ~kLast; }
  // Whether a document ends with this token.
  bool is_last(int64_t i) const { return (words_[static_cast<size_t>(i)] & kLast) != 0; }

 private:
  friend class Corpus;
  friend class CorpusWriter;
  static constexpr int32_t kLast = INT32_MIN;  // the sign bit
  std::vector<int32_t> words_;
};

class Corpus {
 public:
  Corpus() = default;
  explicit Corpus(TokenFile file);

  int64_t size() const { return end_ - begin_; }  // in tokens
  int64_t documents() const { return documents_; }
  int64_t bytes() const { return bytes_; }  // of text; special tokens that stand in it have none
  CorpusPiece piece(int64_t begin, int64_t count) const;
  std::vector<int32_t> row(int64_t begin, int64_t count) const;

  // The documents from token `begin` on are cut off and given back; a document that begins before it is divided.
  Corpus split_off(int64_t begin);

 private:
  std::optional<TokenFile> file_;
  int64_t begin_ = 0, end_ = 0, documents_ = 0, bytes_ = 0;
};

// A file of plain text (.txt or any unknown ending) is one document; rows of .jsonl and .csv files are one each. With `end_token` >= 0 it
// follows each document of a file of rows. The tokens are kept (token_file.h). Texts above 1 MB are encoded in pieces that end with a line.
Corpus read_corpus(const std::vector<std::filesystem::path>& files, const Tokenizer& tokenizer, const std::filesystem::path& tokenizer_path, int32_t end_token,
                   const Arguments& arguments);

}  // namespace mynah::train
