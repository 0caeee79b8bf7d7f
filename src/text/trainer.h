// Makes tokenizers from text: the vocabulary and merges that the tokenizers package's trainers find.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace mynah::text {

struct TrainerOptions {
  std::string type = "bpe";      // bpe, wordpiece, unigram, char
  bool byte_level = false;       // bpe over bytes
  int64_t vocab_size = 8000;
  int64_t min_frequency = 0;     // of a pair that is merged
  std::vector<std::string> special_tokens;  // the first ids
  bool lowercase = false;        // wordpiece
};

// A word of the training text and how often it occurs.
struct WordCount {
  std::string word;
  int64_t count;
};

// Calls its argument with each training unit (a line with its newline), in any order.
using TextFeed = std::function<void(const std::function<void(std::string_view)>&)>;

// The tokenizer as tokenizer.json. Throws usage for options that cannot be meant, failure for text without words or a vocab_size that the
// alphabet exceeds.
Json train_tokenizer(const TrainerOptions& options, const TextFeed& feed);

struct BpeTraining {
  std::vector<std::string> vocabulary;                          // by id
  std::vector<std::pair<std::string, std::string>> merges;      // by rank
};
// `alphabet`: characters that get a token whether they occur or not. `prefix` marks the characters that do not begin a word ("##").
BpeTraining train_bpe(const std::vector<WordCount>& words, const TrainerOptions& options, const std::vector<char32_t>& alphabet, const std::string& prefix);

struct ScoredPiece {
  std::string text;
  double score;
};
// Pieces with their log-probabilities, the special tokens first with score 0.
std::vector<ScoredPiece> train_unigram(const std::vector<WordCount>& words, const TrainerOptions& options);

}  // namespace mynah::text
