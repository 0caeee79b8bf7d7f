// A question and a table as TAPAS reads them: tokens of the question, of the header and of the cells, each with seven types (arXiv:2004.02349; the
// reference is TapasTokenizer of transformers).
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "mynah/tokenizer.h"

namespace mynah::text {

struct Table {
  std::vector<std::string> columns;             // names
  std::vector<std::vector<std::string>> cells;  // by row, each as long as `columns`
};

struct EncodedTable {
  std::vector<int32_t> ids;
  // question 0 or table 1, column and row (from 1; 0 outside, row 0 in the header), answer to the question before, rank of the cell's
  // value in its column and from its end (from 1; 0 without), and which of equal 1, less 2, greater 4 a number of the question is to it
  std::vector<std::array<int32_t, 7>> types;
  size_t rows = 0;  // of the table that were read, all unless they are dropped to fit
};

class TableEncoder {
 public:
  // `config`: tokenizer_config.json, of which cell_trim_length, max_column_id, max_row_id, strip_column_names, min_question_length,
  // max_question_length and model_max_length (512) count. Throws failure without the tokens [CLS], [SEP] and empty_token ([EMPTY]).
  TableEncoder(const Tokenizer& tokenizer, const Json& config);

  // `drop_rows`: where the tokens are more than model_max_length, cells are cut short and then rows are left out at the end. Throws
  // failure for a table that is too wide or, without it, too long for the model. `tokenizer` and `table` must outlive the call only.
  EncodedTable encode(const Table& table, const std::string& question, bool drop_rows) const;

 private:
  struct Cell;
  std::vector<Cell> tokens_of(const std::string& text) const;
  void add_ranks(const Table& table, const std::string& question, EncodedTable* out) const;

  const Tokenizer& tokenizer_;
  int32_t cls_, sep_, empty_;
  int64_t most_tokens_, most_columns_, most_rows_, cell_tokens_;  // cell_tokens_ below 0: cells of any length
  std::optional<int64_t> shortest_question_, longest_question_;
  bool strip_column_names_;
};

}  // namespace mynah::text
