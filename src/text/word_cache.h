// A bounded memory of how words were tokenized. One thread uses it at a time.
#pragma once
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "text/string_table.h"

namespace mynah::text {

// A token of a word: bytes [begin, end) of it.
struct Token {
  int32_t id;
  uint32_t begin, end;
};

class WordCache {
 public:
  static constexpr size_t kLongestWord = 22, kMostTokens = 8;

  // Appends the tokens of a word that is remembered, moved by `shift` bytes; false if it is not.
  bool recall(std::string_view word, uint32_t shift, std::vector<Token>& tokens) {
    if (word.empty() || word.size() > kLongestWord) return false;
    if (slots_.empty()) slots_.resize(kSlots);
    const Slot& slot = slot_of(word);
    if (slot.size != word.size() || !equal_bytes(slot.word, word.data(), word.size())) return false;
    for (size_t i = 0; i < slot.count; ++i) {
      tokens.push_back({slot.ids[i], shift, shift + slot.sizes[i]});
      shift += slot.sizes[i];
    }
    return true;
  }

  // Remembers a word for which recall() failed, in place of an older one. Only tokens that follow each other without
  // gaps can be kept.
  void remember(std::string_view word, uint32_t shift, std::span<const Token> tokens) {
    if (word.empty() || word.size() > kLongestWord || tokens.size() > kMostTokens) return;
    for (const Token& token : tokens) {
      if (token.begin != shift || token.end - token.begin > UINT8_MAX) return;
      shift = token.end;
    }
    Slot& slot = slot_of(word);
    std::memcpy(slot.word, word.data(), word.size());
    slot.size = static_cast<uint8_t>(word.size());
    slot.count = static_cast<uint8_t>(tokens.size());
    for (size_t i = 0; i < tokens.size(); ++i) {
      slot.ids[i] = tokens[i].id;
      slot.sizes[i] = static_cast<uint8_t>(tokens[i].end - tokens[i].begin);
    }
  }

 private:
  // One cache line.
  struct Slot {
    char word[kLongestWord];
    uint8_t size = 0, count = 0;
    int32_t ids[kMostTokens];
    uint8_t sizes[kMostTokens];  // bytes of each token
  };
  static_assert(sizeof(Slot) == 64);
  static constexpr size_t kSlots = 1 << 15;  // 2 MB

  Slot& slot_of(std::string_view word) { return slots_[hash_bytes(word, seed_) & (kSlots - 1)]; }

  std::vector<Slot> slots_;
  uint64_t seed_ = hash_seed();
};

}  // namespace mynah::text
