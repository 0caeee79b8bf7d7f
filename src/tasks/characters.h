// A text by its Unicode characters, which offsets count.
#pragma once
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "base/unicode.h"

namespace mynah::tasks {

// The text without ASCII white space at its ends.
inline std::string without_spaces_around(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t\n\r\f\v"), end = text.find_last_not_of(" \t\n\r\f\v");
  return begin == std::string::npos ? "" : text.substr(begin, end - begin + 1);
}

class Characters {
 public:
  explicit Characters(std::string text) : text_(std::move(text)) {
    for (size_t i = 0; i < text_.size(); ++i)
      if (!unicode::is_continuation(text_[i])) starts_.push_back(i);
    starts_.push_back(text_.size());
  }
  int64_t size() const { return static_cast<int64_t>(starts_.size()) - 1; }
  // Characters [begin, end), cut to the text; empty where end is not after begin.
  std::string slice(int64_t begin, int64_t end) const {
    begin = std::clamp<int64_t>(begin, 0, size());
    end = std::clamp<int64_t>(end, begin, size());
    const size_t from = starts_[static_cast<size_t>(begin)];
    return text_.substr(from, starts_[static_cast<size_t>(end)] - from);
  }

 private:
  std::string text_;
  std::vector<size_t> starts_;  // bytes where each character begins, and the end
};

}  // namespace mynah::tasks
