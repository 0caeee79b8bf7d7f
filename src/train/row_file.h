// Encoded rows of training in token files: written once as they are read, and taken from there one by one, so that memory does not grow with
// them (beyond half a byte a row).
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/require.h"
#include "bundle/bundle.h"
#include "train/row_words.h"
#include "train/token_file.h"

namespace mynah::train {

// Rows as words, found by their number. In a token file sixteen of them make a chunk, which begins with their sizes; the places of the
// chunks stand behind all rows.
class RowWords {
 public:
  RowWords() = default;
  explicit RowWords(TokenFile file);

  int64_t size() const { return rows_; }
  std::vector<int32_t> row(int64_t i) const;
  int64_t note(size_t i) const { return file_ ? file_->numbers()[2 + i] : 0; }

 private:
  std::optional<TokenFile> file_;
  int64_t rows_ = 0;
  std::vector<int64_t> chunks_;  // where they begin
};

class RowWordsWriter {
 public:
  explicit RowWordsWriter(const std::filesystem::path& path) : file_(path) {}

  void add(std::span<const int32_t> row);
  int64_t size() const { return rows_; }
  void commit(std::span<const int64_t> notes);

 private:
  void end_chunk();

  TokenFileWriter file_;
  int64_t rows_ = 0;
  std::vector<int32_t> sizes_, words_;  // of the chunk that is being filled
  std::vector<int64_t> chunks_;
};

// Rows of one file. None of no file.
template <class Row>
class RowFile {
 public:
  RowFile() = default;
  RowFile(TokenFile kept, const std::filesystem::path& file) : words_(std::move(kept)), file_(file.string()) {}

  bool empty() const { return words_.size() == 0; }
  int64_t size() const { return words_.size(); }
  Row operator[](int64_t i) const {
    const std::vector<int32_t> words = words_.row(i);
    Row row;
    PartsFromWords parts(file_, words);
    parts(row);
    return row;
  }
  // What was counted while they were read.
  int64_t note(size_t i) const { return words_.note(i); }

 private:
  RowWords words_;
  std::string file_;
};

// Takes rows as they are read, and up to four counts of what is to be said about them.
template <class Row>
class RowSink {
 public:
  RowSink(const std::filesystem::path& path, const std::filesystem::path& file, std::function<bool()> should_stop)
      : writer_(path), file_(file.string()), should_stop_(std::move(should_stop)) {}

  void add(Row row) {
    if (should_stop_ && should_stop_()) fail(ErrorCode::interrupted, "{}: stopped while its rows were read", file_);
    words_.clear();
    PartsToWords parts(file_, &words_);
    parts(row);
    writer_.add(words_);
  }
  int64_t size() const { return writer_.size(); }
  int64_t& note(size_t i) { return notes_[i]; }
  void commit() { writer_.commit(notes_); }

 private:
  RowWordsWriter writer_;
  std::string file_;
  std::function<bool()> should_stop_;
  std::vector<int32_t> words_;
  std::array<int64_t, 4> notes_{};
};

// The rows that `read` makes of `file`; from the token file at `kept_at`, where an earlier run left it.
template <class Row>
RowFile<Row> keep_rows(const std::filesystem::path& kept_at, const std::filesystem::path& file, const std::function<void(RowSink<Row>&)>& read,
                       const std::function<bool()>& should_stop = {}) {
  auto kept = TokenFile::open(kept_at);
  if (!kept) {
    RowSink<Row> sink(kept_at, file, should_stop);
    read(sink);
    sink.commit();
    kept = TokenFile::open(kept_at);
    MYNAH_CHECK(kept.has_value());
  }
  return {std::move(*kept), file};
}

// The same at the place that contents of the file, tokenizer of `b` and `how` (the rest of what decides the rows) give. No rows of an empty path.
template <class Row>
RowFile<Row> keep_rows(const Arguments& arguments, const bundle::Bundle& b, const std::filesystem::path& file, const std::string& how,
                       const std::function<void(RowSink<Row>&)>& read) {
  if (file.empty()) return {};
  return keep_rows<Row>(token_file_path(arguments, {file}, b.text_path, how), file, read, arguments.should_stop);
}

}  // namespace mynah::train
