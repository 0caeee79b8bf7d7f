// The unigram language model (arXiv:1804.10959): a large set of substrings is fitted to the words by expectation maximisation and cut down,
// a quarter at a time, to the pieces whose loss would cost most.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <tuple>
#include <unordered_map>

#include "base/require.h"
#include "base/thread_pool.h"
#include "base/unicode.h"
#include "text/trainer.h"

namespace mynah::text {
namespace {

constexpr size_t kSeedPieces = 1000000, kLongestPiece = 16;
constexpr int kSubIterations = 2;
constexpr double kShrink = 0.75, kUnknownPenalty = 10, kLeastExpected = 0.5;

using CodePoints = std::u32string;

std::string utf8(const char32_t* begin, size_t n) {
  std::string text;
  for (size_t i = 0; i < n; ++i) unicode::append(text, begin[i]);
  return text;
}

double digamma(double x) {
  double result = 0;
  for (; x < 7; x += 1) result -= 1 / x;
  x -= 0.5;
  const double a = 1 / x, b = a * a, c = b * b;
  return result + std::log(x) + b / 24 - 7.0 / 960 * c + 31.0 / 8064 * c * b - 127.0 / 30720 * c * c;
}

double log_sum(double x, double y) {
  const double low = std::min(x, y), high = std::max(x, y);
  return high > low + 50 ? high : high + std::log(std::exp(low - high) + 1);
}

struct Word {
  CodePoints text;
  int64_t count;
};

struct SeedPiece {
  CodePoints text;
  double score;  // log-probability
};

// A set of pieces that finds those that begin at a place. Piece 0 is the unknown one.
class PieceModel {
 public:
  explicit PieceModel(const std::vector<SeedPiece>& pieces) : pieces_(pieces) {
    for (size_t i = 1; i < pieces.size(); ++i) {
      uint32_t node = 0;
      for (const char32_t c : pieces[i].text) {
        const auto [it, is_new] = next_.emplace(key(node, c), static_cast<uint32_t>(piece_.size()));
        if (is_new) piece_.push_back(0);
        node = it->second;
      }
      piece_[node] = static_cast<uint32_t>(i);
      least_ = std::min(least_, pieces[i].score);
    }
  }

  struct Node {
    uint32_t piece, begin, end;
    double score;
  };
  // All pieces inside a word by where they begin; a character that is no piece is unknown.
  void lattice(const CodePoints& word, std::vector<Node>* nodes) const {
    nodes->clear();
    for (uint32_t begin = 0; begin < word.size(); ++begin) {
      bool single = false;
      uint32_t node = 0;
      for (uint32_t end = begin; end < word.size(); ++end) {
        const auto it = next_.find(key(node, word[end]));
        if (it == next_.end()) break;
        node = it->second;
        if (const uint32_t piece = piece_[node]) {
          nodes->push_back({piece, begin, end + 1, pieces_[piece].score});
          single = single || end == begin;
        }
      }
      if (!single) nodes->push_back({0, begin, begin + 1, least_ - kUnknownPenalty});
    }
  }
  double least() const { return least_; }

 private:
  static uint64_t key(uint32_t node, char32_t c) { return static_cast<uint64_t>(node) << 32 | c; }
  const std::vector<SeedPiece>& pieces_;
  std::unordered_map<uint64_t, uint32_t> next_;
  std::vector<uint32_t> piece_ = {0};
  double least_ = std::numeric_limits<double>::infinity();
};

// Paths through the pieces of a word, searched in the order of the reference, so that ties and sums that differ by rounding alone come
// out as there.
class Paths {
 public:
  Paths(const CodePoints& word, const std::vector<PieceModel::Node>& nodes) : size_(word.size()), nodes_(nodes), ends_(word.size() + 1), best_(nodes.size()), from_(nodes.size()) {
    for (size_t i = 0; i < nodes.size(); ++i) {
      std::tie(best_[i], from_[i]) = best_before(nodes[i].begin, nodes[i].score);
      ends_[nodes[i].end].push_back(i);
    }
  }

  // The likeliest pieces.
  std::vector<uint32_t> best() const {
    std::vector<uint32_t> path;
    for (size_t at = best_before(static_cast<uint32_t>(size_), 0).second; at != kStart; at = from_[at]) path.push_back(nodes_[at].piece);
    std::reverse(path.begin(), path.end());
    return path;
  }

  // The two likeliest ways, the best first; one if there is no other. A* from the end, with the sums from the start as estimates.
  std::vector<std::vector<uint32_t>> two_best() const {
    std::vector<std::vector<uint32_t>> paths;
    made_.clear();
    heap_.clear();
    push({kEnd, kNone, 0, 0});
    while (!heap_.empty() && paths.size() < 2) {
      const size_t top = pop();
      const Step step = made_[top];
      if (step.node == kStart) {
        std::vector<uint32_t>& path = paths.emplace_back();
        for (size_t s = step.next; made_[s].node != kEnd; s = made_[s].next) path.push_back(nodes_[made_[s].node].piece);
        continue;
      }
      const size_t begin = step.node == kEnd ? size_ : nodes_[step.node].begin;
      if (begin == 0) push({kStart, top, step.behind, step.behind});
      else
        for (const size_t node : ends_[begin]) push({node, top, best_[node] + step.behind, nodes_[node].score + step.behind});
    }
    return paths;
  }

 private:
  static constexpr size_t kStart = SIZE_MAX, kEnd = SIZE_MAX - 1, kNone = SIZE_MAX - 2;
  struct Step {
    size_t node, next;
    double whole, behind;  // estimated score of the whole path; score of what was chosen so far
  };

  // The best sum of a node that begins here, and the node before it.
  std::pair<double, size_t> best_before(uint32_t begin, double score) const {
    if (begin == 0) return {score, kStart};
    std::pair<double, size_t> best{0, kNone};
    for (const size_t node : ends_[begin])
      if (const double sum = best_[node] + score; best.second == kNone || sum > best.first) best = {sum, node};
    return best;
  }

  // A binary heap whose equal elements overtake each other as in the reference's.
  bool less(size_t a, size_t b) const { return made_[a].whole < made_[b].whole; }
  void rise(size_t at) const {
    const size_t moved = heap_[at];
    for (; at > 0 && !less(moved, heap_[(at - 1) / 2]); at = (at - 1) / 2) heap_[at] = heap_[(at - 1) / 2];
    heap_[at] = moved;
  }
  void push(const Step& step) const {
    made_.push_back(step);
    heap_.push_back(made_.size() - 1);
    rise(heap_.size() - 1);
  }
  size_t pop() const {
    size_t item = heap_.back();
    heap_.pop_back();
    if (heap_.empty()) return item;
    std::swap(item, heap_[0]);
    const size_t moved = heap_[0];
    size_t at = 0, child = 1;
    for (; child + 1 < heap_.size(); child = 2 * at + 1) {
      child += less(heap_[child], heap_[child + 1]);
      heap_[at] = heap_[child];
      at = child;
    }
    if (child + 1 == heap_.size()) {
      heap_[at] = heap_[child];
      at = child;
    }
    heap_[at] = moved;
    rise(at);
    return item;
  }

  size_t size_;
  const std::vector<PieceModel::Node>& nodes_;
  std::vector<std::vector<size_t>> ends_;
  std::vector<double> best_;
  std::vector<size_t> from_;
  mutable std::vector<Step> made_;
  mutable std::vector<size_t> heap_;
};

class UnigramTrainer {
 public:
  UnigramTrainer(const std::vector<WordCount>& words, const TrainerOptions& options) : options_(options) {
    for (const WordCount& w : words) {
      Word word{{}, w.count};
      for (size_t at = 0; at < w.word.size();) {
        uint32_t size;
        word.text.push_back(unicode::decode_valid(w.word.data() + at, size));
        at += size;
      }
      words_.push_back(std::move(word));
    }
  }

  std::vector<ScoredPiece> run() {
    std::set<char32_t> required;
    for (const Word& w : words_) required.insert(w.text.begin(), w.text.end());
    require(static_cast<int64_t>(required.size()) <= options_.vocab_size, "--vocab-size: {}, the text has {} different characters", options_.vocab_size, required.size());
    std::vector<SeedPiece> pieces = seeds();
    const size_t wanted = static_cast<size_t>(options_.vocab_size) * 11 / 10;
    for (;;) {
      for (int i = 0; i < kSubIterations; ++i) pieces = maximized(pieces, expected(pieces));
      if (pieces.size() <= wanted) break;
      pieces = pruned(pieces, wanted);
    }
    return finished(pieces, required);
  }

 private:
  // Characters by count, then repeated substrings that go on in different ways, by occurrences times length.
  std::vector<SeedPiece> seeds() const {
    std::map<char32_t, int64_t> counts;
    for (const Word& w : words_)
      for (const char32_t c : w.text) counts[c] += w.count;
    std::vector<std::pair<int64_t, CodePoints>> characters;
    for (const auto& [c, count] : counts) characters.emplace_back(count, CodePoints(1, c));
    std::sort(characters.rbegin(), characters.rend());
    std::vector<std::pair<int64_t, CodePoints>> substrings = repeated_substrings();
    std::sort(substrings.rbegin(), substrings.rend());
    std::vector<SeedPiece> pieces = {{{}, 0}};
    double sum = 0;
    for (const auto* list : {&characters, &substrings})
      for (const auto& [score, text] : *list) {
        if (list == &substrings && pieces.size() > kSeedPieces) break;
        pieces.push_back({text, static_cast<double>(score)});
        sum += static_cast<double>(score);
      }
    for (size_t i = 1; i < pieces.size(); ++i) pieces[i].score = std::log(pieces[i].score) - std::log(sum);
    return pieces;
  }

  // Intervals of the sorted suffixes of all words: each is a substring with its number of occurrences. The end of a word is a character
  // like any other, so that a substring that always ends a word is not taken without it.
  std::vector<std::pair<int64_t, CodePoints>> repeated_substrings() const {
    CodePoints flat;
    for (const Word& w : words_) {
      flat += w.text;
      flat += U'\0';
    }
    std::vector<uint32_t> suffixes;
    for (uint32_t i = 0; i < flat.size(); ++i)
      if (flat[i] != U'\0') suffixes.push_back(i);
    constexpr size_t kDepth = kLongestPiece + 1;
    const auto view = [&](uint32_t at) {
      const size_t end = flat.find(U'\0', at);
      return std::u32string_view(flat).substr(at, std::min(kDepth, end + 1 - at));
    };
    std::sort(suffixes.begin(), suffixes.end(), [&](uint32_t a, uint32_t b) { return view(a) < view(b); });
    struct Open {
      size_t depth, first;
    };
    std::vector<Open> open;
    std::vector<std::pair<int64_t, CodePoints>> found;
    const auto close = [&](size_t depth, size_t end) {
      size_t first = end;
      while (!open.empty() && open.back().depth > depth) {
        const Open o = open.back();
        open.pop_back();
        first = o.first;
        const CodePoints text = flat.substr(suffixes[o.first], o.depth);
        if (o.depth >= 2 && o.depth <= kLongestPiece && text.find(U'\0') == CodePoints::npos)
          found.emplace_back(static_cast<int64_t>(end - o.first + 1) * static_cast<int64_t>(o.depth), text);
      }
      return first;
    };
    for (size_t i = 0; i + 1 < suffixes.size(); ++i) {
      const auto a = view(suffixes[i]), b = view(suffixes[i + 1]);
      const auto common = static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
      size_t first = i;
      if (!open.empty() && open.back().depth > common) first = close(common, i);
      if (open.empty() || open.back().depth < common) open.push_back({common, first});
    }
    if (!suffixes.empty()) close(0, suffixes.size() - 1);
    return found;
  }

  // Expected number of uses of each piece, by the forward-backward sums over each word's cuts.
  std::vector<double> expected(const std::vector<SeedPiece>& pieces) const {
    const PieceModel model(pieces);
    constexpr int64_t kWordsPerPart = 4096;
    const auto n = static_cast<int64_t>(words_.size());
    std::vector<std::vector<std::pair<uint32_t, double>>> parts(static_cast<size_t>((n + kWordsPerPart - 1) / kWordsPerPart));
    parallel_for(n, kWordsPerPart, [&](int64_t begin, int64_t end) {
      std::unordered_map<uint32_t, double> sums;
      std::vector<PieceModel::Node> nodes;
      std::vector<double> forward, backward;
      for (int64_t w = begin; w < end; ++w) {
        const Word& word = words_[static_cast<size_t>(w)];
        model.lattice(word.text, &nodes);
        constexpr double kNone = -std::numeric_limits<double>::infinity();
        forward.assign(word.text.size() + 1, kNone);
        backward.assign(word.text.size() + 1, kNone);
        forward[0] = backward[word.text.size()] = 0;
        const auto add = [](double* sum, double x) { *sum = *sum == kNone ? x : log_sum(*sum, x); };
        for (const auto& node : nodes) add(&forward[node.end], forward[node.begin] + node.score);
        for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) add(&backward[node->begin], backward[node->end] + node->score);
        const double all = forward[word.text.size()];
        for (const auto& node : nodes)
          sums[node.piece] += static_cast<double>(word.count) * std::exp(forward[node.begin] + node.score + backward[node.end] - all);
      }
      auto& part = parts[static_cast<size_t>(begin / kWordsPerPart)];
      part.assign(sums.begin(), sums.end());
    });
    std::vector<double> total(pieces.size());
    for (const auto& part : parts)
      for (const auto& [piece, sum] : part) total[piece] += sum;
    return total;
  }

  static std::vector<SeedPiece> maximized(const std::vector<SeedPiece>& pieces, const std::vector<double>& expected) {
    std::vector<SeedPiece> kept = {pieces[0]};
    double sum = 0;
    for (size_t i = 1; i < pieces.size(); ++i)
      if (expected[i] >= kLeastExpected) {
        kept.push_back({pieces[i].text, expected[i]});
        sum += expected[i];
      }
    for (size_t i = 1; i < kept.size(); ++i) kept[i].score = digamma(kept[i].score) - digamma(sum);
    return kept;
  }

  std::vector<SeedPiece> pruned(const std::vector<SeedPiece>& pieces, size_t wanted) const {
    const PieceModel model(pieces);
    std::vector<bool> keep(pieces.size(), true);
    std::vector<std::vector<uint32_t>> instead(pieces.size());  // how a piece would be cut without itself
    std::vector<PieceModel::Node> nodes;
    for (size_t i = 1; i < pieces.size(); ++i) {
      model.lattice(pieces[i].text, &nodes);
      const auto paths = Paths(pieces[i].text, nodes).two_best();
      if (paths.size() == 1) continue;
      if (paths[0].size() >= 2) keep[i] = false;
      else instead[i] = paths[1];
    }
    std::vector<double> used(pieces.size()), in_words(pieces.size());
    double all_words = 0;
    for (const Word& w : words_) {
      model.lattice(w.text, &nodes);
      const auto count = static_cast<double>(w.count);
      all_words += count;
      for (const uint32_t piece : Paths(w.text, nodes).best()) {
        used[piece] += count;
        in_words[piece] += count;
      }
    }
    double sum = 0;
    for (const double u : used) sum += u;
    std::vector<SeedPiece> next = {pieces[0]};
    std::vector<std::pair<size_t, double>> candidates;
    for (size_t i = 1; i < pieces.size(); ++i) {
      if (used[i] == 0 && !keep[i]) continue;
      if (instead[i].empty()) {
        next.push_back(pieces[i]);
        continue;
      }
      if (in_words[i] == 0) continue;
      double other = 0;
      // The number of all pieces stands here in the reference implementation, not that of the pieces put in its place.
      const double log_other = std::log(sum + used[i] * static_cast<double>(pieces.size() - 1));
      for (const uint32_t piece : instead[i]) other += std::log(used[piece] + used[i]) - log_other;
      candidates.emplace_back(i, in_words[i] / all_words * (std::log(used[i]) - std::log(sum) - other));
    }
    const size_t size = std::max(wanted, static_cast<size_t>(static_cast<double>(pieces.size()) * kShrink));
    std::stable_sort(candidates.begin(), candidates.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
    for (const auto& [i, loss] : candidates) {
      if (next.size() == size) break;
      next.push_back(pieces[i]);
    }
    return next;
  }

  // Every character stays, whatever it cost; the rest by its place in the last model.
  std::vector<ScoredPiece> finished(const std::vector<SeedPiece>& pieces, const std::set<char32_t>& required) const {
    std::map<CodePoints, double> scores;
    double least = std::numeric_limits<double>::infinity();
    for (size_t i = 1; i < pieces.size(); ++i) {
      scores[pieces[i].text] = pieces[i].score;
      least = std::min(least, pieces[i].score);
    }
    std::vector<std::pair<CodePoints, double>> kept;
    double raised = 0;
    std::set<CodePoints> taken;
    for (const char32_t c : required) {
      const CodePoints text(1, c);
      const auto it = scores.find(text);
      kept.emplace_back(text, it != scores.end() ? it->second : least + raised);
      if (it == scores.end()) raised += 0.0001;
      taken.insert(text);
    }
    const size_t room = static_cast<size_t>(options_.vocab_size) - std::min(options_.special_tokens.size(), static_cast<size_t>(options_.vocab_size));
    for (size_t i = 1; i < pieces.size() && kept.size() < room; ++i)
      if (taken.insert(pieces[i].text).second) kept.emplace_back(pieces[i].text, pieces[i].score);
    std::stable_sort(kept.begin(), kept.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
    std::vector<ScoredPiece> out;
    for (const std::string& token : options_.special_tokens) out.push_back({token, 0});
    for (const auto& [text, score] : kept) out.push_back({utf8(text.data(), text.size()), score});
    return out;
  }

  const TrainerOptions& options_;
  std::vector<Word> words_;
};

}  // namespace

std::vector<ScoredPiece> train_unigram(const std::vector<WordCount>& words, const TrainerOptions& options) { return UnigramTrainer(words, options).run(); }

}  // namespace mynah::text
