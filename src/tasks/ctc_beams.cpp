#include "tasks/ctc_beams.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <unordered_map>

#include "base/require.h"

namespace mynah::tasks {
namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();

double log_add(double a, double b) {
  if (a < b) std::swap(a, b);
  return b == kNever ? a : a + std::log1p(std::exp(b - a));
}

// A text: the one before and a token. Equal texts are one node.
struct Prefix {
  int64_t before;
  int32_t token;
  std::string word;                 // that is being spelled
  text::NgramModel::History history;
  double words_score = 0;           // of complete words
  double part_score = 0;            // of the word that is being spelled
};

// Where the tokens of the best alignment lie; older ones behind `before`.
struct Place {
  int64_t before;
  int64_t begin, end;
};

struct Beam {
  double blank = kNever, token = kNever;  // log-probabilities of alignments that end so
  double best = kNever;                   // of its best alignment
  int64_t places = -1;
  double total() const { return log_add(blank, token); }
};

class Search {
 public:
  Search(const CtcAlphabet& alphabet, const CtcBeamSettings& settings) : alphabet_(alphabet), s_(settings) {
    Prefix root{-1, -1, "", {}, 0, 0};
    if (s_.language_model) root.history = s_.language_model->start();
    prefixes_.push_back(std::move(root));
    beams_.emplace_back(0, Beam{0, kNever, 0, -1});
  }

  void advance(const float* log_probs, int64_t frame) {
    const auto count = static_cast<int32_t>(alphabet_.tokens.size());
    const auto best = static_cast<int32_t>(std::max_element(log_probs, log_probs + count) - log_probs);
    std::vector<int32_t> tried;
    for (int32_t v = 0; v < count; ++v)
      if (v == best || static_cast<double>(log_probs[v]) >= s_.token_min_logp) tried.push_back(v);
    std::unordered_map<int64_t, Beam> next;
    const auto put = [&](int64_t prefix, double Beam::*ending, double value, double alignment, int64_t places) {
      Beam& b = next[prefix];
      b.*ending = log_add(b.*ending, value);
      if (alignment > b.best || b.places < 0) {
        b.best = std::max(alignment, b.best);
        b.places = places;
      }
    };
    for (const auto& [prefix, beam] : beams_) {
      const double total = beam.total();
      const int32_t last = prefixes_[static_cast<size_t>(prefix)].token;
      for (const int32_t v : tried) {
        const auto p = static_cast<double>(log_probs[v]);
        if (v == alphabet_.blank) {
          put(prefix, &Beam::blank, total + p, beam.best + p, beam.places);
          continue;
        }
        if (v == last && beam.token > kNever) put(prefix, &Beam::token, beam.token + p, beam.best + p, extended(beam.places, frame));
        const double before = v == last ? beam.blank : total;
        if (before > kNever) put(child(prefix, v), &Beam::token, before + p, beam.best + p, added(beam.places, frame));
      }
    }
    beams_.assign(next.begin(), next.end());
    prune();
  }

  std::vector<CtcBeam> finish(size_t most) {
    std::vector<std::pair<double, size_t>> order;
    for (size_t i = 0; i < beams_.size(); ++i) order.emplace_back(beams_[i].second.total() + final_score(beams_[i].first), i);
    std::sort(order.begin(), order.end(), [&](const auto& a, const auto& b) { return a.first > b.first || (a.first == b.first && beams_[a.second].first < beams_[b.second].first); });
    if (order.size() > most) order.resize(most);
    std::vector<CtcBeam> out;
    for (const auto& [score, i] : order) {
      CtcBeam one;
      one.log_probability = beams_[i].second.total();
      one.score = score;
      int64_t place = beams_[i].second.places;
      for (int64_t at = beams_[i].first; at > 0; at = prefixes_[static_cast<size_t>(at)].before) {
        const Place& p = places_[static_cast<size_t>(place)];
        one.tokens.push_back({prefixes_[static_cast<size_t>(at)].token, p.begin, p.end});
        place = p.before;
      }
      std::reverse(one.tokens.begin(), one.tokens.end());
      out.push_back(std::move(one));
    }
    return out;
  }

 private:
  double score_of(int64_t prefix) const {
    const Prefix& p = prefixes_[static_cast<size_t>(prefix)];
    return p.words_score + p.part_score;
  }

  void prune() {
    const auto score = [this](const std::pair<int64_t, Beam>& b) { return b.second.total() + score_of(b.first); };
    const auto better = [&](const auto& a, const auto& b) {
      const double x = score(a), y = score(b);
      return x > y || (x == y && a.first < b.first);
    };
    const auto width = std::min(beams_.size(), static_cast<size_t>(s_.beam_width));
    std::partial_sort(beams_.begin(), beams_.begin() + static_cast<long>(width), beams_.end(), better);
    const double least = score(beams_.front()) + s_.beam_prune_logp;
    size_t kept = 1;
    while (kept < width && score(beams_[kept]) >= least) ++kept;
    beams_.resize(kept);
  }

  // What a whole word adds; the history moves on.
  double word_score(const std::string& word, text::NgramModel::History* history) const {
    const text::NgramModel& lm = *s_.language_model;
    const bool known = lm.knows(word);
    const double chance = lm.score(lm.find(word), history) * std::numbers::ln10;
    return s_.alpha * chance + s_.beta + (known ? 0 : s_.unknown_offset);
  }

  double final_score(int64_t prefix) const {
    const Prefix& p = prefixes_[static_cast<size_t>(prefix)];
    if (!s_.language_model) return 0;
    text::NgramModel::History history = p.history;
    double score = p.words_score;
    if (!p.word.empty()) score += word_score(p.word, &history);
    if (s_.language_model->end() >= 0) score += s_.alpha * s_.language_model->score(s_.language_model->end(), &history) * std::numbers::ln10;
    return score;
  }

  int64_t child(int64_t prefix, int32_t token) {
    const uint64_t key = static_cast<uint64_t>(prefix) << 24 | static_cast<uint32_t>(token);
    if (const auto it = children_.find(key); it != children_.end()) return it->second;
    Prefix next = prefixes_[static_cast<size_t>(prefix)];
    next.before = prefix;
    next.token = token;
    if (s_.language_model) {
      if (token == alphabet_.delimiter) {
        if (!next.word.empty()) next.words_score += word_score(next.word, &next.history);
        next.word.clear();
        next.part_score = 0;
      } else {
        next.word += alphabet_.tokens[static_cast<size_t>(token)];
        next.part_score = s_.language_model->begins_word(next.word) ? 0 : s_.unknown_offset;
      }
    }
    const auto id = static_cast<int64_t>(prefixes_.size());
    prefixes_.push_back(std::move(next));
    children_[key] = id;
    return id;
  }

  int64_t added(int64_t before, int64_t frame) {
    places_.push_back({before, frame, frame + 1});
    return static_cast<int64_t>(places_.size()) - 1;
  }
  int64_t extended(int64_t place, int64_t frame) {
    const Place old = places_[static_cast<size_t>(place)];
    places_.push_back({old.before, old.begin, frame + 1});
    return static_cast<int64_t>(places_.size()) - 1;
  }

  const CtcAlphabet& alphabet_;
  const CtcBeamSettings& s_;
  std::vector<Prefix> prefixes_;
  std::unordered_map<uint64_t, int64_t> children_;
  std::vector<Place> places_;
  std::vector<std::pair<int64_t, Beam>> beams_;
};

}  // namespace

std::vector<CtcBeam> ctc_beams(std::span<const float> log_probs, const CtcAlphabet& alphabet, const CtcBeamSettings& settings, size_t most) {
  const size_t width = alphabet.tokens.size();
  require(width > 0 && width < (1u << 24) && log_probs.size() % width == 0, "ctc: {} log-probabilities of {} tokens", log_probs.size(), width);
  require(settings.beam_width >= 1, "ctc: a beam width of {}", settings.beam_width);
  require(alphabet.blank >= 0 && static_cast<size_t>(alphabet.blank) < width, "ctc: the blank is token {} of {}", alphabet.blank, width);
  Search search(alphabet, settings);
  for (size_t frame = 0; frame * width < log_probs.size(); ++frame) search.advance(log_probs.data() + frame * width, static_cast<int64_t>(frame));
  return search.finish(most);
}

}  // namespace mynah::tasks
