#include "train/denoising.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <numeric>
#include <optional>

#include "base/require.h"
#include "nn/seq2seq_lm.h"
#include "train/corpus_rows.h"
#include "train/forward_loss.h"

namespace mynah::train {
namespace {

using Ids = std::vector<int32_t>;

// What the kinds of repair share: a batch made of damaged rows and their labels, and the loss that the network's forward pass computes.
class Denoising : public CorpusRows {
 protected:
  Denoising(const PretrainOptions& o, const bundle::Bundle& b, Corpus train, Corpus held_out, int64_t row_tokens)
      : CorpusRows(o.arguments, std::move(train), std::move(held_out), row_tokens), network_(*b.network), padding_(b.tokenizer->pad_id().value_or(0)) {}

  // Adds the row's input and its labels.
  virtual void damage(std::span<const int32_t> row, Draws& draw, Ids* input, Ids* labels) const = 0;

  std::unique_ptr<MicroBatch> damaged(std::vector<CorpusRow> rows) const override {
    auto batch = std::make_unique<ForwardBatch>();
    std::vector<Ids> inputs, labels;
    for (CorpusRow& row : rows) {
      damage(row.tokens, row.draw, &inputs.emplace_back(), &labels.emplace_back());
      batch->tokens += static_cast<int64_t>(inputs.back().size());
      batch->targets += static_cast<double>(labels.back().size()) - static_cast<double>(std::count(labels.back().begin(), labels.back().end(), -100));
    }
    batch->inputs = {{"input_ids", padded(inputs, padding_)}, {"attention_mask", padding_mask(inputs)}, {"labels", padded(labels, -100)}};
    return batch;
  }
  Tensor loss(const MicroBatch& batch, const Share& share, Metrics*) override { return forward_loss(network_, static_cast<const ForwardBatch&>(batch), share); }

 private:
  const nn::Model& network_;
  int32_t padding_;
};

// Where words begin, by the spelling of their tokens: "##ing" goes on with a word, and so does a token that begins with a letter, without a
// blank, behind one that ends with a letter.
class WordEdges {
 public:
  explicit WordEdges(const Tokenizer& tokenizer) : marked_(tokenizer.marks_continuations()) {
    const auto is_letter = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || (c & 0x80); };
    for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
      const std::string bytes = marked_ ? tokenizer.token_text(id) : tokenizer.token_bytes(id);
      const bool whole = tokenizer.is_special(id) || bytes.empty();
      begins_inside_.push_back(!whole && (marked_ ? bytes.starts_with("##") : is_letter(bytes.front())));
      ends_inside_.push_back(!whole && is_letter(bytes.back()));
    }
  }
  bool continues(int32_t before, int32_t id) const {
    return begins_inside_[static_cast<size_t>(id)] && (marked_ || ends_inside_[static_cast<size_t>(before)]);
  }

 private:
  bool marked_;
  std::vector<uint8_t> begins_inside_, ends_inside_;
};

// 15 % of the tokens are to be predicted: 80 % of them become the mask token, 10 % a random one, 10 % stay.
class MaskedLM : public Denoising {
 public:
  MaskedLM(const PretrainOptions& o, const bundle::Bundle& b, Corpus train, Corpus held_out, int64_t block)
      : Denoising(o, b, std::move(train), std::move(held_out), block - (b.tokenizer->cls_id() ? 1 : 0) - (b.tokenizer->sep_id() ? 1 : 0)),
        tokenizer_(*b.tokenizer), probability_(o.mlm_probability), mask_(needed(tokenizer_.mask_id(), "mask", "mlm")) {
    if (o.whole_word) words_.emplace(tokenizer_);
  }

 protected:
  void damage(std::span<const int32_t> row, Draws& draw, Ids* input, Ids* labels) const override {
    if (const auto cls = tokenizer_.cls_id()) input->push_back(*cls);
    const auto first = static_cast<int64_t>(input->size());
    input->insert(input->end(), row.begin(), row.end());
    if (const auto sep = tokenizer_.sep_id()) input->push_back(*sep);
    labels->assign(input->size(), -100);
    bool chosen = false;
    for (size_t i = 0; i < row.size(); ++i) {
      if (!words_ || i == 0 || !words_->continues(row[i - 1], row[i])) chosen = draw() < probability_;
      const float kind = draw();
      if (!chosen || tokenizer_.is_special(row[i])) continue;
      const size_t at = static_cast<size_t>(first) + i;
      (*labels)[at] = row[i];
      if (kind < 0.8f) (*input)[at] = mask_;
      else if (kind < 0.9f) (*input)[at] = static_cast<int32_t>(draw.below(tokenizer_.vocab_size()));
    }
  }

 private:
  const Tokenizer& tokenizer_;
  std::optional<WordEdges> words_;
  double probability_;
  int32_t mask_;
};

// `items` things in `segments` groups of at least one, all divisions equally likely.
std::vector<int64_t> random_segments(int64_t items, int64_t segments, Draws& draw) {
  std::vector<uint8_t> starts(static_cast<size_t>(items - 1));
  std::fill_n(starts.begin(), segments - 1, 1);
  draw.shuffle(&starts);
  std::vector<int64_t> sizes(1, 1);
  for (const uint8_t start : starts) {
    if (start) sizes.push_back(0);
    ++sizes.back();
  }
  return sizes;
}

// Which tokens of a row are noise: spans of a mean length that cover a share of it, as T5 draws them.
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

// Spans become sentinels; the labels are the sentinels, each followed by what it hides.
class SpanCorruption : public Denoising {
 public:
  static constexpr double kDensity = 0.15, kMeanSpan = 3;

  SpanCorruption(const PretrainOptions& o, const bundle::Bundle& b, Corpus train, Corpus held_out, int64_t block)
      : Denoising(o, b, std::move(train), std::move(held_out), span_lengths(block, kDensity, kMeanSpan).tokens),
        eos_(needed(b.tokenizer->eos_id(), "end of sequence", "span")),
        first_sentinel_(b.tokenizer->token_id("<extra_id_0>").value_or(b.tokenizer->vocab_size() - 1)) {}

 protected:
  void damage(std::span<const int32_t> row, Draws& draw, Ids* input, Ids* labels) const override {
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

 private:
  int32_t eos_, first_sentinel_;
};

// The smallest k with P(at most k) > u.
int64_t poisson(double mean, double u) {
  double term = std::exp(-mean), sum = term;
  int64_t k = 0;
  while (sum <= u && term > 0) {
    term *= mean / static_cast<double>(++k);
    sum += term;
  }
  return k;
}

// BART's damage: the sentences of a row change places, then spans of Poisson length that cover 30 % become one mask token each; spans of
// length 0 put a mask between two tokens. The labels are the row as it was.
class Infilling : public Denoising {
 public:
  Infilling(const PretrainOptions& o, const bundle::Bundle& b, Corpus train, Corpus held_out, int64_t block)
      : Denoising(o, b, std::move(train), std::move(held_out), block - (begin_of(*b.tokenizer) ? 1 : 0) - 1), begin_(begin_of(*b.tokenizer)),
        mask_(needed(b.tokenizer->mask_id(), "mask", "denoising")),
        end_(needed(b.tokenizer->eos_id() ? b.tokenizer->eos_id() : b.tokenizer->sep_id(), "end of sequence", "denoising")), ratio_(o.mask_ratio),
        mean_span_(o.poisson_lambda), permutes_(o.permute_sentences) {
    for (int32_t id = 0; id < b.tokenizer->vocab_size(); ++id) ends_sentence_.push_back(ends_sentence(b.tokenizer->token_bytes(id)));
  }

 protected:
  void damage(std::span<const int32_t> row, Draws& draw, Ids* input, Ids* labels) const override {
    for (Ids* side : {input, labels})
      if (begin_) side->push_back(*begin_);
    labels->insert(labels->end(), row.begin(), row.end());
    const Ids text = permutes_ ? permuted(row, draw) : Ids(row.begin(), row.end());
    const std::vector<int64_t> spans = span_sizes(static_cast<int64_t>(text.size()), draw);
    // Every arrangement of the tokens that stay (0) and the spans (1) is equally likely.
    std::vector<uint8_t> places(text.size() - static_cast<size_t>(std::accumulate(spans.begin(), spans.end(), int64_t{0})));
    places.insert(places.end(), spans.size(), 1);
    draw.shuffle(&places);
    size_t token = 0, span = 0;
    for (const uint8_t place : places) {
      input->push_back(place ? mask_ : text[token]);
      token += place ? static_cast<size_t>(spans[span++]) : 1;
    }
    input->push_back(end_);
    labels->push_back(end_);
  }

 private:
  static std::optional<int32_t> begin_of(const Tokenizer& t) { return t.bos_id() ? t.bos_id() : t.cls_id(); }

  static bool ends_sentence(std::string bytes) {
    while (!bytes.empty() && std::string_view(" \t\r\n").find(bytes.back()) != std::string_view::npos) bytes.pop_back();
    return !bytes.empty() && std::string_view(".!?").find(bytes.back()) != std::string_view::npos;
  }

  Ids permuted(std::span<const int32_t> row, Draws& draw) const {
    std::vector<Ids> sentences(1);
    for (const int32_t id : row) {
      sentences.back().push_back(id);
      if (ends_sentence_[static_cast<size_t>(id)]) sentences.emplace_back();
    }
    if (sentences.back().empty()) sentences.pop_back();
    draw.shuffle(&sentences);
    Ids text;
    for (const Ids& sentence : sentences) text.insert(text.end(), sentence.begin(), sentence.end());
    return text;
  }

  // Lengths that cover the share to hide, the last one cut to fit; no more of them than hidden tokens, so that a row never grows.
  std::vector<int64_t> span_sizes(int64_t tokens, Draws& draw) const {
    const auto hidden = std::clamp<int64_t>(static_cast<int64_t>(std::nearbyint(ratio_ * static_cast<double>(tokens))), 1, tokens);
    std::vector<int64_t> sizes;
    for (int64_t left = hidden; left > 0; left -= sizes.back()) sizes.push_back(std::min(left, poisson(mean_span_, static_cast<double>(draw()))));
    for (auto i = sizes.size(); i-- > 0 && static_cast<int64_t>(sizes.size()) > hidden;)
      if (sizes[i] == 0) sizes.erase(sizes.begin() + static_cast<long>(i));
    return sizes;
  }

  std::optional<int32_t> begin_;
  int32_t mask_, end_;
  double ratio_, mean_span_;
  bool permutes_;
  std::vector<uint8_t> ends_sentence_;  // by id
};

}  // namespace

int32_t needed(std::optional<int32_t> id, const char* what, const char* objective) {
  if (!id) fail(ErrorCode::usage, "--objective {}: the tokenizer names no {} token; add it to tokenizer_config.json", objective, what);
  return *id;
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
  if (!b.network->seq2seq_lm()) fail(ErrorCode::usage, "--objective {}: {} is not an encoder-decoder", o.objective, b.architecture());
  if (o.objective == "denoising") return std::make_unique<Infilling>(o, b, std::move(train), std::move(held_out), block);
  return std::make_unique<SpanCorruption>(o, b, std::move(train), std::move(held_out), block);
}

}  // namespace mynah::train
