#include "train/rollouts.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/log.h"
#include "base/require.h"
#include "data/rows.h"
#include "formats/safetensors.h"
#include "mynah/generate.h"
#include "ops/gemm.h"
#include "mynah/ops.h"
#include "train/objective.h"
#include "train/row_encoder.h"
#include "train/row_file.h"

namespace mynah::train {
namespace {

namespace fs = std::filesystem;

class Replay : public Rollouts {
 public:
  Replay(const fs::path& path, int64_t rows) : file_(formats::SafetensorsFile::open(path)), path_(path), rows_(rows) {
    while (file_->contains(fmt::format("prompt_ids.{}", count_))) ++count_;
    require(count_ > 0, "{}: no prompt_ids.0", path.string());
  }
  int64_t batches() const override { return count_; }

  std::vector<Rollout> batch(int64_t k, Metrics*) override {
    require(k < count_, "{}: holds {} generation batches, batch {} is asked for; lower --max-steps", path_.string(), count_, k);
    const Table prompts = table("prompt_ids", k), prompt_mask = table("prompt_mask", k), completions = table("completion_ids", k),
                mask = table("completion_mask", k);
    const Tensor rewards = contiguous(to(tensor("rewards", k), DType::f32));
    require(prompts.rows == rows_ && completions.rows == rows_ && rewards.numel() == rows_,
            "{}: batch {} has {} rows, expected {} (batch size times accumulation)", path_.string(), k, prompts.rows, rows_);
    require(prompt_mask.values.size() == prompts.values.size() && mask.values.size() == completions.values.size(), "{}: batch {}: masks of other shapes than ids",
            path_.string(), k);
    std::vector<Rollout> all;
    for (int64_t r = 0; r < rows_; ++r) {
      Rollout one;
      const auto kept = [&](const Table& ids, const Table& wanted, std::vector<int32_t>* out, int64_t* skipped) {
        for (int64_t t = 0; t < ids.columns; ++t) {
          const auto at = static_cast<size_t>(r * ids.columns + t);
          if (wanted.values[at]) out->push_back(static_cast<int32_t>(ids.values[at]));
          else if (out->empty()) ++*skipped;
        }
      };
      int64_t before = 0, ignored = 0;
      kept(prompts, prompt_mask, &one.prompt, &before);
      kept(completions, mask, &one.completion, &ignored);
      require(!one.prompt.empty(), "{}: batch {} row {}: the prompt is empty", path_.string(), k, r);
      one.first_position = static_cast<int32_t>(before);
      one.reward = rewards.data<float>()[r];
      one.width = completions.columns;
      one.ended = static_cast<int64_t>(one.completion.size()) < completions.columns;
      all.push_back(std::move(one));
    }
    return all;
  }

 private:
  struct Table {
    std::vector<int64_t> values;
    int64_t rows, columns;
  };
  Tensor tensor(const char* name, int64_t k) const {
    const std::string key = fmt::format("{}.{}", name, k);
    if (!file_->contains(key)) fail(ErrorCode::integrity, "{}: no {}", path_.string(), key);
    return file_->tensor(key);
  }
  Table table(const char* name, int64_t k) const {
    const Tensor t = contiguous(to(tensor(name, k), DType::i64));
    require(t.rank() == 2, "{}: {}.{} has shape {}, expected [rows, tokens]", path_.string(), name, k, t.shape().str());
    return {{t.data<int64_t>(), t.data<int64_t>() + t.numel()}, t.size(0), t.size(1)};
  }

  std::shared_ptr<const formats::SafetensorsFile> file_;
  fs::path path_;
  int64_t rows_, count_ = 0;
};

struct PromptRow {
  std::vector<int32_t> ids;
  RowText row;  // as JSON
  std::string where;

  template <class Parts>
  void each_part(Parts& part) {
    part(ids);
    part(row);
    part(where);
  }
};

RowFile<PromptRow> read_prompts(const Arguments& a, const bundle::Bundle& policy, const fs::path& file) {
  const int64_t context = policy.causal_lm().max_positions();
  auto rows = keep_rows<PromptRow>(a, policy, file, fmt::format("prompts {}", context), [&](RowSink<PromptRow>& sink) {
    const RowEncoder encoder(policy);
    data::for_each_row(file, [&](const Json& row, const std::string& where) {
      PromptRow kept{encoder.prompt_ids(row, data::field(row, "prompt", where), where), {to_text(row)}, where};
      require(!kept.ids.empty(), "{}: the prompt has no tokens", where);
      if (context > 0 && static_cast<int64_t>(kept.ids.size()) >= context) {
        ++sink.note(0);
        return;
      }
      sink.add(std::move(kept));
    });
    require(sink.size() > 0, "{}: no prompt is shorter than the model's {} positions", file.string(), context);
  });
  if (const int64_t n = rows.note(0); n > 0) warn("{}: {} prompts fill the model's {} positions and are left out", file.string(), n, context);
  return rows;
}

class Sampled : public Rollouts {
 public:
  Sampled(const Arguments& a, const SamplingOptions& o, std::shared_ptr<bundle::Bundle> policy, std::vector<std::unique_ptr<RewardFunction>> rewards,
          const fs::path& file)
      : a_(a), o_(o), policy_(std::move(policy)), rewards_(std::move(rewards)) {
    if (o.rows % o.num_generations != 0)
      fail(ErrorCode::usage, "--num-generations: {}, batch size times accumulation is {}, which must be a multiple of it", o.num_generations, o.rows);
    prompts_ = read_prompts(a, *policy_, file);
    per_batch_ = o.rows / o.num_generations;
  }
  int64_t batches() const override { return (prompts_.size() + per_batch_ - 1) / per_batch_; }

  std::vector<Rollout> batch(int64_t k, Metrics* metrics) override {
    const std::vector<Asked> asked = asked_in(k);
    GenerationConfig config = generation_defaults(Model(policy_));
    config.do_sample = true;
    config.max_new_tokens = o_.max_completion_length;
    config.max_length.reset();
    config.temperature = static_cast<float>(o_.temperature);
    config.top_k = o_.top_k;
    config.top_p = static_cast<float>(o_.top_p);
    config.min_p = static_cast<float>(o_.min_p);
    config.repetition_penalty = static_cast<float>(o_.repetition_penalty);
    config.min_new_tokens = config.min_length = 0;
    if (const auto eos = policy_->tokenizer->eos_id()) config.eos_token_id = {*eos};
    config.seed = a_.seed + static_cast<uint64_t>(k) * 0x9E3779B97F4A7C15u;
    std::vector<std::vector<int32_t>> prompts;
    for (const Asked& one : asked) prompts.insert(prompts.end(), static_cast<size_t>(o_.num_generations), one.ids);
    const ops::ProductScope products(false);  // generation has its own precision
    const std::vector<Generated> answers = generate(Model(policy_), prompts, config);
    std::vector<Completed> completed;
    std::vector<Rollout> rollouts;
    for (size_t i = 0; i < answers.size(); ++i) {
      Rollout r{prompts[i], answers[i].ids, 0, 0, answers[i].reason == FinishReason::stop, o_.max_completion_length};
      std::vector<int32_t> all = r.prompt;
      all.insert(all.end(), r.completion.begin(), r.completion.end());
      const Asked& one = asked[i / static_cast<size_t>(o_.num_generations)];
      completed.push_back({&one.row, one.text, answers[i].text, std::move(all)});
      rollouts.push_back(std::move(r));
    }
    for (const auto& function : rewards_) {
      const std::vector<double> scores = function->score(completed);
      double sum = 0, squares = 0;
      for (size_t i = 0; i < scores.size(); ++i) {
        rollouts[i].reward += scores[i];
        sum += scores[i];
      }
      const double mean = sum / static_cast<double>(scores.size());
      for (const double s : scores) squares += (s - mean) * (s - mean);
      metrics->add("rewards/" + function->name() + "/mean", mean);
      metrics->add("rewards/" + function->name() + "/std", scores.size() > 1 ? std::sqrt(squares / static_cast<double>(scores.size() - 1)) : 0);
    }
    for (Rollout& r : rollouts)
      if (o_.missing_eos_penalty && !r.ended) r.reward -= *o_.missing_eos_penalty;
    return rollouts;
  }

 private:
  struct Asked {
    std::vector<int32_t> ids;
    std::string text;
    Json row;
  };

  // The prompts of generation batch `k`.
  std::vector<Asked> asked_in(int64_t k) {
    std::vector<Asked> asked;
    const int64_t n = prompts_.size();
    for (int64_t i = 0; i < per_batch_; ++i) {
      const int64_t place = k * per_batch_ + i, pass = place / n;
      if (pass != pass_) order_ = row_order(n, a_.shuffle, a_.seed, pass_ = pass);
      PromptRow kept = prompts_[order_[static_cast<size_t>(place % n)]];
      std::string text = policy_->tokenizer->decode(kept.ids, false);
      asked.push_back({std::move(kept.ids), std::move(text), parse_json(kept.row.text, kept.where)});
    }
    return asked;
  }

  const Arguments a_;
  SamplingOptions o_;
  std::shared_ptr<bundle::Bundle> policy_;
  std::vector<std::unique_ptr<RewardFunction>> rewards_;
  RowFile<PromptRow> prompts_;
  int64_t per_batch_ = 1, pass_ = -1;
  std::vector<uint32_t> order_;
};

}  // namespace

std::unique_ptr<Rollouts> replay_rollouts(const fs::path& file, int64_t rows) { return std::make_unique<Replay>(file, rows); }

std::unique_ptr<Rollouts> sampled_rollouts(const Arguments& a, const SamplingOptions& o, std::shared_ptr<bundle::Bundle> policy,
                                           std::vector<std::unique_ptr<RewardFunction>> rewards, const fs::path& file) {
  return std::make_unique<Sampled>(a, o, std::move(policy), std::move(rewards), file);
}

}  // namespace mynah::train
