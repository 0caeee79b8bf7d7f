#include "text/table_encoder.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/require.h"
#include "base/unicode.h"
#include "text/json_fields.h"
#include "text/written_values.h"

namespace mynah::text {
namespace {

// Whether nothing is written in a text: no letter and no digit, or a word for that.
bool says_nothing(const std::string& text) {
  const std::string lower = unicode::to_lower(text);
  const std::string_view word = unicode::stripped(lower);
  if (word == "n/a" || word == "?" || word == "nan") return true;
  for (size_t at = 0; at < word.size();) {
    uint32_t size = 0;
    const unicode::Category c = unicode::category(unicode::decode_valid(word.data() + at, size));
    if (unicode::is_letter(c) || unicode::is_number(c)) return false;
    at += size;
  }
  return true;
}

std::optional<int64_t> given_limit(const Json& config, const char* key) {
  const Json* value = find_field(config, key);
  if (!value || value->is_null()) return std::nullopt;
  require(value->is_number_integer(), "tokenizer_config.json: {} is {}, expected a whole number", key, value->dump());
  return value->get<int64_t>();
}

}  // namespace

// A token of a cell and the place in the cell where its word begins.
struct TableEncoder::Cell {
  int32_t id;
  int64_t word;
};

TableEncoder::TableEncoder(const Tokenizer& tokenizer, const Json& config) : tokenizer_(tokenizer) {
  const auto id = [&](std::optional<int32_t> found, const std::string& name) {
    require(found.has_value(), "tokenizer: {} is not in the vocabulary, with which tables are read", name);
    return *found;
  };
  cls_ = id(tokenizer.cls_id(), "[CLS]");
  sep_ = id(tokenizer.sep_id(), "[SEP]");
  const std::string empty = string_field(config, "empty_token", "[EMPTY]");
  empty_ = id(tokenizer.token_id(empty), empty);
  // A tokenizer that names no limit has one as large as a number can be, written as a float.
  const Json* most = find_field(config, "model_max_length");
  most_tokens_ = most && most->is_number_integer() ? std::clamp<int64_t>(most->get<int64_t>(), 3, int64_t{1} << 31) : most && most->is_number() ? int64_t{1} << 31 : 512;
  most_columns_ = given_limit(config, "max_column_id").value_or(most_tokens_);
  most_rows_ = given_limit(config, "max_row_id").value_or(most_tokens_);
  cell_tokens_ = given_limit(config, "cell_trim_length").value_or(-1);
  shortest_question_ = given_limit(config, "min_question_length");
  longest_question_ = given_limit(config, "max_question_length");
  strip_column_names_ = bool_field(config, "strip_column_names", false);
}

std::vector<TableEncoder::Cell> TableEncoder::tokens_of(const std::string& text) const {
  if (text.empty()) return {};
  if (says_nothing(text)) return {{empty_, 0}};
  std::vector<Cell> out;
  const Encoding e = tokenizer_.encode(text, false);
  for (size_t i = 0; i < e.ids.size(); ++i) {
    const bool goes_on = i > 0 && e.tokens[i].starts_with("##");
    out.push_back({e.ids[i], goes_on ? out.back().word : static_cast<int64_t>(i)});
  }
  return out;
}

EncodedTable TableEncoder::encode(const Table& table, const std::string& question, bool drop_rows) const {
  require(static_cast<int64_t>(table.columns.size()) < most_columns_, "table: {} columns, expected fewer than {}", table.columns.size(), most_columns_);
  auto rows = static_cast<int64_t>(table.cells.size());
  require(drop_rows || rows < most_rows_, "table: {} rows, expected fewer than {}; let rows be dropped to fit", rows, most_rows_);
  rows = std::min(rows, most_rows_ - 1);

  std::vector<Cell> asked = tokens_of(question);
  const auto length = static_cast<int64_t>(asked.size());
  const bool skipped = length > longest_question_.value_or(length) || length < shortest_question_.value_or(length);
  if (skipped) asked.clear();

  // The header, then the rows.
  std::vector<std::vector<std::vector<Cell>>> all(1);
  for (const std::string& name : table.columns) all[0].push_back(strip_column_names_ ? std::vector<Cell>() : tokens_of(name));
  for (const auto& row : table.cells) {
    all.emplace_back();
    for (const std::string& cell : row) all.back().push_back(tokens_of(cell));
  }
  int64_t longest = 0;
  for (const auto& row : all)
    for (const auto& cell : row) longest = std::max(longest, static_cast<int64_t>(cell.size()));

  int64_t each = longest;  // tokens of a cell; words that begin before stay whole
  if (drop_rows) {
    const int64_t budget = most_tokens_ - static_cast<int64_t>(asked.size()) - 2;
    const int64_t most = cell_tokens_ >= 0 ? std::min(longest, cell_tokens_) : longest;
    // How many tokens of the rows that are left belong to a word that begins at each place of its cell.
    std::vector<int64_t> begins(static_cast<size_t>(longest) + 1);
    const auto count = [&](int64_t row, int64_t sign) {
      for (const auto& cell : all[static_cast<size_t>(row)])
        for (const Cell& token : cell) begins[static_cast<size_t>(token.word)] += sign;
    };
    for (int64_t row = 0; row <= rows; ++row) count(row, 1);
    const auto fitting = [&]() -> std::optional<int64_t> {
      int64_t cost = 0, n = 0;
      for (;; ++n) {
        cost += begins[static_cast<size_t>(n)];
        if (cost > budget || n == most) break;
      }
      return n < most && (cell_tokens_ >= 0 || n == 0) ? std::nullopt : std::optional(n);
    };
    std::optional<int64_t> fits = fitting();
    while (!fits && rows >= 1) {
      count(rows--, -1);
      if (rows >= 1) fits = fitting();
    }
    each = std::max<int64_t>(fits.value_or(1), 1);
  }

  EncodedTable out;
  out.rows = static_cast<size_t>(rows);
  const auto add = [&](int32_t id, int32_t segment, size_t column, size_t row) {
    out.ids.push_back(id);
    out.types.push_back({segment, static_cast<int32_t>(column), static_cast<int32_t>(row), 0, 0, 0, 0});
  };
  add(cls_, 0, 0, 0);
  for (const Cell& token : asked) add(token.id, 0, 0, 0);
  add(sep_, 0, 0, 0);
  for (size_t row = 0; row <= out.rows; ++row)
    for (size_t column = 0; column < all[row].size(); ++column)
      for (const Cell& token : all[row][column])
        if (token.word < each) add(token.id, 1, column + 1, row);
  add_ranks(table, skipped ? "" : question, &out);
  return out;
}

// Ranks and relations of the values of every column, to each other and to those of the question.
void TableEncoder::add_ranks(const Table& table, const std::string& question, EncodedTable* out) const {
  struct Place {
    int32_t rank = 0, from_end = 0, relations = 0;
  };
  std::map<std::pair<size_t, size_t>, Place> places;  // by column and row, from 1
  const std::vector<WrittenValue> asked = written_values(question);
  for (size_t column = 0; column < table.columns.size(); ++column) {
    std::vector<std::vector<WrittenValue>> read;
    for (const auto& row : table.cells) read.push_back(written_values(row[column]));
    const std::map<size_t, WrittenValue> values = column_values(read);
    std::vector<const WrittenValue*> list;
    for (const auto& [row, value] : values) list.push_back(&value);
    if (const auto order = ValueOrder::of(list)) {
      std::set<std::vector<double>> unique;
      for (const auto* value : list) unique.insert(order->key(*value));
      std::map<std::vector<double>, int32_t> ranks;
      for (const auto& key : unique) ranks.emplace(key, static_cast<int32_t>(ranks.size()) + 1);
      for (const auto& [row, value] : values) {
        Place& place = places[{column + 1, row + 1}];
        place.rank = ranks.at(order->key(value));
        place.from_end = static_cast<int32_t>(unique.size()) + 1 - place.rank;
      }
    }
    if (list.empty()) continue;
    for (const WrittenValue& value : asked) {
      list.push_back(&value);
      const auto order = ValueOrder::of(list);
      list.pop_back();
      if (!order) continue;
      const std::vector<double> key = order->key(value);
      for (const auto& [row, other] : values) {
        const std::vector<double> of_cell = order->key(other);
        places[{column + 1, row + 1}].relations |= key == of_cell ? 1 : key < of_cell ? 2 : 4;
      }
    }
  }
  for (auto& type : out->types) {
    const auto found = places.find({static_cast<size_t>(type[1]), static_cast<size_t>(type[2])});
    if (type[0] != 1 || found == places.end()) continue;
    type[4] = found->second.rank;
    type[5] = found->second.from_end;
    type[6] = found->second.relations;
  }
}

}  // namespace mynah::text
