#include "train/row_file.h"

#include <algorithm>
#include <numeric>

#include "base/require.h"

namespace mynah::train {
namespace {

constexpr int64_t kChunk = 16;  // rows

}  // namespace

RowWords::RowWords(TokenFile file) : file_(std::move(file)), rows_(file_->numbers()[0]), chunks_(static_cast<size_t>((rows_ + kChunk - 1) / kChunk)) {
  std::vector<int32_t> places(2 * chunks_.size());
  file_->read(file_->numbers()[1], places);
  PartsFromWords parts("", places);
  for (int64_t& place : chunks_) parts(place);
}

std::vector<int32_t> RowWords::row(int64_t i) const {
  MYNAH_CHECK(i >= 0 && i < rows_);
  const int64_t chunk = chunks_[static_cast<size_t>(i / kChunk)], rows = std::min(kChunk, rows_ - i / kChunk * kChunk);
  std::vector<int32_t> sizes(static_cast<size_t>(rows));
  file_->read(chunk, sizes);
  const auto at = static_cast<size_t>(i % kChunk);
  std::vector<int32_t> words(static_cast<size_t>(sizes[at]));
  file_->read(std::accumulate(sizes.begin(), sizes.begin() + static_cast<long>(at), chunk + rows), words);
  return words;
}

void RowWordsWriter::add(std::span<const int32_t> row) {
  sizes_.push_back(static_cast<int32_t>(row.size()));
  words_.insert(words_.end(), row.begin(), row.end());
  ++rows_;
  if (static_cast<int64_t>(sizes_.size()) == kChunk) end_chunk();
}

void RowWordsWriter::end_chunk() {
  if (sizes_.empty()) return;
  chunks_.push_back(file_.size());
  file_.write(sizes_);
  file_.write(words_);
  sizes_.clear();
  words_.clear();
}

void RowWordsWriter::commit(std::span<const int64_t> notes) {
  end_chunk();
  TokenFile::Numbers numbers{rows_, file_.size()};
  MYNAH_CHECK(notes.size() + 2 <= numbers.size());
  std::copy(notes.begin(), notes.end(), numbers.begin() + 2);
  std::vector<int32_t> places;
  PartsToWords parts("", &places);
  for (int64_t& place : chunks_) parts(place);
  file_.write(places);
  file_.commit(numbers);
}

}  // namespace mynah::train
