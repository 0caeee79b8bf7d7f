#include "train/features.h"

#include <algorithm>

#include "base/require.h"
#include "mynah/ops.h"
#include "nn/seq2seq_lm.h"
#include "train/forward_loss.h"
#include "train/row_encoder.h"
#include "train/row_objective.h"

namespace mynah::train {
namespace {

class Features : public RowObjective<Feature> {
 public:
  Features(const Arguments& a, const bundle::Bundle& b, LabelKind kind, RowFile<Feature> train, RowFile<Feature> held_out)
      : RowObjective(a, a.shuffle, std::move(train), std::move(held_out)), network_(*b.network), kind_(kind), pad_(RowEncoder(b).pad()),
        pads_types_(b.tokenizer->pad_type_id()) {}

 protected:
  Tensor loss(const MicroBatch& batch, const Share& share, Metrics*) override { return forward_loss(network_, static_cast<const ForwardBatch&>(batch), share); }

 private:
  std::unique_ptr<MicroBatch> collate(const RowFile<Feature>& all, const std::vector<int64_t>& rows) const override {
    auto batch = std::make_unique<ForwardBatch>();
    std::vector<std::vector<int32_t>> ids, types, labels;
    std::vector<float> numbers;
    std::vector<int64_t> classes, starts, ends;
    for (const int64_t row : rows) {
      const Feature f = all[row];
      ids.push_back(f.ids);
      types.push_back(f.type_ids);
      labels.push_back(f.labels);
      numbers.insert(numbers.end(), f.numbers.begin(), f.numbers.end());
      if (!f.labels.empty()) classes.push_back(f.labels[0]);
      starts.push_back(f.start);
      ends.push_back(f.end);
      batch->tokens += static_cast<int64_t>(f.ids.size());
      batch->places.push_back(f.where);
    }
    const auto n = static_cast<int64_t>(rows.size());
    batch->inputs = {{"input_ids", padded(ids, pad_)}, {"attention_mask", padding_mask(ids)}};
    const bool typed = std::any_of(types.begin(), types.end(), [](const auto& t) { return std::any_of(t.begin(), t.end(), [](int32_t v) { return v != 0; }); });
    if (typed) batch->inputs["token_type_ids"] = padded(types, pads_types_);
    batch->targets = static_cast<double>(n);
    const auto column = [n](const std::vector<int64_t>& values) { return Tensor::from(std::span<const int64_t>(values), {n}); };
    switch (kind_) {
      case LabelKind::one: batch->inputs["labels"] = column(classes); break;
      case LabelKind::numbers: batch->inputs["labels"] = Tensor::from(numbers, {n, static_cast<int64_t>(numbers.size()) / n}); break;
      case LabelKind::span:
        batch->inputs["start_positions"] = column(starts);
        batch->inputs["end_positions"] = column(ends);
        if (network_.kind() == nn::HeadKind::question_answering_beams) add_answerability(all, rows, &batch->inputs);
        break;
      case LabelKind::per_token:
      case LabelKind::sequence:
        batch->inputs["labels"] = padded(labels, -100);
        batch->targets = 0;
        for (const auto& l : labels) batch->targets += static_cast<double>(l.size()) - static_cast<double>(std::count(l.begin(), l.end(), -100));
    }
    return batch;
  }

  // What such a head learns beside spans: which tokens are of none, and whether there is an answer.
  static void add_answerability(const RowFile<Feature>& all, const std::vector<int64_t>& rows, nn::NamedTensors* inputs) {
    const auto count = static_cast<int64_t>(rows.size()), length = inputs->at("input_ids").size(1);
    std::vector<int64_t> places;
    Tensor p_mask = Tensor::full({count, length}, 1), impossible = Tensor::zeros({count});
    for (int64_t i = 0; i < count; ++i) {
      const Feature f = all[rows[static_cast<size_t>(i)]];
      places.push_back(f.cls);
      impossible.data<float>()[i] = f.start == f.cls;
      for (size_t t = 0; t < f.context.size(); ++t)
        if (f.context[t] || static_cast<int32_t>(t) == f.cls) p_mask.data<float>()[i * length + static_cast<int64_t>(t)] = 0;
    }
    (*inputs)["p_mask"] = p_mask;
    (*inputs)["is_impossible"] = impossible;
    (*inputs)["cls_index"] = Tensor::from(std::span<const int64_t>(places), {count});
  }

  const nn::Model& network_;
  LabelKind kind_;
  int32_t pad_, pads_types_;
};

}  // namespace

std::unique_ptr<Objective> make_features(const Arguments& a, const bundle::Bundle& b, LabelKind kind, RowFile<Feature> train, RowFile<Feature> held_out) {
  return std::make_unique<Features>(a, b, kind, std::move(train), std::move(held_out));
}

}  // namespace mynah::train
