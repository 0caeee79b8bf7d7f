#include "train/text_corpus.h"

#include <algorithm>
#include <cctype>
#include <cstring>

#include "base/require.h"
#include "data/byte_source.h"
#include "data/rows.h"
#include "store/digest.h"

namespace mynah::train {
namespace {

namespace fs = std::filesystem;

constexpr size_t kPiece = 1u << 20;  // bytes of text

// What stands behind the tokens.
struct Footer {
  char magic[16];
  int64_t words, documents, bytes;
};
constexpr char kMagic[16] = "mynah tokens 1\n";

bool holds_rows(const fs::path& path) {
  const fs::path ending = data::name_inside(path).extension();
  return ending == ".jsonl" || ending == ".json" || ending == ".csv";
}

// Of all files that a tokenizer may be made of; weights that lie beside them have no part in it.
void add_tokenizer(store::Hasher* hasher, const fs::path& path) {
  std::vector<fs::path> files;
  if (fs::is_directory(path)) {
    for (const auto& entry : fs::directory_iterator(path)) {
      const fs::path ending = entry.path().extension();
      if (entry.is_regular_file() && (ending == ".json" || ending == ".txt" || ending == ".model")) files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
  } else {
    files.push_back(path);
  }
  for (const fs::path& file : files) hasher->add(file.filename().string() + " " + store::digest_of_file(file).hex() + "\n");
}

std::string key(const std::vector<fs::path>& files, const fs::path& tokenizer, int32_t end_token) {
  store::Hasher hasher;
  hasher.add(kMagic);
  add_tokenizer(&hasher, tokenizer);
  hasher.add(std::to_string(end_token) + "\n");
  for (const fs::path& file : files) {
    require(fs::is_regular_file(file) || !fs::exists(file), "{}: expected a file", file.string());
    hasher.add((holds_rows(file) ? data::name_inside(file).extension().string() : "text") + " " + store::digest_of_file(file).hex() + "\n");
  }
  return hasher.finish().hex();
}

}  // namespace

// Puts documents into a token file as they come.
class CorpusWriter {
 public:
  CorpusWriter(const fs::path& path, const Tokenizer& tokenizer) : file_(path), tokenizer_(tokenizer) {}

  void add(const std::string& text) {
    std::vector<int32_t> ids = tokenizer_.encode_ids(text, false);
    footer_.bytes += static_cast<int64_t>(text.size());
    for (const int32_t id : ids)
      if (tokenizer_.is_special(id)) footer_.bytes -= static_cast<int64_t>(tokenizer_.token_text(id).size());
    write(ids);
  }
  void end_document(int32_t end_token) {
    if (end_token >= 0) write({end_token});
    ++footer_.documents;
    if (!waits_) return;
    waiting_ |= Corpus::kLast;
    flush();
  }
  void commit() {
    std::memcpy(footer_.magic, kMagic, sizeof kMagic);
    file_.write(&footer_, sizeof footer_);
    file_.commit();
  }

 private:
  // The newest token waits, for it may turn out to be its document's last.
  void write(const std::vector<int32_t>& ids) {
    if (ids.empty()) return;
    flush();
    file_.write(ids.data(), (ids.size() - 1) * sizeof(int32_t));
    footer_.words += static_cast<int64_t>(ids.size()) - 1;
    waiting_ = ids.back();
    waits_ = true;
  }
  void flush() {
    if (!waits_) return;
    file_.write(&waiting_, sizeof waiting_);
    ++footer_.words;
    waits_ = false;
  }

  AtomicFile file_;
  const Tokenizer& tokenizer_;
  Footer footer_{};
  int32_t waiting_ = 0;
  bool waits_ = false;
};

std::vector<int32_t> Corpus::row(int64_t begin, int64_t count) const {
  std::vector<int32_t> ids(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) ids[static_cast<size_t>(i)] = token(begin + i);
  return ids;
}

Corpus Corpus::split_off(int64_t begin) {
  Corpus rest = *this;
  const double share = words_.empty() ? 0 : static_cast<double>(size() - begin) / static_cast<double>(size());
  rest.bytes_ = static_cast<int64_t>(static_cast<double>(bytes_) * share + 0.5);
  bytes_ -= rest.bytes_;
  rest.words_ = words_.subspan(static_cast<size_t>(begin));
  words_ = words_.first(static_cast<size_t>(begin));
  return rest;
}

std::optional<Corpus> Corpus::open(const fs::path& path) {
  std::error_code none;
  if (!fs::exists(path, none)) return std::nullopt;
  Corpus corpus;
  corpus.memory_ = MappedFile::open(path);
  const std::span<const std::byte> all = corpus.memory_->bytes();
  Footer footer;
  if (all.size() < sizeof footer) return std::nullopt;
  std::memcpy(&footer, all.data() + all.size() - sizeof footer, sizeof footer);
  const size_t words = (all.size() - sizeof footer) / sizeof(int32_t);
  if (std::memcmp(footer.magic, kMagic, sizeof kMagic) != 0 || footer.words != static_cast<int64_t>(words)) return std::nullopt;
  corpus.words_ = {reinterpret_cast<const int32_t*>(all.data()), words};
  corpus.documents_ = footer.documents;
  corpus.bytes_ = footer.bytes;
  return corpus;
}

Corpus read_corpus(const std::vector<fs::path>& files, const Tokenizer& tokenizer, const fs::path& tokenizer_path, int32_t end_token, const fs::path& folder) {
  const fs::path path = folder / (key(files, tokenizer_path, end_token) + ".tokens");
  if (auto kept = Corpus::open(path)) return *kept;
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail(ErrorCode::failure, "{}: cannot be made: {}", folder.string(), error.message());
  CorpusWriter writer(path, tokenizer);
  for (const fs::path& file : files) {
    if (holds_rows(file)) {
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
  auto made = Corpus::open(path);
  MYNAH_CHECK(made.has_value());
  return *made;
}

}  // namespace mynah::train
