#include "train/text_corpus.h"

#include <algorithm>
#include <cctype>
#include <functional>
#include <span>
#include <utility>

#include "base/require.h"
#include "base/thread_pool.h"
#include "data/rows.h"

namespace mynah::train {
namespace {

namespace fs = std::filesystem;

constexpr size_t kPiece = 1u << 20;  // bytes of text
constexpr size_t kMostWaiting = 16u << 20;

}  // namespace

// Puts documents into a token file as they come. Some texts are kept back and encoded side by side by all threads.
class CorpusWriter {
 public:
  CorpusWriter(const fs::path& path, const Tokenizer& tokenizer, std::function<bool()> should_stop)
      : file_(path), tokenizer_(tokenizer), should_stop_(std::move(should_stop)),
        most_kept_back_(std::min(kMostWaiting, 2 * kPiece * static_cast<size_t>(thread_pool().threads()))) {}

  void add(std::string text) {
    if (should_stop_ && should_stop_()) fail(ErrorCode::interrupted, "stopped while texts were read");
    kept_back_bytes_ += text.size();
    kept_back_.push_back({std::move(text), {}, false, -1});
    if (kept_back_bytes_ >= most_kept_back_) encode();
  }
  void end_document(int32_t end_token) {
    if (kept_back_.empty()) kept_back_.push_back({});
    kept_back_.back().ends = true;
    kept_back_.back().end_token = end_token;
  }
  void commit() {
    encode();
    file_.commit({documents_, bytes_});
  }

 private:
  struct Text {
    std::string text;
    std::vector<int32_t> ids;
    bool ends = false;
    int32_t end_token = -1;
  };

  void encode() {
    constexpr int64_t kChunks = 64;
    const auto n = static_cast<int64_t>(kept_back_.size());
    parallel_for(n, std::max<int64_t>(1, n / kChunks), [&](int64_t i, int64_t end) {
      for (; i < end; ++i) kept_back_[static_cast<size_t>(i)].ids = tokenizer_.encode_ids(kept_back_[static_cast<size_t>(i)].text, false);
    });
    for (const Text& t : kept_back_) {
      bytes_ += static_cast<int64_t>(t.text.size());
      for (const int32_t id : t.ids)
        if (tokenizer_.is_special(id)) bytes_ -= static_cast<int64_t>(tokenizer_.token_text(id).size());
      write(t.ids);
      if (t.ends) end(t.end_token);
    }
    kept_back_.clear();
    kept_back_bytes_ = 0;
  }
  void end(int32_t end_token) {
    if (end_token >= 0) write(std::span(&end_token, 1));
    ++documents_;
    if (waiting_) *waiting_ |= CorpusPiece::kLast;
    flush();
  }
  // The newest token waits, for it may turn out to be its document's last.
  void write(std::span<const int32_t> ids) {
    if (ids.empty()) return;
    flush();
    file_.write(ids.first(ids.size() - 1));
    waiting_ = ids.back();
  }
  void flush() {
    if (waiting_) file_.write(std::span(&*waiting_, 1));
    waiting_.reset();
  }

  TokenFileWriter file_;
  const Tokenizer& tokenizer_;
  const std::function<bool()> should_stop_;
  const size_t most_kept_back_;
  std::vector<Text> kept_back_;
  size_t kept_back_bytes_ = 0;
  std::optional<int32_t> waiting_;
  int64_t documents_ = 0, bytes_ = 0;
};

Corpus::Corpus(TokenFile file) : file_(std::move(file)), end_(file_->size()), documents_(file_->numbers()[0]), bytes_(file_->numbers()[1]) {}

CorpusPiece Corpus::piece(int64_t begin, int64_t count) const {
  CorpusPiece piece;
  if (count == 0) return piece;
  MYNAH_CHECK(begin >= 0 && begin + count <= size());
  piece.words_.resize(static_cast<size_t>(count));
  file_->read(begin_ + begin, piece.words_);
  if (begin + count == size()) piece.words_.back() |= CorpusPiece::kLast;  // where the corpus was divided
  return piece;
}

std::vector<int32_t> Corpus::row(int64_t begin, int64_t count) const {
  const CorpusPiece some = piece(begin, count);
  std::vector<int32_t> ids(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) ids[static_cast<size_t>(i)] = some.token(i);
  return ids;
}

Corpus Corpus::split_off(int64_t begin) {
  Corpus rest = *this;
  const double share = size() == 0 ? 0 : static_cast<double>(size() - begin) / static_cast<double>(size());
  rest.bytes_ = static_cast<int64_t>(static_cast<double>(bytes_) * share + 0.5);
  bytes_ -= rest.bytes_;
  rest.begin_ = end_ = begin_ + begin;
  return rest;
}

Corpus read_corpus(const std::vector<fs::path>& files, const Tokenizer& tokenizer, const fs::path& tokenizer_path, int32_t end_token, const Arguments& arguments) {
  const fs::path path = token_file_path(arguments, files, tokenizer_path, "text " + std::to_string(end_token));
  if (auto kept = TokenFile::open(path)) return Corpus(std::move(*kept));
  CorpusWriter writer(path, tokenizer, arguments.should_stop);
  for (const fs::path& file : files) {
    if (data::holds_fields(file)) {
      data::for_each_row(file, [&](const Json& row, const std::string& where) {
        writer.add(data::text_field(row, "text", where));
        writer.end_document(end_token);
      });
      continue;
    }
    std::string piece;
    data::for_each_line(file, [&](std::string_view line) {
      // Cut before a line that begins with a character: tokens seldom reach over such a place.
      if (piece.size() >= kPiece && !std::isspace(static_cast<unsigned char>(line.front()))) {
        writer.add(std::exchange(piece, {}));
      }
      piece += line;
    });
    writer.add(std::move(piece));
    writer.end_document(-1);
  }
  writer.commit();
  auto made = TokenFile::open(path);
  MYNAH_CHECK(made.has_value());
  return Corpus(std::move(*made));
}

}  // namespace mynah::train
