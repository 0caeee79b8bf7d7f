#include "train/policy_gradient.h"

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

// Mean and sample standard deviation of the numbers that are numbers.
struct Spread {
  double mean = 0, std = 0;
  int64_t count = 0;
};
Spread spread_of(std::span<const double> values) {
  Spread s;
  for (const double v : values)
    if (!std::isnan(v)) {
      s.mean += v;
      ++s.count;
    }
  s.mean = s.count ? s.mean / static_cast<double>(s.count) : std::nan("");
  double squares = 0;
  for (const double v : values)
    if (!std::isnan(v)) squares += (v - s.mean) * (v - s.mean);
  s.std = s.count > 1 ? std::sqrt(squares / static_cast<double>(s.count - 1)) : 0;
  return s;
}

Tensor clamped(const Tensor& x, double low, double high) {
  return minimum(maximum(x, Tensor::scalar(static_cast<float>(low))), Tensor::scalar(static_cast<float>(high)));
}

class PolicyGradient : public Objective {
 public:
  PolicyGradient(const Arguments& a, const PolicyGradientOptions& o, const Subject& subject, std::shared_ptr<bundle::Bundle> reference,
                 std::unique_ptr<Rollouts> rollouts)
      : a_(a), o_(o), lm_(subject.lm()), tokenizer_(subject.bundle->tokenizer), reference_(std::move(reference)), rollouts_(std::move(rollouts)) {}

  int64_t steps_per_epoch() const override { return rollouts_->batches() * o_.num_iterations; }
  std::string rows_of(int64_t step) const override { return fmt::format("generation batch {}", step / o_.num_iterations); }

  StepResult accumulate(int64_t step, Metrics* metrics, const std::function<void()>&) override {
    begin_batch(step / o_.num_iterations, metrics);
    StepResult result;
    const int64_t micro_batches = a_.gradient_accumulation_steps;
    for (int64_t i = 0; i < micro_batches; ++i) {
      const nn::Training training(a_.seed, static_cast<uint64_t>(step * micro_batches + i), a_.gradient_checkpointing, !a_.disable_dropout);
      const auto first = static_cast<size_t>(i * a_.per_device_train_batch_size);
      const Tensor part = loss(first, first + static_cast<size_t>(a_.per_device_train_batch_size), metrics, &result.tokens);
      check_recomputed(a_, training);
      result.loss += part.item();
      if (!std::isfinite(part.item())) break;
      if (part.requires_grad()) backward(part);
    }
    return result;
  }

  // Between the updates of one generation batch the log-probabilities of its beginning must be kept.
  Json numbers() const override { return {{"batch", batch_}, {"old", old_}, {"reference", ref_}, {"rollouts", rollouts_json()}, {"advantages", advantages_}}; }
  void set_numbers(const Json& j) override {
    batch_ = j.at("batch").get<int64_t>();
    old_ = j.at("old").get<std::vector<std::vector<float>>>();
    ref_ = j.at("reference").get<std::vector<std::vector<float>>>();
    advantages_ = j.at("advantages").get<std::vector<double>>();
    rows_.clear();
    for (const Json& r : j.at("rollouts"))
      rows_.push_back({r.at("prompt").get<std::vector<int32_t>>(), r.at("completion").get<std::vector<int32_t>>(), r.at("first").get<int32_t>(), r.at("reward").get<double>(),
                       r.at("ended").get<bool>(), 0});
  }

 private:
  Json rollouts_json() const {
    Json all = Json::array();
    for (const Rollout& r : rows_)
      all.push_back({{"prompt", r.prompt}, {"completion", r.completion}, {"first", r.first_position}, {"reward", r.reward}, {"ended", r.ended}});
    return all;
  }

  void begin_batch(int64_t k, Metrics* m) {
    if (k == batch_) return;
    rows_ = rollouts_->batch(k, m);
    batch_ = k;
    for (Rollout& r : rows_) r.ended = ends(r);
    tell_completions(m);
    if (o_.mask_truncated_completions)
      for (Rollout& r : rows_)
        if (!r.ended) r.completion.clear();
    ref_.clear();
    if (o_.beta != 0) ref_ = log_probs(reference_->causal_lm());
    old_.clear();
    if (o_.num_iterations > 1 || o_.leave_one_out) old_ = log_probs(lm_);
    std::vector<double> rewards, scored;
    double kl = 0, tokens = 0;
    for (size_t i = 0; i < rows_.size(); ++i) {
      rewards.push_back(rows_[i].reward);
      double own = 0;
      if (o_.leave_one_out && o_.beta != 0)
        for (size_t t = 0; t < ref_[i].size(); ++t) own += old_[i][t] - ref_[i][t];
      kl += own;
      tokens += static_cast<double>(rows_[i].completion.size());
      const double kept = o_.reward_clip_range ? std::clamp(rows_[i].reward, o_.reward_clip_range->first, o_.reward_clip_range->second) : rows_[i].reward;
      scored.push_back(kept - o_.beta * (o_.leave_one_out ? own : 0));
    }
    double zero_spread = 0;
    advantages_ = group_advantages(scored, o_, &zero_spread);
    if (o_.leave_one_out && o_.beta != 0) m->add("kl", kl / std::max(1.0, tokens));
    const Spread all = spread_of(rewards);
    m->add("reward", all.mean);
    m->add("reward_std", all.std);
    m->add("frac_reward_zero_std", zero_spread);
  }

  // Whether a completion ends with the end token (or padding) and not at the limit.
  bool ends(const Rollout& r) const {
    if (!tokenizer_ || r.completion.empty()) return r.ended;
    const int32_t last = r.completion.back();
    return last == tokenizer_->eos_id() || last == tokenizer_->pad_id();
  }

  void tell_completions(Metrics* m) const {
    std::vector<double> lengths, ended;
    for (const Rollout& r : rows_) {
      lengths.push_back(static_cast<double>(r.completion.size()));
      if (r.ended) ended.push_back(lengths.back());
    }
    const double share = static_cast<double>(ended.size()) / static_cast<double>(lengths.size());
    m->add("completions/mean_length", spread_of(lengths).mean);
    m->add("completions/min_length", *std::min_element(lengths.begin(), lengths.end()));
    m->add("completions/max_length", *std::max_element(lengths.begin(), lengths.end()));
    m->add("completions/clipped_ratio", 1 - share);
    if (ended.empty()) ended = {0};
    m->add("completions/mean_terminated_length", spread_of(ended).mean);
    m->add("completions/min_terminated_length", *std::min_element(ended.begin(), ended.end()));
    m->add("completions/max_terminated_length", *std::max_element(ended.begin(), ended.end()));
  }

  PackedRows pack(size_t first, size_t end) const {
    PackedRows rows;
    for (size_t i = first; i < end; ++i) {
      const Rollout& r = rows_[i];
      std::vector<int32_t> ids = r.prompt, labels(r.prompt.size(), kIgnored);
      ids.insert(ids.end(), r.completion.begin(), r.completion.end());
      labels.insert(labels.end(), r.completion.begin(), r.completion.end());
      rows.add(ids, labels, r.first_position);
    }
    return rows;
  }

  // Of every completion's tokens under a model, in micro-batches.
  std::vector<std::vector<float>> log_probs(const nn::CausalLM& lm) const {
    const NoGrad no_grad;
    std::vector<std::vector<float>> all;
    const auto size = static_cast<size_t>(a_.per_device_train_batch_size);
    for (size_t first = 0; first < rows_.size(); first += size) {
      const size_t end = std::min(first + size, rows_.size());
      const std::vector<float> values = lm_log_probs(lm, pack(first, end), static_cast<float>(o_.temperature)).to_vector();
      size_t at = 0;
      for (size_t i = first; i < end; ++i) {
        const size_t n = rows_[i].completion.size();
        all.emplace_back(values.begin() + static_cast<long>(at), values.begin() + static_cast<long>(at + n));
        at += n;
      }
    }
    return all;
  }

  // One value per token of rows [first, end), in order.
  template <class F>
  Tensor per_token(size_t first, size_t end, F&& value) const {
    std::vector<float> all;
    for (size_t i = first; i < end; ++i)
      for (size_t t = 0; t < rows_[i].completion.size(); ++t) all.push_back(static_cast<float>(value(i, t)));
    return Tensor::from(all, {static_cast<int64_t>(all.size())});
  }

  Tensor loss(size_t first, size_t end, Metrics* m, int64_t* tokens) {
    const PackedRows rows = pack(first, end);
    *tokens += rows.tokens();
    std::vector<int64_t> sizes;
    std::vector<int64_t> sequence_of;  // of each token
    for (size_t i = first; i < end; ++i) {
      sizes.push_back(static_cast<int64_t>(rows_[i].completion.size()));
      sequence_of.insert(sequence_of.end(), rows_[i].completion.size(), static_cast<int64_t>(i - first));
    }
    TokenStats stats;
    const Body body = lm_body(lm_, rows);
    tell_balance(body, m);
    if (sequence_of.empty() && !o_.leave_one_out) return nothing_to_learn(body, m);
    const Tensor logps = head_log_probs(lm_, body.hidden, rows.targets, static_cast<float>(o_.temperature), &stats);
    const Tensor old = old_.empty() ? logps.detach() : per_token(first, end, [&](size_t i, size_t t) { return old_[i][t]; });
    Tensor total = o_.leave_one_out ? sequence_loss(first, end, logps, old, sizes, m) : token_loss(first, end, logps, old, sizes, sequence_of, m);
    if (sequence_of.empty()) total = total + zero_with_gradient(body);
    total = with_balance(total, body, static_cast<double>(a_.gradient_accumulation_steps));
    m->add("entropy", stats.mean_entropy());
    return total;
  }

  // All completions of a micro-batch are masked. Its gradients are zeros, not absent: the optimiser still moves by its momentum.
  Tensor nothing_to_learn(const Body& body, Metrics* m) const {
    if (o_.beta != 0 && !o_.leave_one_out) m->add("kl", 0);
    if (clips())
      for (const char* name : {"clip_ratio/low_mean", "clip_ratio/high_mean", "clip_ratio/region_mean"}) m->add(name, 0);
    m->add("entropy", 0);
    return with_balance(zero_with_gradient(body), body, static_cast<double>(a_.gradient_accumulation_steps));
  }
  Tensor zero_with_gradient(const Body& body) const { return sum(lm_.head(narrow(body.hidden, 0, 0, 1))) * 0.0f; }
  bool clips() const { return o_.loss_type != "cispo" && o_.loss_type != "sapo" && o_.loss_type != "vespo"; }

  // RLOO: one ratio per completion.
  Tensor sequence_loss(size_t first, size_t end, const Tensor& logps, const Tensor& old, const std::vector<int64_t>& sizes, Metrics* m) const {
    const auto n = static_cast<int64_t>(end - first);
    std::vector<float> a;
    for (size_t i = first; i < end; ++i) a.push_back(static_cast<float>(advantages_[i]));
    const Tensor advantages = Tensor::from(a, {n});
    const Tensor ratio = exp(group_sums(logps, sizes) - group_sums(old, sizes));
    const Tensor losses = neg(minimum(ratio * advantages, clamped(ratio, 1 - o_.epsilon, 1 + high()) * advantages));
    std::vector<int64_t> ones(static_cast<size_t>(n), 1);
    tell_clipping(ratio, a, ones, m);
    return mean(losses) * (1.0f / static_cast<float>(a_.gradient_accumulation_steps));
  }

  double high() const { return o_.epsilon_high.value_or(o_.epsilon); }

  Tensor token_loss(size_t first, size_t end, const Tensor& logps, const Tensor& old, const std::vector<int64_t>& sizes, const std::vector<int64_t>& sequence_of,
                    Metrics* m) const {
    const int64_t n = logps.numel(), rows = static_cast<int64_t>(end - first);
    std::vector<float> inverse_sizes;
    for (const int64_t size : sizes) inverse_sizes.push_back(1 / static_cast<float>(std::max<int64_t>(1, size)));
    const auto spread_over_tokens = [&](const Tensor& x) { return reshape(index_rows(reshape(x, {rows, 1}), sequence_of), {n}); };
    const Tensor log_ratio = logps - old, means = Tensor::from(inverse_sizes, {rows});
    const bool by_sequence = o_.importance_sampling_level == "sequence";
    const Tensor weights = by_sequence ? spread_over_tokens(group_sums(log_ratio, sizes) * means) : log_ratio;
    const Tensor advantages = per_token(first, end, [&](size_t i, size_t) { return advantages_[i]; });
    Tensor ratio = exp(weights);
    const Tensor unbounded = ratio;
    Tensor losses;
    if (o_.loss_type == "cispo") {
      losses = neg(minimum(ratio, Tensor::scalar(static_cast<float>(high()))).detach() * advantages * logps);
      const std::vector<float> r = ratio.detach().to_vector(), a = advantages.to_vector();
      double above = 0;
      for (size_t i = 0; i < r.size(); ++i) above += r[i] > high() && a[i] > 0;
      m->add("cispo_clip_ratio", above / static_cast<double>(r.size()));
    } else if (o_.loss_type == "sapo") {
      const Tensor temperatures = per_token(first, end, [&](size_t i, size_t) { return advantages_[i] > 0 ? 1.0 : 1.05; });
      losses = neg(sigmoid(temperatures * add(ratio, -1.0f)) * 4.0f / temperatures * advantages);
    } else if (o_.loss_type == "vespo") {
      const std::vector<float> phi = gamma_weights(first, end, log_ratio);
      losses = neg(per_token(first, end, [&](size_t i, size_t) { return phi[i - first]; }) * advantages * logps);
      m->add("vespo/phi_seq_mean", std::accumulate(phi.begin(), phi.end(), 0.0) / static_cast<double>(phi.size()));
    } else {
      const Tensor bounded = clamped(ratio, 1 - o_.epsilon, 1 + high());
      if (o_.delta) ratio = minimum(ratio, Tensor::scalar(static_cast<float>(*o_.delta)));
      losses = neg(minimum(ratio * advantages, bounded * advantages));
    }
    if (o_.beta != 0) {
      const Tensor d = per_token(first, end, [&](size_t i, size_t t) { return ref_[i][t]; }) - logps;
      Tensor kl = add(exp(d) - d, -1.0f);
      if (o_.use_bias_correction_kl) kl = kl * unbounded;
      losses = losses + kl * static_cast<float>(o_.beta);
      m->add("kl", mean(kl.detach()).item());
    }
    if (clips()) {
      std::vector<float> a;
      for (size_t i = first; i < end; ++i) a.push_back(static_cast<float>(advantages_[i]));
      // One ratio per completion counts once, whatever its length.
      const std::vector<int64_t> ones(sizes.size(), 1);
      if (by_sequence) tell_clipping(exp((group_sums(log_ratio, sizes) * means).detach()), a, ones, m);
      else tell_clipping(ratio, a, sizes, m);
    }
    return reduced(losses, sizes, means, rows);
  }

  Tensor reduced(const Tensor& losses, const std::vector<int64_t>& sizes, const Tensor& inverse_sizes, int64_t rows) const {
    const auto parts = static_cast<float>(a_.gradient_accumulation_steps);
    const std::string& type = o_.loss_type;
    if (type == "grpo" || type == "sapo") return mean(group_sums(losses, sizes) * inverse_sizes) * (1 / parts);
    if (type == "luspo") return mean(group_sums(losses, sizes)) * (1 / parts);
    if (type == "bnpo") return mean(losses) * (1 / parts);
    if (type == "dr_grpo") return sum(losses) * (1 / (parts * static_cast<float>(rows * o_.max_completion_length)));
    int64_t all = 0;  // of the whole generation batch
    for (const Rollout& r : rows_) all += static_cast<int64_t>(r.completion.size());
    return sum(losses) * (1 / static_cast<float>(std::max<int64_t>(1, all)));
  }

  // VESPO's weights of sequences, without gradient.
  std::vector<float> gamma_weights(size_t first, size_t end, const Tensor& log_ratio) const {
    const std::vector<float> values = log_ratio.detach().to_vector();
    const double least = std::log(1e-8);
    std::vector<float> phi;
    size_t at = 0;
    for (size_t i = first; i < end; ++i) {
      double sum = 0;
      for (size_t t = 0; t < rows_[i].completion.size(); ++t) sum += std::clamp(static_cast<double>(values[at++]), -20.0, 20.0);
      const double w = std::clamp(sum, least, 20.0);
      const bool good = advantages_[i] >= 0;
      const double k = good ? 2 : 3, lambda = good ? 3 : 2, value = std::exp(lambda + k * w - lambda * std::exp(w));
      phi.push_back(std::isfinite(value) ? static_cast<float>(value) : 0);
    }
    return phi;
  }

  void tell_clipping(const Tensor& ratio, const std::vector<float>& advantages, const std::vector<int64_t>& sizes, Metrics* m) const {
    const std::vector<float> values = ratio.detach().to_vector();
    double low = 0, top = 0, all = 0, least = 1, most = 0;
    size_t at = 0;
    for (size_t i = 0; i < sizes.size(); ++i) {
      double row_low = 0, row_high = 0;
      for (int64_t t = 0; t < sizes[i]; ++t) {
        const double r = values[at++];
        row_low += r < 1 - o_.epsilon && advantages[i] < 0;
        row_high += r > 1 + high() && advantages[i] > 0;
      }
      if (sizes[i] == 0) continue;
      low += row_low;
      top += row_high;
      all += static_cast<double>(sizes[i]);
      least = std::min(least, row_low / static_cast<double>(sizes[i]));
      most = std::max(most, row_high / static_cast<double>(sizes[i]));
    }
    if (all == 0) return;
    m->add("clip_ratio/low_mean", low / all);
    m->add("clip_ratio/low_min", least);
    m->add("clip_ratio/high_mean", top / all);
    m->add("clip_ratio/high_max", most);
    m->add("clip_ratio/region_mean", (low + top) / all);
  }

  const Arguments a_;
  const PolicyGradientOptions o_;
  const nn::CausalLM& lm_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::shared_ptr<bundle::Bundle> reference_;
  std::unique_ptr<Rollouts> rollouts_;
  int64_t batch_ = -1;
  std::vector<Rollout> rows_;
  std::vector<double> advantages_;
  std::vector<std::vector<float>> old_, ref_;
};

}  // namespace

std::vector<double> group_advantages(const std::vector<double>& rewards, const PolicyGradientOptions& o, double* zero_spread) {
  const auto size = static_cast<size_t>(o.num_generations);
  std::vector<double> advantages;
  const Spread all = spread_of(rewards);
  double zeros = 0;
  for (size_t first = 0; first < rewards.size(); first += size) {
    const std::span<const double> group(rewards.data() + first, size);
    const Spread s = spread_of(group);
    const double std = o.scale_rewards == "batch" && !o.leave_one_out ? all.std : s.std;
    zeros += std::abs(std) <= 1e-8 ? static_cast<double>(size) : 0;
    for (const double r : group) {
      double a = r - s.mean;
      if (o.leave_one_out) a = s.count > 1 ? r - (s.mean * static_cast<double>(s.count) - r) / static_cast<double>(s.count - 1) : std::nan("");
      else if (o.scale_rewards != "none") a /= std + 1e-4;
      advantages.push_back(a);
    }
  }
  if (o.leave_one_out && o.normalize_advantages) {
    const Spread s = spread_of(advantages);
    for (double& a : advantages) a = (a - s.mean) / (s.std + 1e-4);
  }
  for (double& a : advantages)
    if (std::isnan(a)) a = 0;
  *zero_spread = zeros / static_cast<double>(rewards.size());
  return advantages;
}

std::unique_ptr<Objective> make_policy_gradient(const Arguments& a, const PolicyGradientOptions& o, const Subject& subject, std::shared_ptr<bundle::Bundle> reference,
                                                std::unique_ptr<Rollouts> rollouts) {
  static const char* const types[] = {"grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "luspo", "vespo"};
  if (std::find(std::begin(types), std::end(types), o.loss_type) == std::end(types))
    fail(ErrorCode::usage, "--loss-type: \"{}\", expected grpo, bnpo, dr_grpo, dapo, cispo, sapo, luspo or vespo", o.loss_type);
  if (o.scale_rewards != "group" && o.scale_rewards != "batch" && o.scale_rewards != "none")
    fail(ErrorCode::usage, "--scale-rewards: \"{}\", expected group, batch or none", o.scale_rewards);
  if (o.importance_sampling_level != "token" && o.importance_sampling_level != "sequence")
    fail(ErrorCode::usage, "--importance-sampling-level: \"{}\", expected token or sequence", o.importance_sampling_level);
  const int64_t rows = a.per_device_train_batch_size * a.gradient_accumulation_steps;
  if (o.num_generations < 2 || rows % o.num_generations != 0)
    fail(ErrorCode::usage, "--num-generations: {}, expected 2 or more that divide batch size times accumulation, {}", o.num_generations, rows);
  if (o.num_iterations <= 0) fail(ErrorCode::usage, "--num-iterations: {}, expected more than 0", o.num_iterations);
  if (!(o.temperature > 0)) fail(ErrorCode::usage, "--temperature: {}, expected more than 0", o.temperature);
  return std::make_unique<PolicyGradient>(a, o, subject, std::move(reference), std::move(rollouts));
}

}  // namespace mynah::train
