// N-gram language models with backoff weights, from files in ARPA's format.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace mynah::text {

class NgramModel {
 public:
  using Word = int32_t;
  // The words that come before, oldest first, at most order() - 1.
  using History = std::vector<Word>;

  // Throws not_found; integrity naming the line for what is no such file; does_not_fit for more than 100 million n-grams.
  static std::shared_ptr<const NgramModel> open(const std::filesystem::path& path);
  static std::shared_ptr<const NgramModel> parse(std::string_view text, const std::string& where);

  int64_t order() const { return order_; }
  Word unknown() const { return unknown_; }  // the number of "<unk>"; -1 if the model has none
  Word find(std::string_view word) const;    // unknown() for others
  bool knows(std::string_view word) const { return words_.contains(std::string(word)); }
  // Whether a word of the model begins so.
  bool begins_word(std::string_view part) const;
  History start() const;                     // behind "<s>", where the model has it
  Word end() const { return end_; }          // "</s>"; -1 if the model has none

  // log10 of a word's probability after a history; the history moves on. -100 for a word that the model gives no chance at all.
  double score(Word word, History* history) const;

 private:
  struct Entry {
    float log_probability = -100, backoff = 0;
  };
  struct HashWords {
    size_t operator()(const std::vector<Word>& words) const;
  };
  int64_t order_ = 0;
  Word unknown_ = -1, start_ = -1, end_ = -1;
  std::unordered_map<std::string, Word> words_;
  std::vector<std::string> sorted_;  // for begins_word
  std::unordered_map<std::vector<Word>, Entry, HashWords> entries_;
};

}  // namespace mynah::text
