// TAPEX: an encoder-decoder that reads a table as a text and writes the answer. Paper: arXiv:2107.07653.
#pragma once
#include <string>
#include <vector>

#include "tasks/task_entry.h"
#include "text/table_encoder.h"

namespace mynah::tasks {

// Whether the tokenizer is TAPEX's, which is what tells such a model from others of its family.
bool is_tapex(const OpenTask& task);

// What the model reads: the query, "col : " and the names, "row N : " and the cells of each row, all in lower case unless do_lower_case says otherwise.
// Cells of more than max_cell_length tokens (15) are cut.
std::string tapex_text(const OpenTask& task, const text::Table& table, const std::string& query);

// {"answer": TEXT} for each query, with the model's own settings of generation. `truncation` as tokenizers take it.
std::vector<Json> tapex_answers(const OpenTask& task, const text::Table& table, const std::vector<std::string>& queries, const Json& options);

}  // namespace mynah::tasks
