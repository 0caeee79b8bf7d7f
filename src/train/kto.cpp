// KTO (arXiv:2402.01306) as TRL's KTOTrainer runs it: rows in the order of the file; each row's KL completion is its neighbour's.
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

struct JudgedBatch : MicroBatch {
  PackedRows rows, kl_rows;
  std::vector<int64_t> counts, kl_counts;
  std::vector<bool> desirable;
};

class Kto : public RowObjective<Judged> {
 public:
  Kto(const Arguments& a, const PreferenceOptions& o, const CutOptions& cut, const nn::CausalLM& lm, std::shared_ptr<bundle::Bundle> reference,
      RowFile<Judged> train, RowFile<Judged> held_out)
      : RowObjective(a, false, std::move(train), std::move(held_out)), o_(o), cut_(cut), lm_(lm), reference_(std::move(reference)) {}

 protected:
  Tensor loss(const MicroBatch& micro, const Share& share, Metrics* m) override {
    const JudgedBatch& b = static_cast<const JudgedBatch&>(micro);
    const bool with_kl = o_.loss_type[0] == "kto";
    const nn::CausalLM& reference = reference_->causal_lm();
    double kl = 0;
    Tensor ref;
    {
      NoGrad no_grad;
      if (with_kl)
        kl = std::max(0.0, static_cast<double>(mean(group_sums(lm_log_probs(lm_, b.kl_rows), b.kl_counts) -
                                                    group_sums(lm_log_probs(reference, b.kl_rows), b.kl_counts)).item()));
      ref = group_sums(lm_log_probs(reference, b.rows), b.counts);
    }
    TokenStats stats;
    const Body body = lm_body(lm_, b.rows);
    tell_balance(body, m);
    const Tensor policy = group_sums(head_log_probs(lm_, body.hidden, b.rows.targets, 1, &stats), b.counts);
    // 1 - sigmoid(s beta (ratio - z)), s = 1 for desirable rows and -1 for the others
    std::vector<float> signs, weights;
    for (const bool good : b.desirable) {
      signs.push_back(good ? 1 : -1);
      weights.push_back(static_cast<float>(good ? o_.desirable_weight : o_.undesirable_weight));
    }
    const Shape shape{static_cast<int64_t>(signs.size())};
    const Tensor advantage = add(policy - ref, static_cast<float>(-kl)) * Tensor::from(signs, shape) * static_cast<float>(o_.beta);
    const Tensor losses = add(neg(sigmoid(advantage)), 1.0f) * Tensor::from(weights, shape);
    report(b, policy.detach(), ref, stats, kl, m);
    Tensor total = mean(losses) * (1.0f / static_cast<float>(share.micro_batches));
    total = with_balance(total, body, static_cast<double>(share.micro_batches));
    return total;
  }

 private:
  // A row's KL completion is the one before it in its group of a training batch's size (also in evaluation, whose batches may be
  // larger), the first row's that of the last.
  std::unique_ptr<MicroBatch> collate(const RowFile<Judged>& rows, const std::vector<int64_t>& some) const override {
    auto batch = std::make_unique<JudgedBatch>();
    for (const int64_t at : some) {
      const int64_t size = arguments_.per_device_train_batch_size, begin = at / size * size;
      const int64_t end = std::min(begin + size, rows.size());
      const Judged row = rows[at], other = rows[at > begin ? at - 1 : end - 1];
      batch->counts.push_back(add_completion(cut(row.completion, cut_), &batch->rows));
      Completion kl{{row.completion.ids.begin(), row.completion.ids.begin() + row.completion.prompt}, row.completion.prompt};
      kl.ids.insert(kl.ids.end(), other.completion.ids.begin() + other.completion.prompt, other.completion.ids.end());
      batch->kl_counts.push_back(add_completion(cut(kl, cut_), &batch->kl_rows));
      batch->desirable.push_back(row.desirable);
      batch->places.push_back(row.where);
    }
    batch->targets = static_cast<double>(some.size());
    batch->tokens = batch->rows.tokens();
    return batch;
  }

  void report(const JudgedBatch& b, const Tensor& policy, const Tensor& ref, const TokenStats& stats, double kl, Metrics* m) const {
    struct Side {
      double rewards = 0, logps = 0, logits = 0;
      int64_t rows = 0, tokens = 0;
    } sides[2];
    size_t at = 0;
    for (size_t i = 0; i < b.counts.size(); ++i) {
      Side& s = sides[b.desirable[i]];
      const float p = policy.data<float>()[i];
      s.rewards += o_.beta * (p - ref.data<float>()[i]);
      s.logps += p;
      ++s.rows;
      for (int64_t t = 0; t < b.counts[i]; ++t) s.logits += stats.mean_logit[at++];
      s.tokens += b.counts[i];
    }
    m->add("kl", kl);
    m->add("entropy", stats.mean_entropy());
    for (const bool good : {true, false}) {
      const Side& s = sides[good];
      const std::string name = good ? "chosen" : "rejected";
      if (s.tokens > 0) m->add("logits/" + name, s.logits / static_cast<double>(s.tokens));
      if (s.rows > 0) m->add("rewards/" + name, s.rewards / static_cast<double>(s.rows));
      if (s.rows > 0) m->add("logps/" + name, s.logps / static_cast<double>(s.rows));
    }
    if (sides[0].rows > 0 && sides[1].rows > 0)
      m->add("rewards/margins", sides[1].rewards / static_cast<double>(sides[1].rows) - sides[0].rewards / static_cast<double>(sides[0].rows));
  }

  const PreferenceOptions o_;
  const CutOptions cut_;
  const nn::CausalLM& lm_;
  std::shared_ptr<bundle::Bundle> reference_;
};

}  // namespace

std::unique_ptr<Objective> make_kto(const Arguments& a, const PreferenceOptions& options, const Subject& subject, std::shared_ptr<bundle::Bundle> reference,
                                    const fs::path& train_file, const fs::path& validation_file) {
  PreferenceOptions o = options;
  if (o.loss_type.empty()) o.loss_type = {"kto"};
  if (o.loss_type.size() != 1 || (o.loss_type[0] != "kto" && o.loss_type[0] != "apo_zero_unpaired"))
    fail(ErrorCode::usage, "--loss-type: \"{}\", expected kto or apo_zero_unpaired", o.loss_type[0]);
  const nn::CausalLM& lm = subject.lm();
  CutOptions cut{o.max_length, o.truncation_mode == "keep_end"};
  if (lm.max_positions() > 0) cut.max_length = std::min(cut.max_length, lm.max_positions());
  const auto read = [&](const fs::path& file) { return read_judged(a, *subject.bundle, file, cut); };
  RowFile<Judged> train = read(train_file), held_out = read(validation_file);
  return std::make_unique<Kto>(a, o, cut, lm, std::move(reference), std::move(train), std::move(held_out));
}

}  // namespace mynah::train
