// Text as tokens for pretraining: documents of the training files, one after another, in a file that is mapped into memory. However much
// text there is, memory holds only what is being read.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/file.h"
#include "mynah/tokenizer.h"

namespace mynah::train {

class Corpus {
 public:
  int64_t size() const { return static_cast<int64_t>(words_.size()); }  // in tokens
  int64_t documents() const { return documents_; }
  int64_t bytes() const { return bytes_; }  // of text; special tokens that stand in it have none
  int32_t token(int64_t i) const { return words_[static_cast<size_t>(i)] & ~kLast; }
  // Whether a document ends with this token.
  bool is_last(int64_t i) const { return i + 1 == size() || (words_[static_cast<size_t>(i)] & kLast) != 0; }
  std::vector<int32_t> row(int64_t begin, int64_t count) const;

  // The documents from token `begin` on are cut off and given back; a document that begins before it is divided.
  Corpus split_off(int64_t begin);

  // A token file, or nothing where there is none that is whole.
  static std::optional<Corpus> open(const std::filesystem::path& path);

 private:
  friend class CorpusWriter;
  static constexpr int32_t kLast = INT32_MIN;  // the sign bit

  std::shared_ptr<const MappedFile> memory_;
  std::span<const int32_t> words_;
  int64_t documents_ = 0, bytes_ = 0;
};

// A file of plain text (.txt or any unknown ending) is one document; rows of .jsonl and .csv files are one each. With `end_token` >= 0 it
// follows each document of a file of rows. The tokens are kept in `folder` under a name that files, tokenizer (its files are in
// `tokenizer_path`) and end token decide, and are read from there the next time. Texts above 1 MB are encoded in pieces that end with a line.
Corpus read_corpus(const std::vector<std::filesystem::path>& files, const Tokenizer& tokenizer, const std::filesystem::path& tokenizer_path, int32_t end_token,
                   const std::filesystem::path& folder);

}  // namespace mynah::train
