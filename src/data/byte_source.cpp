#include "data/byte_source.h"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <cerrno>
#include <cstring>
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
  char head[4];
  if (::pread(descriptor, head, sizeof head, 0) == sizeof head && std::memcmp(head, kZstd, sizeof head) == 0) return std::make_unique<ZstdSource>(descriptor);
  auto source = std::make_unique<GzipSource>(descriptor);
  require(source->opened(), "{}: cannot read", path.string());
  return source;
}

std::filesystem::path name_inside(const std::filesystem::path& path) {
  return path.extension() == ".gz" || path.extension() == ".zst" ? path.stem() : path.filename();
}

}  // namespace mynah::data
