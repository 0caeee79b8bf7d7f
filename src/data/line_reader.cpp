#include "data/line_reader.h"

#include <cstring>
#include <vector>

#include "base/require.h"
#include "data/byte_source.h"

namespace mynah::data {
namespace {
constexpr size_t kLongestLine = 64u << 20, kBuffer = 1u << 18;
}

struct LineReader::State {
  std::unique_ptr<ByteSource> source;
  std::vector<char> buffer = std::vector<char>(kBuffer);
  size_t at = 0, end = 0;
};

LineReader::LineReader(const std::filesystem::path& path) : state_(std::make_unique<State>()), path_(path) { state_->source = ByteSource::open(path); }
LineReader::~LineReader() = default;

std::string LineReader::where() const { return fmt::format("{}:{}", path_.string(), number_); }

bool LineReader::next(std::string* line) {
  line->clear();
  State& s = *state_;
  ++number_;
  for (;;) {
    if (s.at == s.end) {
      std::string trouble;
      const size_t got = s.source->read(s.buffer.data(), s.buffer.size(), &trouble);
      if (!trouble.empty()) fail(ErrorCode::integrity, "{}: cannot read on: {}", where(), trouble);
      if (got == 0) return !line->empty();
      s.at = 0;
      s.end = got;
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
