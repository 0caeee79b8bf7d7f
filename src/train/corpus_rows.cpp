#include "train/corpus_rows.h"

#include <algorithm>

#include "base/require.h"

namespace mynah::train {

CorpusRows::CorpusRows(const Arguments& arguments, Corpus train, Corpus held_out, int64_t row_tokens)
    : BatchObjective(arguments), train_(std::move(train)), held_out_(std::move(held_out)), row_tokens_(row_tokens),
      batches_(std::max<int64_t>(1, rows_of(train_)), arguments.per_device_train_batch_size, arguments.shuffle, arguments.seed) {
  require(rows_of(train_) > 0, "training text: {} tokens, a row takes {}", train_.size(), row_tokens);
}

Json CorpusRows::evaluate() {
  return evaluate_rows(rows_of(held_out_), [&](const auto& rows) { return take(held_out_, rows, 0); });
}

std::unique_ptr<MicroBatch> CorpusRows::micro_batch(int64_t epoch, int64_t index) const {
  return take(train_, batches_.rows(epoch, index), static_cast<uint64_t>(epoch) + 1);
}

std::unique_ptr<MicroBatch> CorpusRows::take(const Corpus& corpus, const std::vector<int64_t>& rows, uint64_t pass) const {
  std::vector<CorpusRow> some;
  for (const int64_t row : rows)
    some.push_back({corpus.row(row * row_tokens_, row_tokens_), Draws(arguments_.seed + pass, static_cast<uint64_t>(row))});
  auto batch = damaged(std::move(some));
  for (const int64_t row : rows) batch->places.push_back(fmt::format("tokens {} to {}", row * row_tokens_, (row + 1) * row_tokens_ - 1));
  return batch;
}

}  // namespace mynah::train
