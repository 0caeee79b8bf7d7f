// TAPAS's answers from a table: which cells, all of one column unless the config says otherwise, and what to make of them (an
// aggregation such as SUM). Paper: arXiv:2004.02349. Shapes: B batch, T tokens, C hidden, P cells of a row, K columns, A aggregations.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "nn/inputs.h"
#include "nn/layers.h"

namespace mynah {

class TableCells {
 public:
  // Weights output_weights, output_bias, column_output_weights, column_output_bias and, with num_aggregation_labels, aggregation_classifier.
  TableCells(const Json& config, const nn::Weights& w, int64_t hidden_size, nn::Init init);

  // Names of inputs beside those of the encoder: table_mask [B,T] (1: a token of a cell; without it those below the header), labels
  // [B,T] (1: a token of the answer), aggregation_labels [B]; where answers supervise aggregation float_answer [B] (NaN: none),
  // numeric_values [B,T] (NaN: none) and numeric_values_scale [B,T].
  static const std::vector<std::string_view>& input_names();

  // hidden [B,T,C], pooled [B,C]; rows and columns of tokens [B * T], 0 for none; mask [B,T], 1 for what is no padding. Gives logits [B,T], the
  // same for all tokens of a cell, logits_aggregation [B,A] and, with labels, loss. Throws failure for labels without what their loss needs.
  nn::NamedTensors outputs(const Tensor& hidden, const Tensor& pooled, const std::vector<int32_t>& rows, const std::vector<int32_t>& columns, const Tensor& mask,
                           const nn::Inputs& in) const;

 private:
  struct Cells;
  Tensor column_scores(const Tensor& hidden, const Cells& cells) const;
  Tensor selection_loss(const Tensor& cell_scores, const Tensor& column_scores, const Cells& cells, const std::vector<int32_t>& labels) const;
  Tensor token_loss_of_rows(const Tensor& logits, const std::vector<int32_t>& labels, const Tensor& mask) const;
  Tensor in_best_column(const Tensor& cell_scores, const Tensor& column_scores, const Cells& cells) const;
  Tensor aggregates(const Tensor& answers, const Tensor& aggregation, const std::vector<int32_t>& labels, int64_t batch) const;
  Tensor aggregation_loss(const Tensor& aggregation, const Tensor& aggregates, const nn::Inputs& in) const;
  Tensor expected_result(const Tensor& logits, const Tensor& aggregation, const Tensor& table_mask, const nn::Inputs& in) const;
  Tensor answer_loss(const Tensor& expected, const Tensor& answers, const Tensor& aggregates, Tensor* kept) const;

  Json config_;
  int64_t most_rows_, most_columns_, aggregations_;
  bool one_column_, from_answers_;
  float drop_, temperature_;
  Tensor token_weights_, token_bias_, column_weights_, column_bias_;
  nn::Linear aggregation_;
};

}  // namespace mynah
