// DPO (arXiv:2305.18290) and its relatives as TRL's DPOTrainer runs them.
#include <algorithm>
#include <cmath>

#include "base/require.h"
#include "mynah/autograd.h"
#include "mynah/ops.h"
#include "train/lm.h"
#include "train/preference.h"
#include "train/preference_rows.h"
#include "train/row_objective.h"

namespace mynah::train {
namespace {

namespace fs = std::filesystem;

struct PairBatch : MicroBatch {
  PackedRows rows;                                 // all chosen ones, then all rejected ones
  std::vector<int64_t> counts;                     // targets of each sequence
  std::vector<int64_t> completion_tokens;          // tokens of each completion, the first of a row without a prompt included
  size_t pairs = 0;
};

// Weights of each target under LD-DPO: those beyond the shorter completion of the pair count less.
std::vector<float> tail_weights(const PairBatch& b, float alpha) {
  std::vector<float> weights;
  for (size_t i = 0; i < b.counts.size(); ++i) {
    const int64_t shared = std::min(b.counts[i % b.pairs], b.counts[i % b.pairs + b.pairs]);
    for (int64_t t = 0; t < b.counts[i]; ++t) weights.push_back(t < shared ? 1 : alpha);
  }
  return weights;
}

class Dpo : public RowObjective<Pair> {
 public:
  Dpo(const Arguments& a, const PreferenceOptions& o, const nn::CausalLM& lm, std::shared_ptr<bundle::Bundle> reference, RowFile<Pair> train,
      RowFile<Pair> held_out)
      : RowObjective(a, a.shuffle, std::move(train), std::move(held_out)), o_(o), lm_(lm), reference_(std::move(reference)) {}

 protected:
  Tensor loss(const MicroBatch& micro, const Share& share, Metrics* metrics) override {
    const PairBatch& b = static_cast<const PairBatch&>(micro);
    TokenStats stats;
    const Body body = lm_body(lm_, b.rows);
    tell_balance(body, metrics);
    const Tensor per_token = head_log_probs(lm_, body.hidden, b.rows.targets, 1, &stats);
    Tensor reference;
    {
      NoGrad no_grad;
      reference = lm_log_probs(reference_->causal_lm(), b.rows);
    }
    const auto sums = [&](const Tensor& x) {
      if (o_.ld_alpha == 1) return group_sums(x, b.counts);
      const std::vector<float> weights = tail_weights(b, static_cast<float>(o_.ld_alpha));
      return group_sums(x * Tensor::from(weights, x.shape()), b.counts);
    };
    const Tensor policy_sums = sums(per_token), reference_sums = sums(reference);
    const auto n = static_cast<int64_t>(b.pairs);
    int64_t chosen_targets = 0;
    for (size_t i = 0; i < b.pairs; ++i) chosen_targets += b.counts[i];
    const DpoScores scores{narrow(policy_sums, 0, 0, n),
                           narrow(policy_sums, 0, n, n),
                           narrow(reference_sums, 0, 0, n),
                           narrow(reference_sums, 0, n, n),
                           {b.completion_tokens.begin(), b.completion_tokens.begin() + n},
                           {b.completion_tokens.begin() + n, b.completion_tokens.end()},
                           narrow(per_token, 0, 0, chosen_targets)};
    const Tensor weights = o_.use_weighting ? pair_weights(b, per_token.detach(), stats) : Tensor();
    Tensor total;
    for (size_t i = 0; i < o_.loss_type.size(); ++i) {
      const double weight = o_.loss_weights.empty() ? 1 : o_.loss_weights[i];
      const Tensor losses = dpo_losses(o_.loss_type[i], o_, scores);
      const Tensor part = mean(weights.defined() ? losses * weights : losses) * static_cast<float>(weight / static_cast<double>(share.micro_batches));
      total = total.defined() ? total + part : part;
    }
    total = with_balance(total, body, static_cast<double>(share.micro_batches));
    report(scores, stats, chosen_targets, metrics);
    return total;
  }

 private:
  std::unique_ptr<MicroBatch> collate(const RowFile<Pair>& pairs, const std::vector<int64_t>& rows) const override {
    auto batch = std::make_unique<PairBatch>();
    batch->pairs = rows.size();
    for (const bool chosen : {true, false})
      for (const int64_t row : rows) {
        const Pair pair = pairs[row];
        const Completion& c = chosen ? pair.chosen : pair.rejected;
        batch->counts.push_back(add_completion(c, &batch->rows));
        batch->completion_tokens.push_back(c.tokens());
        if (chosen) batch->places.push_back(pair.where);
      }
    batch->targets = static_cast<double>(rows.size());
    batch->tokens = batch->rows.tokens();
    return batch;
  }

  // exp of the mean over a completion of log p(token) - log sum p^2, of both completions of a pair: [B].
  static Tensor pair_weights(const PairBatch& b, const Tensor& per_token, const TokenStats& stats) {
    const std::vector<float> log_probs = per_token.to_vector();
    std::vector<float> weights(b.pairs, 1);
    size_t at = 0;
    for (size_t i = 0; i < b.counts.size(); ++i) {
      double sum = 0;
      for (int64_t t = 0; t < b.counts[i]; ++t, ++at) sum += log_probs[at] - stats.log_sum_squares[at];
      weights[i % b.pairs] *= static_cast<float>(std::exp(sum / static_cast<double>(std::max<int64_t>(1, b.counts[i]))));
    }
    return Tensor::from(weights, {static_cast<int64_t>(b.pairs)});
  }

  void report(const DpoScores& s, const TokenStats& stats, int64_t chosen_targets, Metrics* m) const {
    NoGrad no_grad;
    const auto beta = static_cast<float>(o_.beta);
    const Tensor chosen = (s.chosen.detach() - s.ref_chosen) * beta, rejected = (s.rejected.detach() - s.ref_rejected) * beta;
    double wins = 0;
    for (int64_t i = 0; i < chosen.numel(); ++i) wins += chosen.data<float>()[i] > rejected.data<float>()[i];
    const auto split = static_cast<size_t>(chosen_targets);
    m->add("entropy", stats.mean_entropy());
    m->add("logits/chosen", stats.mean_of_logits(0, split));
    m->add("logits/rejected", stats.mean_of_logits(split, SIZE_MAX));
    m->add("mean_token_accuracy", stats.accuracy(0, split));
    m->add("rewards/chosen", mean(chosen).item());
    m->add("rewards/rejected", mean(rejected).item());
    m->add("rewards/accuracies", wins / static_cast<double>(chosen.numel()));
    m->add("rewards/margins", mean(chosen - rejected).item());
    m->add("logps/chosen", mean(s.chosen.detach()).item());
    m->add("logps/rejected", mean(s.rejected.detach()).item());
  }

  const PreferenceOptions o_;
  const nn::CausalLM& lm_;
  std::shared_ptr<bundle::Bundle> reference_;
};

}  // namespace

std::unique_ptr<Objective> make_dpo(const Arguments& a, const PreferenceOptions& options, const Subject& subject, std::shared_ptr<bundle::Bundle> reference,
                                    const fs::path& train_file, const fs::path& validation_file) {
  PreferenceOptions o = options;
  if (o.loss_type.empty()) o.loss_type = {"sigmoid"};
  if (!o.loss_weights.empty() && o.loss_weights.size() != o.loss_type.size())
    fail(ErrorCode::usage, "--loss-weights: {} weights for {} loss types", o.loss_weights.size(), o.loss_type.size());
  for (const std::string& type : o.loss_type)
    if (o.use_weighting && type.starts_with("aot")) fail(ErrorCode::usage, "--use-weighting: {} sorts the pairs apart; the two do not go together", type);
  const nn::CausalLM& lm = subject.lm();
  CutOptions cut{o.max_length, o.truncation_mode == "keep_end"};
  if (lm.max_positions() > 0) cut.max_length = std::min(cut.max_length, lm.max_positions());
  const auto read = [&](const fs::path& file) { return read_pairs(a, *subject.bundle, file, cut); };
  RowFile<Pair> train = read(train_file), held_out = read(validation_file);
  return std::make_unique<Dpo>(a, o, lm, std::move(reference), std::move(train), std::move(held_out));
}

}  // namespace mynah::train
