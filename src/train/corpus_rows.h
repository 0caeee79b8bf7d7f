// Pretraining on damaged text: rows of equally many tokens, each damaged anew in every pass by draws of its own. What is done to a row
// and what the network must say about it is the objective's; the draws are functions of (seed, pass, row), so a resumed run makes the
// same ones.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "train/draws.h"
#include "base/random.h"
#include "train/objective.h"
#include "train/text_corpus.h"

namespace mynah::train {

struct CorpusRow {
  std::vector<int32_t> tokens;
  Draws draw;
};

class CorpusRows : public BatchObjective {
 public:
  bool has_evaluation() const override { return rows_of(held_out_) > 0; }
  // Held-out rows are damaged the same way every time.
  Json evaluate() override;

 protected:
  // Throws failure when the text does not fill one row.
  CorpusRows(const Arguments& arguments, Corpus train, Corpus held_out, int64_t row_tokens);

  int64_t batches_per_epoch() const override { return batches_.count(); }
  std::unique_ptr<MicroBatch> micro_batch(int64_t epoch, int64_t index) const override;
  virtual std::unique_ptr<MicroBatch> damaged(std::vector<CorpusRow> rows) const = 0;

 private:
  int64_t rows_of(const Corpus& corpus) const { return corpus.size() / row_tokens_; }
  std::unique_ptr<MicroBatch> take(const Corpus& corpus, const std::vector<int64_t>& rows, uint64_t pass) const;

  Corpus train_, held_out_;
  int64_t row_tokens_;
  RowBatches batches_;
};

}  // namespace mynah::train
