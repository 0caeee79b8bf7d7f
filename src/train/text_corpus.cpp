#include "train/text_corpus.h"

#include <cctype>
#include <span>

#include "base/require.h"
#include "data/rows.h"

namespace mynah::train {
namespace {

namespace fs = std::filesystem;

constexpr size_t kPiece = 1u << 20;  // bytes of text

}  // namespace

// Puts documents into a token file as they come.
class CorpusWriter {
 public:
  CorpusWriter(const fs::path& path, const Tokenizer& tokenizer) : file_(path), tokenizer_(tokenizer) {}

  void add(const std::string& text) {
    const std::vector<int32_t> ids = tokenizer_.encode_ids(text, false);
    bytes_ += static_cast<int64_t>(text.size());
    for (const int32_t id : ids)
      if (tokenizer_.is_special(id)) bytes_ -= static_cast<int64_t>(tokenizer_.token_text(id).size());
    write(ids);
  }
  void end_document(int32_t end_token) {
    if (end_token >= 0) write(std::span(&end_token, 1));
    ++documents_;
    if (waiting_) *waiting_ |= CorpusPiece::kLast;
    flush();
  }
  void commit() { file_.commit({documents_, bytes_}); }

 private:
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
  CorpusWriter writer(path, tokenizer);
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
        writer.add(piece);
        piece.clear();
      }
      piece += line;
    });
    writer.add(piece);
    writer.end_document(-1);
  }
  writer.commit();
  auto made = TokenFile::open(path);
  MYNAH_CHECK(made.has_value());
  return Corpus(std::move(*made));
}

}  // namespace mynah::train
