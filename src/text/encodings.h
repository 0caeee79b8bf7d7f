// Parts of encodings: joining, cutting to a length with windows over the rest, padding.
#pragma once
#include <vector>

#include "mynah/tokenizer.h"

namespace mynah::text {

// Puts the tokens of `next` behind those of `e`.
void append(Encoding& e, const Encoding& next);
void append(Encoding& e, Encoding&& next);

// The encoding cut to `most` tokens, then the windows over what was cut off, each with `stride` tokens of the one
// before. Throws usage when the stride is not smaller than `most`.
// Without `overflow` the first alone.
std::vector<Encoding> windows(Encoding e, int64_t most, int64_t stride, Side side, bool overflow = true);

// A window over each text.
struct Windows {
  std::vector<Encoding> list;
  std::vector<bool> overflow;  // of each: not the text's first window
};

// One or two encodings cut so that together they have `most` tokens: all combinations of their windows, in the
// reference's order.
std::vector<Windows> truncated(std::vector<Encoding> texts, Truncation truncation, int64_t most, int64_t stride,
                               Side side, bool overflow = true);

struct PadToken {
  int32_t id = 0, type_id = 0;
  std::string token;
};
void pad(Encoding& e, size_t length, const PadToken& token, Side side);

}  // namespace mynah::text
