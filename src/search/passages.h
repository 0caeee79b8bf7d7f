// A text file cut into passages: runs of whole lines, small enough to be read by an encoder of sentences.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace mynah::search {

struct Passage {
  int64_t first_line = 1, last_line = 1;  // counted from 1
  std::string text;
};

// How long a passage may be, and by what measure.
struct PassageLimits {
  int64_t most = 200;                             // of `size`
  std::function<int64_t(std::string_view)> size;  // of one line; passages are as long as their lines together
};

// Passages in the order of the text, none empty. A passage ends at a blank line or a heading where that leaves it at
// least half full; a line that is too long by itself is cut between words.
std::vector<Passage> passages(std::string_view text, const PassageLimits& limits);

// Whether these bytes look like text: UTF-8 or some 8-bit encoding without NUL and with few control characters.
bool looks_like_text(std::string_view bytes);

}  // namespace mynah::search
