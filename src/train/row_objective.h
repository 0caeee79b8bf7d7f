// An objective over rows that are read before training begins and kept in token files.
#pragma once
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "train/objective.h"
#include "train/row_file.h"

namespace mynah::train {

// Rows of one type in micro-batches of the training batch's size; those that are held out are evaluated.
template <class Row>
class RowObjective : public BatchObjective {
 public:
  bool has_evaluation() const override { return !held_out_.empty(); }
  Json evaluate() override {
    return evaluate_rows(held_out_.size(), [&](const auto& rows) { return collate(held_out_, rows); });
  }

 protected:
  RowObjective(const Arguments& a, bool shuffle, RowFile<Row> train, RowFile<Row> held_out)
      : BatchObjective(a), train_(std::move(train)), held_out_(std::move(held_out)), batches_(train_.size(), a.per_device_train_batch_size, shuffle, a.seed) {}

  int64_t batches_per_epoch() const override { return batches_.count(); }
  std::unique_ptr<MicroBatch> micro_batch(int64_t epoch, int64_t index) const override { return collate(train_, batches_.rows(epoch, index)); }
  // The rows of these numbers among `all`, as the loss takes them.
  virtual std::unique_ptr<MicroBatch> collate(const RowFile<Row>& all, const std::vector<int64_t>& rows) const = 0;

 private:
  RowFile<Row> train_, held_out_;
  RowBatches batches_;
};

}  // namespace mynah::train
