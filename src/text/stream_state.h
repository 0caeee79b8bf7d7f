// Decoding token by token.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "text/tokenizer_impl.h"

namespace mynah::text {

class StreamState {
 public:
  StreamState(const TokenizerImpl& tokenizer, bool skip_special_tokens)
      : tokenizer_(tokenizer), skip_special_tokens_(skip_special_tokens) {}
  std::string push(int32_t id);
  std::string flush();

 private:
  std::string push_bytes(int32_t id);
  std::string push_window(int32_t id);
  std::string decode(size_t count) const;

  const TokenizerImpl& tokenizer_;
  bool skip_special_tokens_;
  std::string bytes_;            // byte-level: the beginning of a character
  std::vector<int32_t> window_;  // others: the ids that gave the last text, then those that gave none yet
  size_t done_ = 0;              // how many of window_ are of the first kind
};

}  // namespace mynah::text
