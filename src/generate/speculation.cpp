#include "generate/speculation.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/require.h"
#include "bundle/bundle.h"

namespace mynah::generation {
namespace {

// The tokens that the model has seen or will see: hidden ones left out.
std::vector<int32_t> context_of(const Running& s) {
  std::vector<int32_t> all = s.prompt->seen;
  all.insert(all.end(), s.tokens.begin() + s.prompt_length(), s.tokens.end());
  return all;
}

// What followed the last tokens when they occurred before.
class PromptLookup : public Proposer {
 public:
  PromptLookup(int64_t count, int64_t longest) : count_(count), longest_(longest) {}

  std::vector<int32_t> propose(const Running& s, int64_t most) override {
    const std::vector<int32_t> all = context_of(s);
    const auto length = static_cast<int64_t>(all.size());
    for (int64_t n = std::min(longest_, length - 1); n > 0; --n)
      for (int64_t at = length - n - 1; at >= 0; --at)
        if (std::equal(all.end() - n, all.end(), all.begin() + at)) {
          const int64_t from = at + n;
          return {all.begin() + from, all.begin() + std::min(from + std::min(count_, most), length)};
        }
    return {};
  }

 private:
  int64_t count_, longest_;
};

// A smaller model of the same vocabulary.
class DraftModel : public Proposer {
 public:
  DraftModel(const GenerationConfig& config, const nn::CausalLM& lm) : config_(config), decoder_(lm), scorer_(config_, lm.vocabulary_size()) {}

  std::vector<int32_t> propose(const Running& s, int64_t most) override {
    std::vector<int32_t> all = context_of(s), shown = s.tokens, guess;
    Draft& d = drafts_.try_emplace(s.row, Draft{decoder_.memory(), {}}).first->second;
    const size_t known = std::min(d.tokens.size(), all.size() - 1);
    const auto same = d.memory.cache.reach(std::mismatch(d.tokens.begin(), d.tokens.begin() + static_cast<long>(known), all.begin()).first - d.tokens.begin());
    d.memory.cache.truncate(same);
    std::vector<int32_t> pending(all.begin() + same, all.end());
    const int64_t context = decoder_.model().max_positions();
    if (context > 0) most = std::min(most, context - static_cast<int64_t>(all.size()) - 1);
    while (static_cast<int64_t>(guess.size()) < std::min(most, config_.num_assistant_tokens)) {
      const Decoder::Piece piece{&d.memory, pending};
      Tensor logits = decoder_.run({&piece, 1});
      const std::span<float> scores(logits.data<float>(), static_cast<size_t>(logits.size(1)));
      Progress progress = s.progress();
      progress.tokens = shown;
      scorer_.process(progress, scores, {}, [](std::span<float>) {});
      const int32_t token = choose(config_, scores, s.stream, static_cast<int64_t>(shown.size()));
      guess.push_back(token);
      shown.push_back(token);
      pending = {token};
      log_softmax_row(scores);
      if (std::exp(scores[static_cast<size_t>(token)]) < config_.assistant_confidence_threshold) break;
    }
    d.tokens = std::move(all);
    d.tokens.insert(d.tokens.end(), guess.begin(), guess.end());
    d.tokens.resize(static_cast<size_t>(d.memory.cache.length()));
    return guess;
  }

 private:
  struct Draft {
    Memory memory;
    std::vector<int32_t> tokens;  // in the memory
  };
  const GenerationConfig config_;
  Decoder decoder_;
  Scorer scorer_;
  std::map<int64_t, Draft> drafts_;
};

}  // namespace

std::unique_ptr<Proposer> make_proposer(const GenerationConfig& c, const nn::CausalLM& model) {
  // A recurrent state cannot take a wrong guess back.
  if (c.num_beams > 1 || c.guidance_scale != 1.0f || c.output_logits || model.seq2seq_lm() || model.cache_shape().state > 0) return nullptr;
  if (c.prompt_lookup_num_tokens > 0) return std::make_unique<PromptLookup>(c.prompt_lookup_num_tokens, c.max_matching_ngram_size);
  if (!c.assistant_model) return nullptr;
  const nn::CausalLM& draft = c.assistant_model->bundle().causal_lm();
  require(draft.vocabulary_size() == model.vocabulary_size() && !draft.seq2seq_lm(), "generation: the assistant has {} tokens, the model {}; it must have the same vocabulary",
          draft.vocabulary_size(), model.vocabulary_size());
  return std::make_unique<DraftModel>(c, draft);
}

void speculate(Run& run, Proposer& proposer, std::span<Running* const> sequences) {
  std::vector<std::vector<int32_t>> guesses, inputs;
  inputs.reserve(sequences.size());
  std::vector<Decoder::Piece> pieces;
  for (Running* s : sequences) {
    int64_t room = s->prompt->max_length - static_cast<int64_t>(s->tokens.size()) - 1;
    // A guess may not carry the text over the length where what came before is seen otherwise.
    const int64_t limit = run.decoder.model().position_switch().length, length = s->memory.cache.length() + s->memory.offset + 1;
    if (length <= limit) room = std::min(room, limit - length);
    guesses.push_back(s->pending.size() == 1 && room > 0 ? proposer.propose(*s, room) : std::vector<int32_t>());
    inputs.push_back(s->pending);
    inputs.back().insert(inputs.back().end(), guesses.back().begin(), guesses.back().end());
    pieces.push_back({&s->memory, inputs.back(), !guesses.back().empty()});
  }
  Logits logits;
  logits.rows = run.decoder.run(pieces);
  int64_t row = 0;
  for (size_t i = 0; i < sequences.size(); ++i) {
    Running& s = *sequences[i];
    const std::vector<int32_t>& guess = guesses[i];
    const int64_t before = s.memory.cache.length() - static_cast<int64_t>(guess.size());
    size_t right = 0;
    for (;; ++right) {
      extend(run, s, logits.row(row + static_cast<int64_t>(right)), {});
      if (s.finished || right == guess.size() || s.tokens.back() != guess[right]) break;
    }
    s.memory.cache.truncate(before + static_cast<int64_t>(right));
    s.pending = {s.tokens.back()};
    row += static_cast<int64_t>(guess.size()) + 1;
  }
}

}  // namespace mynah::generation
