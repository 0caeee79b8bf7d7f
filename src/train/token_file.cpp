#include "train/token_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "base/require.h"
#include "data/byte_source.h"
#include "store/digest.h"

namespace mynah::train {
namespace {

namespace fs = std::filesystem;

constexpr size_t kBuffer = size_t{1} << 18;  // words
constexpr size_t kGgufHead = size_t{64} << 20;

// What stands behind the words.
struct Footer {
  char magic[16];
  int64_t words;
  TokenFile::Numbers numbers;
};
constexpr char kMagic[16] = "mynah tokens 2\n";

fs::path folder_of(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  if (error) fail(ErrorCode::failure, "{}: cannot be made: {}", path.parent_path().string(), error.message());
  return path;
}

// Tokenizer and template stand at the beginning of a GGUF file.
void add_head(store::Hasher* hasher, const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::vector<char> head(std::min<size_t>(kGgufHead, fs::file_size(file)));
  if (!in.read(head.data(), static_cast<std::streamsize>(head.size()))) fail(ErrorCode::failure, "{}: cannot be read", file.string());
  hasher->add(head.data(), head.size());
}

// Of all files that a tokenizer may be made of; weights that lie beside them have no part in it.
void add_tokenizer(store::Hasher* hasher, const fs::path& path) {
  if (!fs::is_directory(path)) {
    add_head(hasher, path);
    return;
  }
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(path)) {
    const fs::path ending = entry.path().extension();
    if (entry.is_regular_file() && (ending == ".json" || ending == ".txt" || ending == ".model" || ending == ".jinja")) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) hasher->add(file.filename().string() + " " + store::digest_of_file(file).hex() + "\n");
}

}  // namespace

struct TokenFile::Descriptor {
  explicit Descriptor(const fs::path& path) : fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  // Whether all bytes were there.
  bool read(int64_t at, void* to, size_t size) const {
    auto* p = static_cast<char*>(to);
    while (size > 0) {
      const ssize_t got = ::pread(fd, p, size, at);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return false;
      p += got;
      at += got;
      size -= static_cast<size_t>(got);
    }
    return true;
  }

  const int fd;
};

std::optional<TokenFile> TokenFile::open(const fs::path& path) {
  std::error_code error;
  const auto bytes = static_cast<int64_t>(fs::file_size(path, error));
  if (error || bytes < static_cast<int64_t>(sizeof(Footer))) return std::nullopt;
  TokenFile file;
  file.path_ = path;
  file.file_ = std::make_shared<Descriptor>(path);
  if (file.file_->fd < 0) return std::nullopt;
  Footer footer;
  if (!file.file_->read(bytes - static_cast<int64_t>(sizeof footer), &footer, sizeof footer)) return std::nullopt;
  file.size_ = (bytes - static_cast<int64_t>(sizeof footer)) / static_cast<int64_t>(sizeof(int32_t));
  if (std::memcmp(footer.magic, kMagic, sizeof kMagic) != 0 || footer.words != file.size_) return std::nullopt;
  file.numbers_ = footer.numbers;
  return file;
}

void TokenFile::read(int64_t begin, std::span<int32_t> to) const {
  MYNAH_CHECK(begin >= 0 && begin + static_cast<int64_t>(to.size()) <= size_);
  require(file_->read(begin * static_cast<int64_t>(sizeof(int32_t)), to.data(), to.size_bytes()), "{}: cannot be read: {}", path_.string(),
          errno ? std::strerror(errno) : "it became shorter");
}

TokenFileWriter::TokenFileWriter(const fs::path& path) : file_(folder_of(path)) {}

void TokenFileWriter::write(std::span<const int32_t> words) {
  waiting_.insert(waiting_.end(), words.begin(), words.end());
  size_ += static_cast<int64_t>(words.size());
  if (waiting_.size() >= kBuffer) flush();
}

void TokenFileWriter::flush() {
  file_.write(waiting_.data(), waiting_.size() * sizeof(int32_t));
  waiting_.clear();
}

void TokenFileWriter::commit(const TokenFile::Numbers& numbers) {
  flush();
  Footer footer{{}, size_, numbers};
  std::memcpy(footer.magic, kMagic, sizeof kMagic);
  file_.write(&footer, sizeof footer);
  file_.commit();
}

fs::path token_file_path(const Arguments& a, const std::vector<fs::path>& files, const fs::path& tokenizer, const std::string& how) {
  store::Hasher hasher;
  hasher.add(kMagic);
  if (!tokenizer.empty()) add_tokenizer(&hasher, tokenizer);
  hasher.add(how + "\n");
  for (const fs::path& file : files) {
    require(fs::is_regular_file(file) || !fs::exists(file), "{}: expected a file", file.string());
    // Contents are read by the name's ending.
    hasher.add(data::name_inside(file).extension().string() + " " + store::digest_of_file(file).hex() + "\n");
  }
  return (a.tokens_folder.empty() ? a.output_dir / "tokens" : a.tokens_folder) / (hasher.finish().hex() + ".tokens");
}

}  // namespace mynah::train
