#include "data/line_reader.h"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "base/require.h"

namespace mynah::data {
namespace {
constexpr size_t kLongestLine = 64u << 20, kBuffer = 1u << 18;
}

// zlib reads plain files as they are.
struct LineReader::State {
  gzFile file = nullptr;
  std::vector<char> buffer = std::vector<char>(kBuffer);
  size_t at = 0, end = 0;
  ~State() {
    if (file) gzclose(file);
  }
};

LineReader::LineReader(const std::filesystem::path& path) : state_(std::make_unique<State>()), path_(path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0)
    fail(errno == ENOENT || errno == ENOTDIR ? ErrorCode::not_found : ErrorCode::failure, "{}: cannot open: {}",
         path.string(), std::strerror(errno));
  if (std::filesystem::is_directory(path)) {
    ::close(descriptor);
    fail(ErrorCode::failure, "{}: a folder, expected a file of rows", path.string());
  }
  state_->file = gzdopen(descriptor, "rb");
  require(state_->file != nullptr, "{}: cannot read", path.string());
}
LineReader::~LineReader() = default;

std::string LineReader::where() const { return fmt::format("{}:{}", path_.string(), number_); }

bool LineReader::next(std::string* line) {
  line->clear();
  State& s = *state_;
  ++number_;
  for (;;) {
    if (s.at == s.end) {
      const int got = gzread(s.file, s.buffer.data(), static_cast<unsigned>(s.buffer.size()));
      int error = Z_OK;
      const char* reason = gzerror(s.file, &error);
      if (got < 0 || error == Z_BUF_ERROR || error == Z_DATA_ERROR)
        fail(ErrorCode::integrity, "{}: cannot read on: {}", where(), error == Z_BUF_ERROR ? "the archive ends early" : reason);
      if (got == 0) return !line->empty();
      s.at = 0;
      s.end = static_cast<size_t>(got);
    }
    const char* begin = s.buffer.data() + s.at;
    const auto* newline = static_cast<const char*>(std::memchr(begin, '\n', s.end - s.at));
    const size_t size = newline ? static_cast<size_t>(newline - begin) + 1 : s.end - s.at;
    if (line->size() + size > kLongestLine)
      fail(ErrorCode::does_not_fit, "{}: a line of more than {} MB; split it", where(), kLongestLine >> 20);
    line->append(begin, size);
    s.at += size;
    if (newline) return true;
  }
}

}  // namespace mynah::data
