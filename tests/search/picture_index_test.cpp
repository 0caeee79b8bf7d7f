// The index of a folder's pictures: only what changed is read, the nearest come first, other models start anew.
#include "search/picture_index.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/require.h"

namespace mynah::search {
namespace {

namespace fs = std::filesystem;

class PictureFolder : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / ("mynah_" + std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
    fs::remove_all(root_);
    fs::create_directories(root_ / "pictures" / "more");
    put("red.png", "red");
    put("more/green.png", "green");
    put("notes.txt", "text");
  }
  void TearDown() override { fs::remove_all(root_); }
  void put(const std::string& name, const std::string& text) const { std::ofstream(root_ / "pictures" / name) << text; }
  PictureIndex open(const std::string& model = "m") const { return PictureIndex(root_ / "pictures", root_ / "store", model); }
  IndexChanges update(PictureIndex& index) {
    return index.update([](const fs::path& p) { return p.extension() == ".png"; },
                        [this](const fs::path& file) {
                          ++read_;
                          std::string text;
                          std::ifstream(file) >> text;
                          if (text == "damaged") fail(ErrorCode::integrity, "{}: damaged", file.string());
                          return text == "red" ? std::vector<float>{1, 0} : text == "green" ? std::vector<float>{0, 1} : std::vector<float>{0.6f, 0.8f};
                        },
                        [](int64_t, int64_t) {});
  }
  fs::path root_;
  int read_ = 0;
};

TEST_F(PictureFolder, OnlyWhatChangedIsRead) {
  {
    PictureIndex index = open();
    const IndexChanges first = update(index);
    EXPECT_EQ(first.read, 2);
    EXPECT_EQ(first.files, 2);
    EXPECT_EQ(update(index).read, 0);
  }
  PictureIndex index = open();
  EXPECT_EQ(update(index).read, 0);
  put("more/green.png", "yellow");
  fs::remove(root_ / "pictures" / "red.png");
  const IndexChanges changes = update(index);
  EXPECT_EQ(changes.read, 1);
  EXPECT_EQ(changes.removed, 1);
  EXPECT_EQ(changes.files, 1);
  EXPECT_EQ(read_, 3);
  PictureIndex other = open("another");
  EXPECT_EQ(update(other).read, 1);
}

TEST_F(PictureFolder, TheNearestComesFirst) {
  put("yellow.png", "yellow");
  PictureIndex index = open();
  update(index);
  const auto hits = index.search({0, 1}, 2);
  ASSERT_EQ(hits.size(), 2u);
  EXPECT_EQ(hits[0].path, "more/green.png");
  EXPECT_FLOAT_EQ(static_cast<float>(hits[0].similarity), 1);
  EXPECT_EQ(hits[1].path, "yellow.png");
  EXPECT_NEAR(hits[1].similarity, 0.8, 1e-6);
  EXPECT_TRUE(index.search({1, 0, 0}, 5).empty());
}

TEST_F(PictureFolder, DamagedPicturesArePassedOver) {
  put("bad.png", "damaged");
  PictureIndex index = open();
  const IndexChanges changes = update(index);
  EXPECT_EQ(changes.files, 2);
  ASSERT_EQ(changes.skipped.size(), 1u);
  EXPECT_NE(changes.skipped[0].find("bad.png"), std::string::npos);
  EXPECT_EQ(update(index).skipped.size(), 0u);  // not tried again until it changes
  EXPECT_EQ(index.search({1, 0}, 9).size(), 2u);
}

TEST_F(PictureFolder, AFolderThatIsNotThere) { EXPECT_THROW(PictureIndex(root_ / "gone", root_ / "store", "m"), Error); }

}  // namespace
}  // namespace mynah::search
