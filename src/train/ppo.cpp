#include "train/ppo.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/require.h"
#include "mynah/autograd.h"
#include "mynah/ops.h"
#include "nn/dropout.h"
#include "train/lm.h"

namespace mynah::train {
namespace {

// One completion with what was known when it was made. A row's values go one token further than its completion, if there is room:
// what was expected after the end token.
struct Row {
  Rollout rollout;
  std::vector<double> old, reference, values, rewards, advantages, returns;
};

// (x - mean) / std over all rows, with the unbiased variance; `keep_mean` adds the mean back.
void whiten(std::vector<Row>& rows, std::vector<double> Row::*what, bool keep_mean) {
  double sum = 0, squares = 0, n = 0;
  for (const Row& r : rows)
    for (const double v : r.*what) {
      sum += v;
      ++n;
    }
  const double mean = sum / n;
  for (const Row& r : rows)
    for (const double v : r.*what) squares += (v - mean) * (v - mean);
  const double scale = 1 / std::sqrt(squares / std::max(1.0, n - 1) + 1e-8);
  for (Row& r : rows)
    for (double& v : r.*what) v = (v - mean) * scale + (keep_mean ? mean : 0);
}

class Ppo : public Objective {
 public:
  Ppo(const Arguments& a, const PpoOptions& o, const nn::CausalLM& policy, std::shared_ptr<bundle::Bundle> value, std::shared_ptr<bundle::Bundle> reference,
      std::unique_ptr<Rollouts> rollouts)
      : a_(a), o_(o), policy_(policy), value_(std::move(value)), value_lm_(dynamic_cast<const nn::CausalLM&>(*value_->network)), reference_(std::move(reference)),
        rollouts_(std::move(rollouts)), temperature_(static_cast<float>(o.temperature + 1e-7)) {}

  int64_t steps_per_epoch() const override { return rollouts_->batches(); }
  std::string rows_of(int64_t step) const override { return fmt::format("generation batch {}", step); }
  // The value model goes into checkpoints beside the policy.
  NamedParameters state() const override {
    NamedParameters all;
    for (const nn::Parameter& p : value_->weights.parameters) all.emplace_back("value_model." + p.name, p.value);
    return all;
  }

  StepResult accumulate(int64_t step, Metrics* m, const std::function<void()>& update) override {
    StepResult result;
    prepare(step, m);
    std::vector<double> ratios;
    double policy_loss = 0, value_loss = 0;
    const int64_t parts = a_.gradient_accumulation_steps;
    for (int64_t epoch = 0; epoch < o_.num_ppo_epochs; ++epoch) {
      if (epoch > 0) update();
      const std::vector<uint32_t> order = row_order(static_cast<int64_t>(rows_.size()), a_.shuffle, a_.seed, step * o_.num_ppo_epochs + epoch);
      for (int64_t part = 0; part < parts; ++part) {
        const nn::Training training(a_.seed, static_cast<uint64_t>((step * o_.num_ppo_epochs + epoch) * parts + part), a_.gradient_checkpointing, !a_.disable_dropout);
        const auto begin = order.begin() + part * a_.per_device_train_batch_size;
        const Losses l = losses({begin, begin + a_.per_device_train_batch_size}, m, &ratios, &result.tokens);
        check_recomputed(a_, training);
        policy_loss += l.policy.item();
        value_loss += l.value.item();
        backward((l.policy + l.value * static_cast<float>(o_.vf_coef)) * (1.0f / static_cast<float>(parts)));
      }
    }
    const auto n = static_cast<double>(o_.num_ppo_epochs * parts);
    m->add("loss/policy_avg", policy_loss / n);
    m->add("loss/value_avg", value_loss / n);
    const double mean = std::accumulate(ratios.begin(), ratios.end(), 0.0) / n;
    double squares = 0;
    for (const double r : ratios) squares += (r - mean) * (r - mean);
    m->add("val/ratio", mean);
    m->add("val/ratio_var", n > 1 ? squares / (n - 1) : 0);
    result.loss = policy_loss / n + o_.vf_coef * value_loss / n;
    return result;
  }

 private:
  struct Losses {
    Tensor policy, value;
  };

  PackedRows pack(const std::vector<int64_t>& which) const {
    PackedRows packed;
    for (const int64_t i : which) {
      const Rollout& r = rows_[static_cast<size_t>(i)].rollout;
      std::vector<int32_t> ids = r.prompt, labels(r.prompt.size(), kIgnored);
      ids.insert(ids.end(), r.completion.begin(), r.completion.end());
      labels.insert(labels.end(), r.completion.begin(), r.completion.end());
      packed.add(ids, labels);
    }
    return packed;
  }

  // Values at the tokens before each completion token, and at the last one where `width` has room for what comes after it.
  Tensor values(const PackedRows& packed, const std::vector<int64_t>& which) const {
    std::vector<int64_t> at;
    int64_t row = 0;
    for (const int64_t i : which) {
      const Row& r = rows_[static_cast<size_t>(i)];
      const auto prompt = static_cast<int64_t>(r.rollout.prompt.size());
      for (int64_t t = 0; t < value_count(r); ++t) at.push_back(row + prompt - 1 + t);
      row += prompt + static_cast<int64_t>(r.rollout.completion.size());
    }
    const Tensor scores = value_lm_.classify_rows(index_rows(value_lm_.body(packed.batch, nullptr), at));
    return reshape(scores, {static_cast<int64_t>(at.size())});
  }
  int64_t value_count(const Row& r) const { return std::min(width_, static_cast<int64_t>(r.rollout.completion.size()) + 1); }

  void prepare(int64_t step, Metrics* m) {
    rows_.clear();
    for (Rollout& r : rollouts_->batch(step, m)) {
      require(!r.completion.empty(), "generation batch {}: a completion is empty", step);
      width_ = r.width;
      rows_.push_back({std::move(r), {}, {}, {}, {}, {}, {}});
    }
    const NoGrad no_grad;
    for (size_t i = 0; i < rows_.size(); ++i) {
      Row& r = rows_[i];
      const std::vector<int64_t> one = {static_cast<int64_t>(i)};
      const PackedRows packed = pack(one);
      const auto doubles = [](const std::vector<float>& v) { return std::vector<double>(v.begin(), v.end()); };
      r.old = doubles(lm_log_probs(policy_, packed, temperature_).to_vector());
      r.reference = doubles(lm_log_probs(reference_->causal_lm(), packed, temperature_).to_vector());
      r.values = doubles(values(packed, one).to_vector());
    }
    estimate(m);
  }

  void estimate(Metrics* m) {
    double kl_sum = 0, entropy = 0, penalty_sum = 0, score_sum = 0;
    for (Row& r : rows_) {
      r.rewards.assign(r.values.size(), 0);
      for (size_t t = 0; t < r.old.size(); ++t) {
        const double d = r.reference[t] - r.old[t], kl = o_.kl_estimator == "k1" ? -d : std::exp(d) - 1 - d;
        r.rewards[t] = -o_.kl_coef * kl;
        kl_sum += kl;
        penalty_sum += r.rewards[t];
        entropy -= r.old[t];
      }
      r.rewards.back() += r.rollout.reward;
      score_sum += r.rollout.reward;
    }
    if (o_.whiten_rewards) whiten(rows_, &Row::rewards, true);
    for (Row& r : rows_) {
      r.advantages = generalized_advantages(r.rewards, r.values, o_.gamma, o_.lam);
      r.returns.clear();
      for (size_t t = 0; t < r.values.size(); ++t) r.returns.push_back(r.advantages[t] + r.values[t]);
      r.advantages.resize(r.old.size());
    }
    whiten(rows_, &Row::advantages, false);
    const auto n = static_cast<double>(rows_.size());
    m->add("objective/kl", kl_sum / n);
    m->add("objective/entropy", entropy / n);
    m->add("objective/non_score_reward", penalty_sum / n);
    m->add("objective/rlhf_reward", (penalty_sum + score_sum) / n);
    m->add("objective/scores", score_sum / n);
  }

  Losses losses(const std::vector<int64_t>& which, Metrics* m, std::vector<double>* ratios, int64_t* tokens) const {
    const PackedRows packed = pack(which);
    *tokens += packed.tokens();
    std::vector<float> old, advantages, old_values, returns;
    for (const int64_t i : which) {
      const Row& r = rows_[static_cast<size_t>(i)];
      old.insert(old.end(), r.old.begin(), r.old.end());
      advantages.insert(advantages.end(), r.advantages.begin(), r.advantages.end());
      old_values.insert(old_values.end(), r.values.begin(), r.values.end());
      returns.insert(returns.end(), r.returns.begin(), r.returns.end());
    }
    const auto as_tensor = [](const std::vector<float>& v) { return Tensor::from(v, {static_cast<int64_t>(v.size())}); };
    const auto bounded = [](const Tensor& x, const Tensor& low, const Tensor& high) { return minimum(maximum(x, low), high); };
    TokenStats stats;
    const Tensor logps = head_log_probs(policy_, policy_.body(packed.batch, nullptr), packed.targets, temperature_, &stats);
    const Tensor v = values(packed, which), v_old = as_tensor(old_values), target = as_tensor(returns), a = as_tensor(advantages);
    const auto range = static_cast<float>(o_.cliprange_value), clip = static_cast<float>(o_.cliprange);
    const Tensor v1 = square(v - target), v2 = square(bounded(v, add(v_old, -range), add(v_old, range)) - target);
    const Tensor difference = logps - as_tensor(old), ratio = exp(difference);
    const Tensor p1 = neg(a * ratio), p2 = neg(a * bounded(ratio, Tensor::scalar(1 - clip), Tensor::scalar(1 + clip)));
    Losses l{mean(maximum(p1, p2)), mean(maximum(v1, v2)) * 0.5f};

    const NoGrad no_grad;
    // Over the whole table of responses, whose padding has ratio 1 and difference 0.
    const double cells = static_cast<double>(width_) * static_cast<double>(which.size());
    const auto share_above = [](const Tensor& x, const Tensor& y) {
      double n = 0;
      for (int64_t i = 0; i < x.numel(); ++i) n += x.data<float>()[i] > y.data<float>()[i];
      return n / static_cast<double>(x.numel());
    };
    m->add("policy/approxkl_avg", 0.5 * sum(square(difference.detach())).item() / cells);
    m->add("policy/clipfrac_avg", share_above(p2.detach(), p1.detach()));
    m->add("val/clipfrac_avg", share_above(v2.detach(), v1.detach()));
    m->add("policy/entropy_avg", stats.mean_entropy());
    ratios->push_back((sum(ratio.detach()).item() + cells - static_cast<double>(ratio.numel())) / cells);
    return l;
  }

  const Arguments a_;
  const PpoOptions o_;
  const nn::CausalLM& policy_;
  std::shared_ptr<bundle::Bundle> value_;
  const nn::CausalLM& value_lm_;
  std::shared_ptr<bundle::Bundle> reference_;
  std::unique_ptr<Rollouts> rollouts_;
  float temperature_;
  std::vector<Row> rows_;
  int64_t width_ = 0;
};

}  // namespace

std::vector<double> generalized_advantages(const std::vector<double>& rewards, const std::vector<double>& values, double gamma, double lam) {
  std::vector<double> advantages(rewards.size());
  double last = 0;
  for (size_t t = rewards.size(); t-- > 0;) {
    const double next = t + 1 < values.size() ? values[t + 1] : 0;
    last = rewards[t] + gamma * next - values[t] + gamma * lam * last;
    advantages[t] = last;
  }
  return advantages;
}

std::unique_ptr<Objective> make_ppo(const Arguments& a, const PpoOptions& o, const Subject& policy, std::shared_ptr<bundle::Bundle> value,
                                    std::shared_ptr<bundle::Bundle> reference, std::unique_ptr<Rollouts> rollouts) {
  if (o.kl_estimator != "k1" && o.kl_estimator != "k3") fail(ErrorCode::usage, "--kl-estimator: \"{}\", expected k1 or k3", o.kl_estimator);
  if (o.num_ppo_epochs <= 0) fail(ErrorCode::usage, "--num-ppo-epochs: {}, expected more than 0", o.num_ppo_epochs);
  require(dynamic_cast<const nn::CausalLM*>(value->network.get()) && value->network->kind() == nn::HeadKind::sequence_classification && nn::label_count(value->config) == 1,
          "{}: {} cannot be a value model; a decoder with one output is needed", value->name, value->architecture());
  return std::make_unique<Ppo>(a, o, policy.lm(), std::move(value), std::move(reference), std::move(rollouts));
}

}  // namespace mynah::train
