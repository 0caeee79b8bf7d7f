#include "data/byte_source.h"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <vector>

#include "base/require.h"

namespace mynah::data {
namespace {

// zlib reads plain files as they are.
class GzipSource : public ByteSource {
 public:
  explicit GzipSource(int descriptor) : file_(gzdopen(descriptor, "rb")) {}
  ~GzipSource() override {
    if (file_) gzclose(file_);
  }
  bool opened() const { return file_ != nullptr; }
  size_t read(char* to, size_t size, std::string* trouble) override {
    const int got = gzread(file_, to, static_cast<unsigned>(size));
    int error = Z_OK;
    const char* reason = gzerror(file_, &error);
    if (got >= 0 && error != Z_BUF_ERROR && error != Z_DATA_ERROR) return static_cast<size_t>(got);
    *trouble = error == Z_BUF_ERROR ? "the archive ends early" : reason;
    return 0;
  }

 private:
  gzFile file_;
};

// Frames of Zstandard, one after another (RFC 8878).
class ZstdSource : public ByteSource {
 public:
  explicit ZstdSource(int descriptor) : descriptor_(descriptor), stream_(ZSTD_createDStream()), packed_(ZSTD_DStreamInSize()) {
    require(stream_ != nullptr, "zstd: no memory for a stream");
  }
  ~ZstdSource() override {
    ZSTD_freeDStream(stream_);
    ::close(descriptor_);
  }
  size_t read(char* to, size_t size, std::string* trouble) override {
    ZSTD_outBuffer out{to, size, 0};
    while (out.pos == 0) {
      if (in_.pos == in_.size && !more_) {
        const ssize_t got = ::read(descriptor_, packed_.data(), packed_.size());
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) {
          if (got < 0) *trouble = std::strerror(errno);
          else if (inside_) *trouble = "the archive ends early";
          return 0;
        }
        in_ = {packed_.data(), static_cast<size_t>(got), 0};
      }
      const size_t left = ZSTD_decompressStream(stream_, &out, &in_);
      if (ZSTD_isError(left)) {
        *trouble = ZSTD_getErrorName(left);
        return 0;
      }
      inside_ = left != 0;
      more_ = inside_ && out.pos == out.size;
    }
    return out.pos;
  }

 private:
  int descriptor_;
  ZSTD_DStream* stream_;
  std::vector<char> packed_;
  ZSTD_inBuffer in_{nullptr, 0, 0};
  bool inside_ = false;  // of a frame
  bool more_ = false;    // may come without further input
};

// What a file that begins so is, when it is neither text nor a known archive, and what makes text of it. No text begins so.
struct OtherKind {
  std::string_view begin;
  const char *what, *way;
};
constexpr OtherKind kOtherKinds[] = {{"\xFF\xFE", "UTF-16 text", "iconv -t UTF-8 makes UTF-8 of it"},
                                     {"\xFE\xFF", "UTF-16 text", "iconv -t UTF-8 makes UTF-8 of it"},
                                     {"\xFD" "7zXZ", "an xz archive", "unpack it, or pack it with gzip or zstd"},
                                     {"BZh91AY&", "a bzip2 archive", "unpack it, or pack it with gzip or zstd"},
                                     {"\x04\x22\x4D\x18", "an lz4 archive", "unpack it, or pack it with gzip or zstd"},
                                     {"7z\xBC\xAF", "a 7z archive", "unpack it, or pack it with gzip or zstd"},
                                     {"PK\x03\x04", "a zip archive", "unpack it, or pack it with gzip or zstd"},
                                     {"PAR1\x15", "a Parquet table", "write it as JSON Lines (pandas: to_json(lines=True, orient=\"records\"))"},
                                     {{"ARROW1\0", 7}, "an Arrow table", "write it as JSON Lines (datasets: to_json)"},
                                     {"%PDF-", "a PDF", "take its text out first (pdftotext)"},
                                     {{"GGUF\3\0", 6}, "a GGUF model", "expected text or rows"}};

}  // namespace

std::unique_ptr<ByteSource> ByteSource::open(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0)
    fail(errno == ENOENT || errno == ENOTDIR ? ErrorCode::not_found : ErrorCode::failure, "{}: cannot open: {}", path.string(), std::strerror(errno));
  if (std::filesystem::is_directory(path)) {
    ::close(descriptor);
    fail(ErrorCode::failure, "{}: a folder, expected a file of rows", path.string());
  }
  static constexpr unsigned char kZstd[4] = {0x28, 0xb5, 0x2f, 0xfd};
  char head[8] = {};
  const ssize_t got = ::pread(descriptor, head, sizeof head, 0);
  if (got >= 4 && std::memcmp(head, kZstd, sizeof kZstd) == 0) return std::make_unique<ZstdSource>(descriptor);
  const std::string_view begin(head, got > 0 ? static_cast<size_t>(got) : 0);
  for (const OtherKind& kind : kOtherKinds)
    if (begin.starts_with(kind.begin)) {
      ::close(descriptor);
      fail(ErrorCode::failure, "{}: {}, expected UTF-8 text, plain, .gz or .zst; {}", path.string(), kind.what, kind.way);
    }
  auto source = std::make_unique<GzipSource>(descriptor);
  require(source->opened(), "{}: cannot read", path.string());
  return source;
}

std::string ending_inside(const std::filesystem::path& path) {
  std::string ending = name_inside(path).extension().string();
  for (char& c : ending)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return ending;
}

std::filesystem::path name_inside(const std::filesystem::path& path) {
  return path.extension() == ".gz" || path.extension() == ".zst" ? path.stem() : path.filename();
}

}  // namespace mynah::data
