#include "train/permutation_lm.h"

#include <algorithm>
#include <numeric>

#include "base/require.h"
#include "train/corpus_rows.h"
#include "train/forward_loss.h"

namespace mynah::train {
namespace {

// A row is its text, then the separator and class tokens if the tokenizer has them. A sixth of the text, in spans of 1 to 5 tokens, is
// predicted: every such token from the text that is not, and from those of its kind that come before it in a random order of the row.
class PermutationLM : public CorpusRows {
 public:
  PermutationLM(const PretrainOptions& o, const bundle::Bundle& b, Corpus train, Corpus held_out, int64_t block, std::vector<int32_t> ending)
      : CorpusRows(o.arguments, std::move(train), std::move(held_out), block - static_cast<int64_t>(ending.size())), network_(*b.network),
        tokenizer_(*b.tokenizer), ending_(std::move(ending)), probability_(o.plm_probability), longest_(o.max_span_length) {}

 protected:
  std::unique_ptr<MicroBatch> damaged(std::vector<CorpusRow> rows) const override {
    auto batch = std::make_unique<ForwardBatch>();
    const auto count = static_cast<int64_t>(rows.size()), text = static_cast<int64_t>(rows[0].tokens.size()), n = text + static_cast<int64_t>(ending_.size());
    std::vector<std::vector<int32_t>> ids, labels;
    std::vector<std::vector<int64_t>> places;
    Tensor hidden = Tensor::zeros({count, n, n});
    for (CorpusRow& row : rows) {
      const auto r = static_cast<int64_t>(ids.size());
      ids.emplace_back(row.tokens.begin(), row.tokens.end());
      ids.back().insert(ids.back().end(), ending_.begin(), ending_.end());
      places.push_back(targets(row));
      labels.emplace_back();
      for (const int64_t place : places.back()) labels.back().push_back(row.tokens[static_cast<size_t>(place)]);
      hide(places.back(), text, n, row.draw, hidden.data<float>() + r * n * n);
      batch->targets += static_cast<double>(places.back().size());
      batch->tokens += n;
    }
    int64_t most = 1;
    for (const auto& some : places) most = std::max(most, static_cast<int64_t>(some.size()));
    Tensor mapping = Tensor::zeros({count, most, n});
    for (int64_t r = 0; r < count; ++r)
      for (size_t g = 0; g < places[static_cast<size_t>(r)].size(); ++g)
        mapping.data<float>()[(r * most + static_cast<int64_t>(g)) * n + places[static_cast<size_t>(r)][g]] = 1;
    batch->inputs = {{"input_ids", padded(ids, 0)}, {"perm_mask", hidden}, {"target_mapping", mapping}, {"labels", padded(labels, -100)}};
    return batch;
  }
  Tensor loss(const MicroBatch& batch, const Share& share, Metrics*) override { return forward_loss(network_, static_cast<const ForwardBatch&>(batch), share); }

 private:
  // A span of each length draws its place within 1 / probability times that many tokens.
  std::vector<int64_t> targets(CorpusRow& row) const {
    std::vector<int64_t> places;
    const auto text = static_cast<int64_t>(row.tokens.size());
    for (int64_t begin = 0; begin < text;) {
      const int64_t length = 1 + row.draw.below(longest_);
      const auto context = static_cast<int64_t>(static_cast<double>(length) / probability_);
      const int64_t start = begin + row.draw.below(context - length + 1);
      for (int64_t i = start; i < std::min(text, start + length); ++i)
        if (!tokenizer_.is_special(row.tokens[static_cast<size_t>(i)])) places.push_back(i);
      begin += context;
    }
    return places;
  }

  // 1 where token i must not see token j. Text that is not predicted has rank -1: all see it, and it sees nothing of higher rank. The
  // ending is not predicted, yet has its place in the order.
  static void hide(const std::vector<int64_t>& places, int64_t text, int64_t n, Draws& draw, float* hidden) {
    std::vector<int64_t> order(static_cast<size_t>(n)), rank(static_cast<size_t>(n), -1);
    std::iota(order.begin(), order.end(), 0);
    draw.shuffle(&order);
    std::vector<uint8_t> target(static_cast<size_t>(n), 0);
    for (const int64_t place : places) target[static_cast<size_t>(place)] = 1;
    for (int64_t k = 0; k < n; ++k)
      if (const int64_t i = order[static_cast<size_t>(k)]; target[static_cast<size_t>(i)] || i >= text) rank[static_cast<size_t>(i)] = k;
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < n; ++j) {
        // A target does not see itself either.
        const int64_t sees_below = rank[static_cast<size_t>(i)] + (target[static_cast<size_t>(i)] ? 0 : 1);
        hidden[i * n + j] = rank[static_cast<size_t>(j)] >= 0 && rank[static_cast<size_t>(j)] >= sees_below ? 1.0f : 0.0f;
      }
  }

  const nn::Model& network_;
  const Tokenizer& tokenizer_;
  std::vector<int32_t> ending_;
  double probability_;
  int64_t longest_;
};

}  // namespace

std::unique_ptr<Objective> make_permutation_lm(const PretrainOptions& o, const bundle::Bundle& b, Corpus train, Corpus held_out, int64_t block) {
  if (b.architecture() != "XLNetLMHeadModel") fail(ErrorCode::usage, "--objective plm: {} does not predict in any order; expected XLNetLMHeadModel", b.architecture());
  std::vector<int32_t> ending;
  for (const auto id : {b.tokenizer->sep_id(), b.tokenizer->cls_id()})
    if (id) ending.push_back(*id);
  return std::make_unique<PermutationLM>(o, b, std::move(train), std::move(held_out), block, std::move(ending));
}

}  // namespace mynah::train
