// Tables as tasks are given them.
#pragma once
#include "base/json.h"
#include "tasks/task_entry.h"
#include "text/table_encoder.h"

namespace mynah::tasks {

// A table as pandas makes one: {"COLUMN": [cells], ...} with columns of one length, or [{"COLUMN": cell, ...}, ...] with the same columns in every
// row. Numbers become their text, null an empty one. Throws failure for another value and for a table without cells.
text::Table table_of(const Json& value);

// The table in columns for people, cells [row, column] of `coordinates` marked.
std::string table_text(const text::Table& table, const Json& coordinates, const Style& style);

}  // namespace mynah::tasks
