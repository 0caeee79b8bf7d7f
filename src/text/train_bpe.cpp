// Byte-pair encoding is learned from counts of words: the most frequent pair of neighbours becomes a token, ties going to the pair of
// lower ids, until the vocabulary is full. Counts of pairs are kept up to date; a heap holds candidates whose counts may be stale and are
// then corrected when they come up.
#include <algorithm>
#include <queue>
#include <unordered_map>

#include "base/require.h"
#include "base/unicode.h"
#include "text/trainer.h"

namespace mynah::text {
namespace {

using Pair = uint64_t;  // left id, right id
constexpr Pair pair_of(uint32_t left, uint32_t right) { return static_cast<Pair>(left) << 32 | right; }
constexpr uint32_t left_of(Pair p) { return static_cast<uint32_t>(p >> 32); }
constexpr uint32_t right_of(Pair p) { return static_cast<uint32_t>(p); }

struct Candidate {
  Pair pair;
  int64_t count;
  std::vector<uint32_t> words;  // where it occurs
};
struct LessWanted {
  bool operator()(const Candidate& a, const Candidate& b) const { return a.count != b.count ? a.count < b.count : a.pair > b.pair; }
};

class BpeTrainer {
 public:
  BpeTrainer(const std::vector<WordCount>& words, const TrainerOptions& options, std::string prefix) : options_(options), prefix_(std::move(prefix)), input_(words) {}

  BpeTraining run(const std::vector<char32_t>& alphabet) {
    for (const std::string& token : options_.special_tokens) id_of(token);
    add_alphabet(alphabet);
    split_words();
    count_pairs();
    while (static_cast<int64_t>(out_.vocabulary.size()) < options_.vocab_size && !queue_.empty()) {
      Candidate top = queue_.top();
      queue_.pop();
      const int64_t now = counts_[top.pair];
      if (top.count != now) {
        top.count = now;
        queue_.push(std::move(top));
        continue;
      }
      if (top.count < 1 || top.count < options_.min_frequency) break;
      merge(top);
    }
    return std::move(out_);
  }

 private:
  uint32_t id_of(const std::string& token) {
    const auto [it, is_new] = ids_.emplace(token, static_cast<uint32_t>(out_.vocabulary.size()));
    if (is_new) out_.vocabulary.push_back(token);
    return it->second;
  }

  void add_alphabet(const std::vector<char32_t>& alphabet) {
    std::vector<char32_t> all = alphabet;
    for (const WordCount& w : input_)
      for (size_t at = 0; at < w.word.size();) {
        uint32_t size;
        all.push_back(unicode::decode_valid(w.word.data() + at, size));
        at += size;
      }
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    for (const char32_t c : all) {
      std::string text;
      unicode::append(text, c);
      id_of(text);
    }
  }

  void split_words() {
    words_.resize(input_.size());
    for (size_t i = 0; i < input_.size(); ++i) {
      const std::string& word = input_[i].word;
      for (size_t at = 0; at < word.size();) {
        uint32_t size;
        unicode::decode_valid(word.data() + at, size);
        words_[i].push_back(id_of((at > 0 ? prefix_ : "") + word.substr(at, size)));
        at += size;
      }
    }
  }

  void count_pairs() {
    std::unordered_map<Pair, std::vector<uint32_t>> places;
    for (size_t i = 0; i < words_.size(); ++i)
      for (size_t k = 0; k + 1 < words_[i].size(); ++k) {
        const Pair p = pair_of(words_[i][k], words_[i][k + 1]);
        counts_[p] += input_[i].count;
        std::vector<uint32_t>& where = places[p];
        if (where.empty() || where.back() != i) where.push_back(static_cast<uint32_t>(i));
      }
    for (auto& [pair, where] : places)
      if (counts_[pair] > 0) queue_.push({pair, counts_[pair], std::move(where)});
  }

  void merge(const Candidate& top) {
    const uint32_t left = left_of(top.pair), right = right_of(top.pair);
    std::string tail = out_.vocabulary[right];
    if (!prefix_.empty() && tail.starts_with(prefix_)) tail.erase(0, prefix_.size());
    out_.merges.emplace_back(out_.vocabulary[left], out_.vocabulary[right]);
    const uint32_t joined = id_of(out_.vocabulary[left] + tail);
    std::unordered_map<Pair, std::vector<uint32_t>> fresh;
    for (const uint32_t w : top.words) merge_in(w, left, right, joined, &fresh);
    for (auto& [pair, where] : fresh) {
      std::sort(where.begin(), where.end());
      where.erase(std::unique(where.begin(), where.end()), where.end());
      if (const int64_t count = counts_[pair]; count > 0) queue_.push({pair, count, std::move(where)});
    }
  }

  // Replaces every `left right` of a word. The new token counts as a neighbour at once, so "aaaa" becomes two tokens of "aa" step by step.
  void merge_in(uint32_t w, uint32_t left, uint32_t right, uint32_t joined, std::unordered_map<Pair, std::vector<uint32_t>>* fresh) {
    std::vector<uint32_t>& word = words_[w];
    const int64_t count = input_[w].count;
    size_t to = 0;
    for (size_t from = 0; from < word.size(); ++to) {
      if (from + 1 == word.size() || word[from] != left || word[from + 1] != right) {
        word[to] = word[from++];
        continue;
      }
      if (to > 0) {
        counts_[pair_of(word[to - 1], left)] -= count;
        counts_[pair_of(word[to - 1], joined)] += count;
        (*fresh)[pair_of(word[to - 1], joined)].push_back(w);
      }
      if (from + 2 < word.size()) {
        counts_[pair_of(right, word[from + 2])] -= count;
        counts_[pair_of(joined, word[from + 2])] += count;
        (*fresh)[pair_of(joined, word[from + 2])].push_back(w);
      }
      word[to] = joined;
      from += 2;
    }
    word.resize(to);
  }

  const TrainerOptions& options_;
  const std::string prefix_;
  const std::vector<WordCount>& input_;
  std::vector<std::vector<uint32_t>> words_;  // ids of each word's present tokens
  std::unordered_map<std::string, uint32_t> ids_;
  std::unordered_map<Pair, int64_t> counts_;
  std::priority_queue<Candidate, std::vector<Candidate>, LessWanted> queue_;
  BpeTraining out_;
};

}  // namespace

BpeTraining train_bpe(const std::vector<WordCount>& words, const TrainerOptions& options, const std::vector<char32_t>& alphabet, const std::string& prefix) {
  return BpeTrainer(words, options, prefix).run(alphabet);
}

}  // namespace mynah::text
