#include "tasks/tables.h"

#include <algorithm>

#include "base/require.h"
#include "base/unicode.h"
#include "tasks/show.h"

namespace mynah::tasks {
namespace {

std::string cell_text(const Json& value, const std::string& column, size_t row) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_null()) return "";
  require(value.is_number(), "table: {} of row {} is {}, expected a text", column, row + 1, value.dump());
  return value.dump();
}

}  // namespace

text::Table table_of(const Json& value) {
  text::Table table;
  if (value.is_object()) {
    for (const auto& [name, cells] : value.items()) {
      require(cells.is_array(), "table: {} is {}, expected a list of cells", name, cells.dump());
      if (table.columns.empty()) table.cells.resize(cells.size());
      require(cells.size() == table.cells.size(), "table: {} has {} cells, {} has {}; expected columns of one length", name, cells.size(),
              table.columns.empty() ? "" : table.columns[0], table.cells.size());
      for (size_t row = 0; row < cells.size(); ++row) table.cells[row].push_back(cell_text(cells[row], name, row));
      table.columns.push_back(name);
    }
  } else {
    require(value.is_array() && std::all_of(value.begin(), value.end(), [](const Json& row) { return row.is_object(); }),
            "table: expected {{\"COLUMN\": [cells], ...}} or a list of rows {{\"COLUMN\": cell, ...}}");
    for (const Json& row : value) {
      if (table.columns.empty())
        for (const auto& [name, cell] : row.items()) table.columns.push_back(name);
      const size_t number = table.cells.size();
      require(row.size() == table.columns.size(), "table: row {} has {} cells, row 1 has {}", number + 1, row.size(), table.columns.size());
      std::vector<std::string> cells;
      for (const std::string& name : table.columns) {
        require(row.contains(name), "table: row {} has no {}, which row 1 has", number + 1, name);
        cells.push_back(cell_text(row[name], name, number));
      }
      table.cells.push_back(std::move(cells));
    }
  }
  require(!table.columns.empty() && !table.cells.empty(), "table: it is empty, expected columns and rows");
  return table;
}

std::string table_text(const text::Table& table, const Json& coordinates, const Style& style) {
  const auto chosen = [&](size_t row, size_t column) {
    return std::any_of(coordinates.begin(), coordinates.end(), [&](const Json& c) { return c[0] == row && c[1] == column; });
  };
  const auto shown = [&](size_t row, size_t column) { return chosen(row, column) ? "[" + table.cells[row][column] + "]" : table.cells[row][column]; };
  std::vector<size_t> widths;
  for (size_t column = 0; column < table.columns.size(); ++column) {
    widths.push_back(unicode::count_characters(table.columns[column]));
    for (size_t row = 0; row < table.cells.size(); ++row) widths.back() = std::max(widths.back(), unicode::count_characters(shown(row, column)));
  }
  std::string out;
  const auto add = [&](const std::string& text, size_t column, bool marked) {
    out += marked ? emphasised(text, style) : text;
    if (column + 1 < widths.size()) out.append(widths[column] - unicode::count_characters(text) + 2, ' ');
    else out += '\n';
  };
  for (size_t column = 0; column < widths.size(); ++column) add(table.columns[column], column, true);
  for (size_t row = 0; row < table.cells.size(); ++row)
    for (size_t column = 0; column < widths.size(); ++column) add(shown(row, column), column, chosen(row, column));
  return out;
}

}  // namespace mynah::tasks
