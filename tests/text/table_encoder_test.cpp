// Tables as the reference's TapasTokenizer encodes them (tests/golden/tokenizers/tables.json), and what is refused.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/json.h"
#include "mynah/error.h"
#include "text/table_encoder.h"
#include "text/written_values.h"

namespace mynah {
namespace {

namespace fs = std::filesystem;
const fs::path kGolden = fs::path(MYNAH_TEST_DATA) / "golden";

std::shared_ptr<const Tokenizer> tokenizer() { return Tokenizer::from_folder(kGolden / "tasks/tapas"); }

text::Table table_of_columns(const Json& columns) {
  text::Table table;
  for (const auto& [name, cells] : columns.items()) {
    table.cells.resize(cells.size());
    for (size_t row = 0; row < cells.size(); ++row) table.cells[row].push_back(cells[row].get<std::string>());
    table.columns.push_back(name);
  }
  return table;
}

TEST(TableEncoder, IdsAndTypesAreTheReferences) {
  size_t count = 0;
  for (const Json& c : read_json_file(kGolden / "tokenizers/tables.json")) {
    Json config = c["config"];
    if (!config.contains("model_max_length")) config["model_max_length"] = 160;
    const auto words = tokenizer();
    const text::TableEncoder encoder(*words, config);
    const text::Table table = table_of_columns(c["table"]);
    for (const Json& asked : c["asked"]) {
      const std::string query = asked["query"].get<std::string>();
      const text::EncodedTable e = encoder.encode(table, query, c["truncation"].get<bool>());
      ASSERT_EQ(e.ids, asked["ids"].get<std::vector<int32_t>>()) << c["config"].dump() << " " << query;
      const auto types = asked["types"].get<std::vector<int32_t>>();
      for (size_t i = 0; i < types.size(); ++i) {
        const auto& cell = e.types[i / 7];
        ASSERT_EQ(cell[i % 7], types[i]) << c["config"].dump() << " " << query << ": type " << i % 7 << " of token " << i / 7 << ", " << words->token_text(e.ids[i / 7]) << ", column "
                                         << cell[1] << ", row " << cell[2];
      }
      ++count;
    }
  }
  EXPECT_GT(count, 100u);
}

TEST(TableEncoder, RefusesWhatDoesNotFit) {
  const auto words = tokenizer();
  const text::Table table{{"a", "b"}, {{"1", "2"}, {"3", "4"}}};
  EXPECT_THROW(text::TableEncoder(*words, {{"max_column_id", 2}}).encode(table, "x", true), Error);
  EXPECT_THROW(text::TableEncoder(*words, {{"max_row_id", 2}}).encode(table, "x", false), Error);
  EXPECT_EQ(text::TableEncoder(*words, {{"max_row_id", 2}}).encode(table, "x", true).rows, 1u);
  EXPECT_THROW(text::TableEncoder(*words, {{"max_row_id", "2"}}), Error);
  EXPECT_THROW(text::TableEncoder(*words, {{"empty_token", "[NOTHING]"}}), Error);
}

TEST(WrittenValues, LongTextsTakeLinearTime) {
  std::string text;
  for (int i = 0; i < 20000; ++i) text += "may 5, 2001 1,";
  EXPECT_GT(text::written_values(text).size(), 20000u);
  EXPECT_TRUE(text::written_values(std::string(1000000, 'x')).empty());
}

}  // namespace
}  // namespace mynah
