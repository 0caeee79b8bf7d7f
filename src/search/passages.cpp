#include "search/passages.h"

#include <algorithm>

namespace mynah::search {
namespace {

bool is_blank(std::string_view line) { return line.find_first_not_of(" \t\r\f\v") == std::string_view::npos; }

// Where one thought may end and the next begin.
bool begins_section(std::string_view line) {
  return line.starts_with('#') || line.starts_with("==") || line.starts_with("--");
}

// Pieces of one overlong line, cut after blanks where there are some.
std::vector<std::string_view> pieces(std::string_view line, const PassageLimits& limits) {
  std::vector<std::string_view> out;
  while (!line.empty()) {
    size_t length = line.size();
    while (length > 1 && limits.size(line.substr(0, length)) > limits.most) {
      // Halving finds a length that fits; what is left over becomes the next piece.
      length /= 2;
      while (length > 1 && (static_cast<unsigned char>(line[length]) & 0xC0) == 0x80) --length;
    }
    if (length < line.size())
      if (const size_t blank = line.substr(0, length).find_last_of(" \t");
          blank != std::string_view::npos && blank > length / 2)
        length = blank + 1;
    out.push_back(line.substr(0, length));
    line.remove_prefix(length);
  }
  return out;
}

class Cutter {
 public:
  explicit Cutter(const PassageLimits& limits) : limits_(limits) {}

  void add(std::string_view line, int64_t number) {
    const int64_t size = limits_.size(line);
    if (size > limits_.most) {
      close();
      for (const auto piece : pieces(line, limits_)) {
        append(piece, number, limits_.most);
        close();
      }
      return;
    }
    const bool pause = is_blank(line) || begins_section(line);
    if (size_ + size > limits_.most || (pause && size_ * 2 >= limits_.most)) close();
    append(line, number, size);
  }

  std::vector<Passage> take() {
    close();
    return std::move(done_);
  }

 private:
  void append(std::string_view line, int64_t number, int64_t size) {
    if (is_blank(line) && text_.empty()) return;
    if (text_.empty()) first_ = number;
    text_.append(line).push_back('\n');
    if (!is_blank(line)) {
      last_ = number;
      kept_ = text_.size();
    }
    size_ += size;
  }

  void close() {
    text_.resize(kept_);  // without blank lines at the end
    if (!text_.empty()) done_.push_back({first_, last_, std::move(text_)});
    text_.clear();
    kept_ = 0;
    size_ = 0;
  }

  const PassageLimits& limits_;
  std::vector<Passage> done_;
  std::string text_;
  size_t kept_ = 0;
  int64_t first_ = 1, last_ = 1, size_ = 0;
};

}  // namespace

std::vector<Passage> passages(std::string_view text, const PassageLimits& limits) {
  Cutter cutter(limits);
  int64_t number = 0;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    cutter.add(line, ++number);
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return cutter.take();
}

bool looks_like_text(std::string_view bytes) {
  const auto odd = std::count_if(bytes.begin(), bytes.end(), [](char c) {
    const auto u = static_cast<unsigned char>(c);
    return u < 32 && c != '\n' && c != '\r' && c != '\t' && c != '\f';
  });
  return bytes.find('\0') == std::string_view::npos && odd * 20 <= static_cast<int64_t>(bytes.size());
}

}  // namespace mynah::search
