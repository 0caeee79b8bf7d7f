// Rows in token files: they come back as they were, one by one, and are read from their file once.
#include "train/row_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "bundle/bundle.h"
#include "base/require.h"
#include "train/features.h"
#include "train/preference_rows.h"

namespace mynah::train {
namespace {

namespace fs = std::filesystem;

class RowFileTest : public testing::Test {
 protected:
  RowFileTest() : folder_(fs::temp_directory_path() / ("mynah-rows-" + std::to_string(::getpid()))) {
    fs::create_directories(folder_);
    arguments_.tokens_folder = folder_ / "tokens";
    file_ = folder_ / "rows.jsonl";
    std::ofstream(file_) << "{\"text\": \"x\"}\n";
  }
  ~RowFileTest() override { fs::remove_all(folder_); }

  template <class Row>
  RowFile<Row> keep(const std::string& how, const std::vector<Row>& rows) {
    return keep_rows<Row>(arguments_, *bundle_, file_, how, [&](RowSink<Row>& sink) {
      ++made_;
      for (const Row& row : rows) sink.add(row);
      sink.note(3) = 77;
    });
  }
  std::string place(int64_t line) const { return file_.string() + ":" + std::to_string(line); }

  const std::shared_ptr<bundle::Bundle> bundle_ = bundle::open_text_only(fs::path(MYNAH_TEST_DATA) / "golden" / "train" / "models" / "llama");
  fs::path folder_, file_;
  Arguments arguments_;
  int made_ = 0;
};

TEST_F(RowFileTest, FeaturesComeBackAsTheyWere) {
  std::vector<Feature> rows;
  for (int32_t i = 0; i < 50; ++i)  // chunks that are full and one that is not
    rows.push_back({std::vector<int32_t>(static_cast<size_t>(i % 7), i), {0, 1}, {-100, i}, {0.5f, static_cast<float>(-i)}, i, -1, i + 1, {0, 1, i % 2}, place(i)});
  const RowFile<Feature> kept = keep("features", rows);
  ASSERT_EQ(kept.size(), 50);
  EXPECT_EQ(kept.note(3), 77);
  for (const int64_t i : {49, 0, 15, 16, 31, 32, 48}) {
    const Feature got = kept[i], &expected = rows[static_cast<size_t>(i)];
    EXPECT_EQ(got.ids, expected.ids);
    EXPECT_EQ(got.type_ids, expected.type_ids);
    EXPECT_EQ(got.labels, expected.labels);
    EXPECT_EQ(got.numbers, expected.numbers);
    EXPECT_EQ(got.start, expected.start);
    EXPECT_EQ(got.end, expected.end);
    EXPECT_EQ(got.cls, expected.cls);
    EXPECT_EQ(got.context, expected.context);
    EXPECT_EQ(got.where, expected.where);
  }
}

TEST_F(RowFileTest, PairsComeBackAsTheyWere) {
  const RowFile<Pair> kept = keep<Pair>("pairs", {{{{1, 2, 3}, int64_t{5} << 33}, {{}, -1}, place(12), 1.25f}});
  const Pair got = kept[0];
  EXPECT_EQ(got.chosen.ids, (std::vector<int32_t>{1, 2, 3}));
  EXPECT_EQ(got.chosen.prompt, int64_t{5} << 33);
  EXPECT_TRUE(got.rejected.ids.empty());
  EXPECT_EQ(got.rejected.prompt, -1);
  EXPECT_EQ(got.where, place(12));
  EXPECT_EQ(got.margin, 1.25f);
  EXPECT_EQ(keep<Judged>("judged", {{{{7}, 1}, true, place(1)}})[0].desirable, true);
}

TEST_F(RowFileTest, AreReadAgainOnlyWhereSomethingDiffers) {
  const std::vector<Feature> rows(1);
  std::vector<Feature> placed = rows;
  placed[0].where = place(1);
  keep("a", placed);
  keep("a", placed);
  EXPECT_EQ(made_, 1);
  // The same contents under another name: places name that file.
  const fs::path other = folder_ / "other.jsonl";
  fs::copy(file_, other);
  file_ = other;
  EXPECT_EQ(keep("a", placed)[0].where, place(1));
  EXPECT_EQ(made_, 1);
  placed[0].where = place(1);
  keep("b", placed);
  EXPECT_EQ(made_, 2);
  std::ofstream(file_, std::ios::app) << "{\"text\": \"y\"}\n";
  keep("b", placed);
  EXPECT_EQ(made_, 3);
}

TEST_F(RowFileTest, ARefusedRowLeavesNothing) {
  EXPECT_THROW(keep_rows<Feature>(arguments_, *bundle_, file_, "bad", [](RowSink<Feature>&) { fail(ErrorCode::failure, "no"); }), Error);
  EXPECT_TRUE(fs::is_empty(folder_ / "tokens"));
  EXPECT_TRUE(keep_rows<Feature>(arguments_, *bundle_, {}, "none", [](RowSink<Feature>&) {}).empty());
}

}  // namespace
}  // namespace mynah::train
