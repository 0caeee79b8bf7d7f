// A bounded memory of how words were tokenized. One thread uses it at a time.
#pragma once
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "text/string_table.h"

namespace mynah::text {

class WordCache {
 public:
  static constexpr size_t kLongestWord = 22, kMostTokens = 8;

  // One cache line; a newer word takes the place of an older one.
  struct Slot {
    char word[kLongestWord];
    uint8_t size = 0, count = 0;
    int32_t ids[kMostTokens];
    uint8_t sizes[kMostTokens];  // bytes of each token
  };
  static_assert(sizeof(Slot) == 64);

  // The slot for a word of 1 to kLongestWord bytes, and whether it holds that word.
  Slot& slot(std::string_view word, bool& hit) {
    if (slots_.empty()) slots_.resize(kSlots);
    Slot& found = slots_[hash_bytes(word, seed_) & (kSlots - 1)];
    hit = found.size == word.size() && equal_bytes(found.word, word.data(), word.size());
    return found;
  }

 private:
  static constexpr size_t kSlots = 1 << 15;  // 2 MB
  std::vector<Slot> slots_;
  uint64_t seed_ = hash_seed();
};

}  // namespace mynah::text
