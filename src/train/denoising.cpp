#include "train/denoising.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/random.h"
#include "base/require.h"
#include "nn/seq2seq_lm.h"
#include "train/forward_loss.h"

namespace mynah::train {
namespace {

// Draws of one row: uniform numbers by position.
class Draws {
 public:
  Draws(uint64_t seed, uint64_t row) : seed_(seed), row_(row) {}
  float operator()() { return uniform(seed_, row_, next_++, RandomPurpose::data_order); }
  int64_t below(int64_t n) { return std::min(n - 1, static_cast<int64_t>(static_cast<double>((*this)()) * static_cast<double>(n))); }

 private:
  uint64_t seed_, row_, next_ = uint64_t{1} << 32;  // far from the draws of the order of rows
};

// `items` things in `segments` groups of at least one, all divisions equally likely.
std::vector<int64_t> random_segments(int64_t items, int64_t segments, Draws& draw) {
  std::vector<uint8_t> starts(static_cast<size_t>(items - 1));
  std::fill_n(starts.begin(), segments - 1, 1);
  for (int64_t i = items - 2; i > 0; --i) std::swap(starts[static_cast<size_t>(i)], starts[static_cast<size_t>(draw.below(i + 1))]);
  std::vector<int64_t> sizes(1, 1);
  for (const uint8_t start : starts) {
    if (start) sizes.push_back(0);
    ++sizes.back();
  }
  return sizes;
}

std::vector<uint8_t> noise(int64_t length, double density, double mean_span, Draws& draw) {
  const auto rounded = [](double x) { return static_cast<int64_t>(std::nearbyint(x)); };
  const int64_t noisy = std::clamp<int64_t>(rounded(static_cast<double>(length) * density), 1, length - 1);
  const int64_t spans = std::max<int64_t>(1, rounded(static_cast<double>(std::min(noisy, length - noisy)) / mean_span));
  const auto noise_sizes = random_segments(noisy, spans, draw), clean_sizes = random_segments(length - noisy, spans, draw);
  std::vector<uint8_t> mask;
  for (size_t i = 0; i < noise_sizes.size(); ++i) {
    mask.insert(mask.end(), static_cast<size_t>(clean_sizes[i]), 0);
    mask.insert(mask.end(), static_cast<size_t>(noise_sizes[i]), 1);
  }
  return mask;
}

// What both kinds of repair share: rows of a corpus, a batch made of damaged rows, a held-out loss.
class Denoising : public BatchObjective {
 public:
  Denoising(const Arguments& a, const nn::Model& network, Corpus train, Corpus held_out, int64_t row_tokens)
      : BatchObjective(a), network_(network), train_(std::move(train)), held_out_(std::move(held_out)), row_tokens_(row_tokens),
        batches_(std::max<int64_t>(1, rows_of_corpus(train_)), a.per_device_train_batch_size, a.shuffle, a.seed) {
    require(rows_of_corpus(train_) > 0, "training text: {} tokens, a row takes {}", train_.tokens.size(), row_tokens);
  }

  bool has_evaluation() const override { return rows_of_corpus(held_out_) > 0; }
  Json evaluate() override {
    return evaluate_rows(rows_of_corpus(held_out_), [&](const auto& rows) { return damaged(held_out_, rows, 0); });
  }

 protected:
  int64_t batches_per_epoch() const override { return batches_.count(); }
  std::unique_ptr<MicroBatch> micro_batch(int64_t epoch, int64_t index) const override {
    return damaged(train_, batches_.rows(epoch, index), static_cast<uint64_t>(epoch) + 1);
  }
  Tensor loss(const MicroBatch& batch, const Share& share, Metrics*) override {
    return forward_loss(network_, static_cast<const ForwardBatch&>(batch), share);
  }

  // A row of row_tokens_ tokens, damaged by draws of its own; adds its input and its labels.
  virtual void damage(std::span<const int32_t> row, Draws& draw, std::vector<int32_t>* input, std::vector<int32_t>* labels) const = 0;
  virtual int32_t padding() const = 0;

 private:
  int64_t rows_of_corpus(const Corpus& c) const { return static_cast<int64_t>(c.tokens.size()) / row_tokens_; }

  std::unique_ptr<ForwardBatch> damaged(const Corpus& corpus, const std::vector<int64_t>& rows, uint64_t pass) const {
    auto batch = std::make_unique<ForwardBatch>();
    std::vector<std::vector<int32_t>> inputs, labels;
    for (const int64_t row : rows) {
      Draws draw(arguments_.seed + pass, static_cast<uint64_t>(row));
      damage({corpus.tokens.data() + row * row_tokens_, static_cast<size_t>(row_tokens_)}, draw, &inputs.emplace_back(), &labels.emplace_back());
      batch->tokens += static_cast<int64_t>(inputs.back().size());
      batch->targets += static_cast<double>(labels.back().size()) - static_cast<double>(std::count(labels.back().begin(), labels.back().end(), -100));
    }
    batch->inputs = {{"input_ids", padded(inputs, padding())}, {"attention_mask", padding_mask(inputs)}, {"labels", padded(labels, -100)}};
    return batch;
  }

  const nn::Model& network_;
  Corpus train_, held_out_;
  int64_t row_tokens_;
  RowBatches batches_;
};

int32_t needed(std::optional<int32_t> id, const char* what, const char* objective) {
  if (!id) fail(ErrorCode::usage, "--objective {}: the tokenizer names no {} token; add it to tokenizer_config.json", objective, what);
  return *id;
}

// 15 % of the tokens are to be predicted: 80 % of them become the mask token, 10 % a random one, 10 % stay.
class MaskedLM : public Denoising {
 public:
  MaskedLM(const PretrainOptions& o, const bundle::Bundle& b, Corpus train, Corpus held_out, int64_t block)
      : Denoising(o.arguments, *b.network, std::move(train), std::move(held_out), block - (b.tokenizer->cls_id() ? 1 : 0) - (b.tokenizer->sep_id() ? 1 : 0)),
        tokenizer_(*b.tokenizer), probability_(o.mlm_probability), whole_word_(o.whole_word), mask_(needed(tokenizer_.mask_id(), "mask", "mlm")) {}

 protected:
  void damage(std::span<const int32_t> row, Draws& draw, std::vector<int32_t>* input, std::vector<int32_t>* labels) const override {
    if (const auto cls = tokenizer_.cls_id()) input->push_back(*cls);
    const auto first = static_cast<int64_t>(input->size());
    input->insert(input->end(), row.begin(), row.end());
    if (const auto sep = tokenizer_.sep_id()) input->push_back(*sep);
    labels->assign(input->size(), -100);
    bool chosen = false;
    for (size_t i = 0; i < row.size(); ++i) {
      const bool continues = whole_word_ && i > 0 && tokenizer_.token_text(row[i]).starts_with("##");
      if (!continues) chosen = draw() < probability_;
      const float kind = draw();
      if (!chosen || tokenizer_.is_special(row[i])) continue;
      const size_t at = static_cast<size_t>(first) + i;
      (*labels)[at] = row[i];
      if (kind < 0.8f) (*input)[at] = mask_;
      else if (kind < 0.9f) (*input)[at] = static_cast<int32_t>(draw.below(tokenizer_.vocab_size()));
    }
  }
  int32_t padding() const override { return tokenizer_.pad_id().value_or(0); }

 private:
  const Tokenizer& tokenizer_;
  double probability_;
  bool whole_word_;
  int32_t mask_;
};

// Spans become sentinels; the labels are the sentinels, each followed by what it hides.
class SpanCorruption : public Denoising {
 public:
  static constexpr double kDensity = 0.15, kMeanSpan = 3;

  SpanCorruption(const PretrainOptions& o, const bundle::Bundle& b, Corpus train, Corpus held_out, int64_t block)
      : Denoising(o.arguments, *b.network, std::move(train), std::move(held_out), span_lengths(block, kDensity, kMeanSpan).tokens),
        eos_(needed(b.tokenizer->eos_id(), "end of sequence", "span")), pad_(b.tokenizer->pad_id().value_or(0)),
        first_sentinel_(b.tokenizer->token_id("<extra_id_0>").value_or(b.tokenizer->vocab_size() - 1)) {}

 protected:
  void damage(std::span<const int32_t> row, Draws& draw, std::vector<int32_t>* input, std::vector<int32_t>* labels) const override {
    const std::vector<uint8_t> mask = noise(static_cast<int64_t>(row.size()), kDensity, kMeanSpan, draw);
    int32_t sentinel = first_sentinel_ + 1;
    for (size_t i = 0; i < row.size(); ++i) {
      if (mask[i] && (i == 0 || !mask[i - 1])) {
        --sentinel;
        require(sentinel > 0, "--objective span: the vocabulary has too few tokens for sentinels");
        input->push_back(sentinel);
        labels->push_back(sentinel);
      }
      (mask[i] ? labels : input)->push_back(row[i]);
    }
    input->push_back(eos_);
    labels->push_back(eos_);
  }
  int32_t padding() const override { return pad_; }

 private:
  int32_t eos_, pad_, first_sentinel_;
};

}  // namespace

std::vector<uint8_t> noise_spans(int64_t length, double density, double mean_span, uint64_t seed, uint64_t row) {
  Draws draw(seed, row);
  return noise(length, density, mean_span, draw);
}

SpanLengths span_lengths(int64_t inputs, double density, double mean_span) {
  const auto lengths = [&](int64_t tokens) {
    const auto noisy = static_cast<int64_t>(std::nearbyint(static_cast<double>(tokens) * density));
    const auto spans = static_cast<int64_t>(std::nearbyint(static_cast<double>(noisy) / mean_span));
    return std::pair{tokens - noisy + spans + 1, noisy + spans + 1};
  };
  int64_t tokens = inputs;
  while (lengths(tokens + 1).first <= inputs) ++tokens;
  return {tokens, lengths(tokens).second};
}

std::unique_ptr<Objective> make_denoising(const PretrainOptions& o, const bundle::Bundle& b, Corpus train, Corpus held_out, int64_t block) {
  if (o.objective == "mlm") {
    if (b.network->kind() != nn::HeadKind::masked_lm) fail(ErrorCode::usage, "--objective mlm: {} does not predict masked tokens", b.architecture());
    return std::make_unique<MaskedLM>(o, b, std::move(train), std::move(held_out), block);
  }
  if (!b.network->seq2seq_lm()) fail(ErrorCode::usage, "--objective span: {} is not an encoder-decoder", b.architecture());
  return std::make_unique<SpanCorruption>(o, b, std::move(train), std::move(held_out), block);
}

}  // namespace mynah::train
