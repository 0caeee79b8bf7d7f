// What a run minimises. The trainer owns the loop; an objective knows its data and its loss.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "mynah/train.h"
#include "nn/dropout.h"
#include "train/arguments.h"
#include "train/metrics.h"

namespace mynah::train {

// Of one update.
struct StepResult {
  double loss = 0;
  int64_t tokens = 0;  // read by the model
};

class Objective {
 public:
  virtual ~Objective() = default;

  // Updates in one pass over the data.
  virtual int64_t steps_per_epoch() const = 0;
  // Passes made after `step` updates.
  virtual double epoch(int64_t step) const { return static_cast<double>(step) / static_cast<double>(steps_per_epoch()); }
  // Forward and backward passes of update `step` (from 0): gradients are left in the parameters. An objective whose step makes
  // several updates calls `update` after each but the last.
  virtual StepResult accumulate(int64_t step, Metrics* metrics, const std::function<void()>& update) = 0;
  // Tokens of update `step`, or what counts as such; 0: not known before.
  virtual int64_t tokens_of(int64_t) const { return 0; }
  // What those are, for people.
  virtual std::string_view unit() const { return "tok"; }
  // Where the rows of an update come from, for complaints about it.
  virtual std::string rows_of(int64_t) const { return ""; }

  // Held-out data: {"eval_loss": ..} and more; null without any.
  virtual Json evaluate() { return nullptr; }
  virtual bool has_evaluation() const { return false; }

  // What a checkpoint must hold for the objective, if its steps depend on earlier ones.
  virtual NamedParameters state() const { return {}; }
  virtual Json numbers() const { return nullptr; }
  virtual void set_numbers(const Json&) {}
};

// The part that a micro-batch has in its update.
struct Share {
  double targets = 0;         // of all micro-batches of the update: what a mean over targets divides by
  int64_t micro_batches = 1;  // what a mean over micro-batches divides by
  int64_t step = 0;
};

struct MicroBatch {
  virtual ~MicroBatch() = default;
  double targets = 0;  // tokens or rows that the loss is a mean of
  int64_t tokens = 0;
  std::vector<std::string> places;  // where its rows came from
};

// Throws usage where --gradient-checkpointing was asked for and the forward pass of `training` had no layers to compute again.
void check_recomputed(const Arguments& arguments, const nn::Training& training);

// Rows of a file in micro-batches, gradients accumulated over several of them.
class BatchObjective : public Objective {
 public:
  int64_t steps_per_epoch() const override;
  double epoch(int64_t step) const override;
  StepResult accumulate(int64_t step, Metrics* metrics, const std::function<void()>& update) override;
  int64_t tokens_of(int64_t step) const override;
  std::string rows_of(int64_t step) const override;

 protected:
  explicit BatchObjective(const Arguments& arguments);

  virtual int64_t batches_per_epoch() const = 0;
  // Micro-batch `index` of pass `epoch`; the same every time it is asked for.
  virtual std::unique_ptr<MicroBatch> micro_batch(int64_t epoch, int64_t index) const = 0;
  // Its share of the update's loss [], with gradients.
  virtual Tensor loss(const MicroBatch& batch, const Share& share, Metrics* metrics) = 0;

  // Held-out rows 0..rows-1, collated in evaluation batches: {"eval_loss": mean over targets, "eval_<metric>": mean over batches}.
  Json evaluate_rows(int64_t rows, const std::function<std::unique_ptr<MicroBatch>(const std::vector<int64_t>&)>& collate);

  const Arguments arguments_;

 private:
  std::vector<std::unique_ptr<MicroBatch>> micro_batches(int64_t step) const;
};

// The order of rows in a pass: as they come, or shuffled by (seed, epoch). Throws failure for more rows than 32 bits can count.
std::vector<uint32_t> row_order(int64_t rows, bool shuffle, uint64_t seed, int64_t epoch);

// Rows `index * size`.. of a pass, at most `size`. Keeps the order of the pass it was last asked for.
class RowBatches {
 public:
  RowBatches(int64_t rows, int64_t size, bool shuffle, uint64_t seed) : rows_(rows), size_(size), shuffle_(shuffle), seed_(seed) {}
  int64_t count() const { return (rows_ + size_ - 1) / size_; }
  std::vector<int64_t> rows(int64_t epoch, int64_t index) const;

 private:
  int64_t rows_, size_;
  bool shuffle_;
  uint64_t seed_;
  mutable int64_t epoch_ = -1;
  mutable std::vector<uint32_t> order_;
};

}  // namespace mynah::train
