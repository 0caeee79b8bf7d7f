#include "generate/beam_search.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>

#include "base/thread_pool.h"
#include "kernels/rows.h"

namespace mynah::generation {
namespace {

// Scores below this are those of beams that do not count; the arithmetic with it is the reference's, in f32.
constexpr float kOut = -1e9f;

// A beam of the next step: one of this step's with a token more.
struct Candidate {
  float score = 0;
  int64_t parent = 0;
  int32_t token = 0;
  bool ends = false;
  double log_probability = 0;
};

struct Finished : FinishedBeam {
  bool real = false;  // otherwise a placeholder
};

// The search for one prompt.
class Search {
 public:
  Search(Run& run, std::vector<Running> beams) : run_(run), beams_(std::move(beams)), scores_(beams_.size(), kOut) {
    scores_[0] = 0;
    finished_.resize(beams_.size());
    for (Finished& f : finished_) f.score = kOut, f.tokens = beams_[0].tokens;
  }

  bool done() const { return done_; }
  std::vector<Running>& beams() { return beams_; }

  // A step: read(), then for each beam normalise() and weigh(), and choose() and advance(). All but the last may run beside those of other
  // prompts, and weigh() beside that of other beams where score() allows it.
  void read(std::vector<std::span<float>> logits) { rows_ = std::move(logits); }
  void normalise(int64_t beam) { log_softmax_row(rows_[static_cast<size_t>(beam)]); }
  void weigh(int64_t beam, std::span<const float> negative) { score(run_, beams_[static_cast<size_t>(beam)], rows_[static_cast<size_t>(beam)], negative); }
  void choose() { candidates_ = run_.config.do_sample ? best<true>() : best<false>(); }
  void advance() {
    if (run_.log_probabilities) {
      std::vector<std::optional<LogProbabilities>> of_parent(beams_.size());
      for (Candidate& c : candidates_) {
        const auto parent = static_cast<size_t>(c.parent);
        if (!of_parent[parent]) of_parent[parent].emplace(run_.config, rows_[parent]);
        c.log_probability = beams_[parent].log_probability + of_parent[parent]->of(c.token);
      }
    }
    bool all_end = true;
    for (Candidate& c : candidates_) {
      c.ends = hits(c);
      all_end = all_end && c.ends;
    }
    finish(candidates_);
    go_on(std::move(candidates_));
    done_ = !may_improve() || (full() && run_.config.early_stopping == EarlyStopping::yes) || all_end;
  }

  std::vector<FinishedBeam> answers(int64_t count) const { return {finished_.begin(), finished_.begin() + count}; }

 private:
  int64_t count() const { return static_cast<int64_t>(beams_.size()); }
  bool full() const {
    return std::all_of(finished_.begin(), finished_.end(), [](const Finished& f) { return f.real; });
  }
  float penalty(int64_t length) const { return static_cast<float>(std::pow(static_cast<double>(length), static_cast<double>(run_.config.length_penalty))); }

  // The continuations with the largest sums, or drawn without replacement: so many that enough are left when all ends hit.
  template <bool sample>
  std::vector<Candidate> best() const {
    const int64_t wanted = std::max<int64_t>(2, 1 + static_cast<int64_t>(run_.config.eos_token_id.size())) * count();
    struct Entry {
      float key, score;
      int64_t index;
    };
    const auto before = [](const Entry& a, const Entry& b) { return a.key != b.key ? a.key > b.key : a.index < b.index; };
    std::vector<Entry> heap;  // the worst of the best at the front
    const int64_t v = static_cast<int64_t>(rows_[0].size());
    const auto offer = [&](int64_t b, int64_t t) {
      const float sum = rows_[static_cast<size_t>(b)][static_cast<size_t>(t)] + scores_[static_cast<size_t>(b)];
      Entry e{sum, sum, b * v + t};
      if (sample && sum != kNever) e.key += gumbel(run_.config.seed, beams_[0].stream, beams_[0].tokens.size(), static_cast<uint64_t>(e.index));
      if (static_cast<int64_t>(heap.size()) == wanted) {
        if (!before(e, heap.front())) return;
        std::pop_heap(heap.begin(), heap.end(), before);
        heap.back() = e;
      } else {
        heap.push_back(e);
      }
      std::push_heap(heap.begin(), heap.end(), before);
    };
    constexpr int64_t kBlock = 256;
    for (int64_t b = 0; b < count(); ++b)
      for (int64_t first = 0; first < v; first += kBlock) {
        const int64_t end = std::min(first + kBlock, v);
        // Few blocks hold anything: one whose largest sum is not above the worst of the best is passed over.
        if (!sample && static_cast<int64_t>(heap.size()) == wanted &&
            kernels::rows().max(rows_[static_cast<size_t>(b)].data() + first, end - first) + scores_[static_cast<size_t>(b)] <= heap.front().key)
          continue;
        for (int64_t t = first; t < end; ++t) offer(b, t);
      }
    std::sort(heap.begin(), heap.end(), before);
    std::vector<Candidate> out;
    for (const Entry& e : heap) out.push_back({e.score, e.index / v, static_cast<int32_t>(e.index % v)});
    return out;
  }

  std::vector<int32_t> tokens_of(const Candidate& c) const {
    std::vector<int32_t> tokens = beams_[static_cast<size_t>(c.parent)].tokens;
    tokens.push_back(c.token);
    return tokens;
  }

  bool hits(const Candidate& c) const {
    const int64_t length = static_cast<int64_t>(beams_[0].tokens.size()) + 1;
    return run_.ends(beams_[static_cast<size_t>(c.parent)], c.token) || length >= beams_[0].prompt->max_length || run_.out_of_time();
  }

  // Candidates among the first that end are finished answers, if they are better than those there are.
  void finish(const std::vector<Candidate>& candidates) {
    const float length = penalty(beams_[0].generated() + 1);
    for (size_t i = 0; i < candidates.size() && static_cast<int64_t>(i) < count(); ++i) {
      const Candidate& c = candidates[i];
      if (!c.ends) continue;
      Finished f;
      f.score = c.score / length;
      f.tokens = tokens_of(c);
      f.log_probability = c.log_probability;
      f.real = true;
      finished_.push_back(std::move(f));
    }
    std::stable_sort(finished_.begin(), finished_.end(), [](const Finished& a, const Finished& b) { return a.score > b.score; });
    finished_.resize(beams_.size());
  }

  // The best candidates that do not end are the next beams; what they share with this step's is not copied.
  void go_on(std::vector<Candidate> candidates) {
    for (Candidate& c : candidates)
      if (c.ends) c.score += kOut;
    std::stable_sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) { return a.score > b.score; });
    candidates.resize(beams_.size());
    std::vector<int64_t> children(beams_.size());
    for (const Candidate& c : candidates) ++children[static_cast<size_t>(c.parent)];
    std::vector<Running> next;
    for (size_t b = 0; b < candidates.size(); ++b) {
      const Candidate& c = candidates[b];
      Running& parent = beams_[static_cast<size_t>(c.parent)];
      next.push_back(--children[static_cast<size_t>(c.parent)] > 0 ? parent.fork() : std::move(parent));
      Running& child = next.back();
      child.push(run_, c.token);
      child.row = beams_row_ + static_cast<int64_t>(b);
      child.stream = stream_;
      child.log_probability = c.log_probability;
      scores_[b] = c.score;
    }
    beams_ = std::move(next);
  }

  // Whether the best running beam could still displace a finished one.
  bool may_improve() const {
    const Running& s = beams_[0];
    const bool longest = run_.config.early_stopping == EarlyStopping::never && run_.config.length_penalty > 0;
    const float hope = scores_[0] / penalty(longest ? s.prompt->max_length - s.prompt_length() : s.generated());
    return hope > (full() ? finished_.back().score : kOut);
  }

  Run& run_;
  std::vector<Running> beams_;
  std::vector<float> scores_;         // of the running beams, the best first
  std::vector<Finished> finished_;    // the best first
  std::vector<std::span<float>> rows_;  // of this step
  std::vector<Candidate> candidates_;
  int64_t beams_row_ = beams_[0].row;
  uint64_t stream_ = beams_[0].stream;
  bool done_ = false;
};

// One step of every search, from the logits of its running beams (which become their scores).
void step(const Run& run, std::span<Search* const> searches, const std::function<std::span<float>(size_t search, int64_t beam)>& logits,
          const std::function<std::span<const float>(size_t search, int64_t beam)>& negative) {
  struct Beam {
    size_t search;
    int64_t beam;
  };
  std::vector<Beam> all;
  for (size_t i = 0; i < searches.size(); ++i) {
    std::vector<std::span<float>> rows;
    for (int64_t b = 0; b < static_cast<int64_t>(searches[i]->beams().size()); ++b) {
      rows.push_back(logits(i, b));
      all.push_back({i, b});
    }
    searches[i]->read(std::move(rows));
  }
  const auto weigh = [&](const Beam& b) { searches[b.search]->weigh(b.beam, negative(b.search, b.beam)); };
  const bool apart = scores_apart(run);  // then a row is gone through while it is in the cache
  parallel_for(static_cast<int64_t>(all.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const Beam& b = all[static_cast<size_t>(r)];
      searches[b.search]->normalise(b.beam);
      if (apart) weigh(b);
    }
  });
  if (!apart)
    for (const Beam& b : all) weigh(b);
  parallel_for(static_cast<int64_t>(searches.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) searches[static_cast<size_t>(i)]->choose();
  });
  for (Search* s : searches) s->advance();
}

}  // namespace

std::vector<std::vector<FinishedBeam>> beam_search(Run& run, std::span<const Prompt> prompts) {
  const int64_t beams = run.config.num_beams;
  Logits logits;
  std::vector<Running> all = begin(run, prompts, beams, &logits);
  std::vector<Search> searches;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const auto first = std::make_move_iterator(all.begin() + static_cast<long>(i) * beams);
    searches.emplace_back(run, std::vector<Running>(first, first + beams));
    // All beams of a prompt begin with the same row.
    std::vector<float> rows;
    for (int64_t b = 0; b < beams; ++b) rows.insert(rows.end(), logits.row(static_cast<int64_t>(i)).begin(), logits.row(static_cast<int64_t>(i)).end());
    const size_t v = rows.size() / static_cast<size_t>(beams);
    Search* const only = &searches.back();
    step(run, {&only, 1}, [&](size_t, int64_t b) { return std::span<float>(rows.data() + static_cast<size_t>(b) * v, v); },
         [&](size_t, int64_t) { return logits.negative_row(static_cast<int64_t>(i)); });
  }
  for (;;) {
    std::vector<Running*> active;
    std::vector<Search*> open;
    for (Search& s : searches) {
      if (s.done()) continue;
      open.push_back(&s);
      for (Running& b : s.beams()) active.push_back(&b);
    }
    if (open.empty()) break;
    logits = compute(run, active);
    const auto row_of = [beams](size_t search, int64_t beam) { return static_cast<int64_t>(search) * beams + beam; };
    step(run, open, [&](size_t i, int64_t b) { return logits.row(row_of(i, b)); }, [&](size_t i, int64_t b) { return logits.negative_row(row_of(i, b)); });
  }
  std::vector<std::vector<FinishedBeam>> out;
  for (const Search& s : searches) out.push_back(s.answers(run.config.num_return_sequences));
  return out;
}

}  // namespace mynah::generation
