#include "train/reward_model.h"

#include <algorithm>

#include "base/require.h"
#include "mynah/ops.h"
#include "train/forward_loss.h"
#include "train/preference.h"
#include "train/preference_rows.h"
#include "train/row_encoder.h"
#include "train/tasks.h"
#include "train/row_objective.h"

namespace mynah::train {
namespace {

namespace fs = std::filesystem;

struct RewardBatch : MicroBatch {
  nn::NamedTensors inputs;  // chosen rows, then rejected ones
  std::vector<float> margins;
  int64_t pairs = 0;
};

class Reward : public RowObjective<Pair> {
 public:
  Reward(const Arguments& a, const RewardOptions& o, const nn::Model& network, int32_t pad, RowFile<Pair> train, RowFile<Pair> held_out)
      : RowObjective(a, a.shuffle, std::move(train), std::move(held_out)), o_(o), network_(network), pad_(pad) {}

 protected:
  Tensor loss(const MicroBatch& micro, const Share& share, Metrics* m) override {
    const RewardBatch& b = static_cast<const RewardBatch&>(micro);
    const Tensor scores = reshape(network_.forward(b.inputs, {}).at("logits"), {2 * b.pairs});
    const Tensor chosen = narrow(scores, 0, 0, b.pairs), rejected = narrow(scores, 0, b.pairs, b.pairs);
    Tensor margin = chosen - rejected, wanted = margin;
    if (!b.margins.empty()) wanted = margin - Tensor::from(b.margins, {b.pairs});
    Tensor total = mean(neg(log_sigmoid(wanted)));
    if (o_.center_rewards_coefficient) total = total + mean(square(chosen + rejected)) * static_cast<float>(*o_.center_rewards_coefficient);
    const Tensor values = contiguous(scores.detach());
    const auto [least, most] = std::minmax_element(values.data<float>(), values.data<float>() + values.numel());
    double wins = 0;
    for (int64_t i = 0; i < b.pairs; ++i) wins += values.data<float>()[i] > values.data<float>()[i + b.pairs];
    m->add("min_reward", *least);
    m->add("mean_reward", mean(values).item());
    m->add("max_reward", *most);
    m->add("accuracy", wins / static_cast<double>(b.pairs));
    m->add("margin", mean(margin.detach()).item());
    return total * (1.0f / static_cast<float>(share.micro_batches));
  }

 private:
  std::unique_ptr<MicroBatch> collate(const RowFile<Pair>& all, const std::vector<int64_t>& rows) const override {
    auto batch = std::make_unique<RewardBatch>();
    batch->pairs = static_cast<int64_t>(rows.size());
    std::vector<std::vector<int32_t>> ids;
    for (const bool chosen : {true, false})
      for (const int64_t row : rows) {
        const Pair pair = all[row];
        ids.push_back((chosen ? pair.chosen : pair.rejected).ids);
        batch->tokens += static_cast<int64_t>(ids.back().size());
        if (chosen) batch->places.push_back(pair.where);
        if (chosen && all.note(kMargins) > 0) batch->margins.push_back(pair.margin);
      }
    batch->inputs = {{"input_ids", padded(ids, pad_)}, {"attention_mask", padding_mask(ids)}};
    batch->targets = static_cast<double>(rows.size());
    return batch;
  }

  const RewardOptions o_;
  const nn::Model& network_;
  int32_t pad_;
};

}  // namespace

std::unique_ptr<Objective> make_reward(const Arguments& a, const RewardOptions& o, const Subject& subject, const fs::path& train_file,
                                       const fs::path& validation_file) {
  const bundle::Bundle& b = *subject.bundle;
  require(b.network->kind() == nn::HeadKind::sequence_classification && nn::label_count(b.config) == 1, "{}: {} does not give one score per sequence",
          b.name, b.architecture());
  const int64_t most = most_tokens(b.config);
  const auto read = [&](const fs::path& file) { return read_whole_pairs(a, b, file, most > 0 ? std::min(o.max_length, most) : o.max_length); };
  RowFile<Pair> train = read(train_file), held_out = read(validation_file);
  return std::make_unique<Reward>(a, o, *b.network, RowEncoder(b).pad(), std::move(train), std::move(held_out));
}

}  // namespace mynah::train
