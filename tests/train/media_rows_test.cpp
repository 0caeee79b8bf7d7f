// Rows of pictures: from a file of rows or a folder of labels, kept in a token file and found there again.
#include "train/media_rows.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "mynah/error.h"

namespace mynah::train {
namespace {

namespace fs = std::filesystem;

class MediaRowsTest : public testing::Test {
 protected:
  MediaRowsTest() : folder_(fs::temp_directory_path() / ("mynah-media-rows-" + std::to_string(::getpid()))) {
    fs::create_directories(folder_);
    arguments_.tokens_folder = folder_ / "tokens";
  }
  ~MediaRowsTest() override { fs::remove_all(folder_); }

  void put(const fs::path& name, const std::string& text = "") const {
    fs::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name) << text;
  }
  MediaRows rows(const std::string& name) const { return {arguments_, {folder_ / name, "image", true}}; }
  size_t kept() const { return static_cast<size_t>(std::distance(fs::directory_iterator(arguments_.tokens_folder), {})); }

  fs::path folder_;
  Arguments arguments_;
};

TEST_F(MediaRowsTest, OfAFileComeBackAsTheyWere) {
  put("a.png");
  put("b.png");
  put("rows.jsonl", "{\"image\": \"a.png\", \"label\": 3}\n\n{\"image\": \"" + (folder_ / "b.png").string() + "\", \"objects\": {\"bbox\": [[1, 2.5, 3, 4]], \"category\": [\"\u00e9\"]}}\n");
  for (int i = 0; i < 2; ++i) {  // read, then found
    const MediaRows all = rows("rows.jsonl");
    ASSERT_EQ(all.size(), 2);
    EXPECT_EQ(all[0].file, folder_ / "a.png");
    EXPECT_EQ(all[0].fields, (Json{{"image", "a.png"}, {"label", 3}}));
    EXPECT_EQ(all[0].where, (folder_ / "rows.jsonl").string() + ":1");
    EXPECT_EQ(all[1].file, folder_ / "b.png");
    EXPECT_EQ(all[1].where, (folder_ / "rows.jsonl").string() + ":3");
    const MediaRow row = all[1];
    const std::vector<RowObject> objects = objects_of(row);
    ASSERT_EQ(objects.size(), 1u);
    EXPECT_EQ(*objects[0].category, "\u00e9");
    EXPECT_EQ(objects[0].box, (std::array<double, 4>{1, 2.5, 4, 6.5}));
    EXPECT_EQ(kept(), 1u);
  }
}

TEST_F(MediaRowsTest, OfAFileThatIsGoneSinceAreNamed) {
  put("a.png");
  put("rows.jsonl", "{\"image\": \"a.png\"}\n");
  rows("rows.jsonl");
  fs::remove(folder_ / "a.png");
  try {
    rows("rows.jsonl");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::not_found);
    EXPECT_NE(std::string(error.what()).find("rows.jsonl:1: "), std::string::npos) << error.what();
  }
}

TEST_F(MediaRowsTest, OfAFolderFollowItsNames) {
  put("shapes/square/2.png");
  put("shapes/circle/1.png");
  const MediaRows all = rows("shapes");
  ASSERT_EQ(all.size(), 2);
  EXPECT_EQ(all[0].file, folder_ / "shapes/circle/1.png");
  EXPECT_EQ(all[0].fields, (Json{{"label", "circle"}}));
  EXPECT_EQ(all[0].where, all[0].file.string());
  EXPECT_EQ(all[1].fields["label"], "square");
  EXPECT_EQ(rows("shapes").size(), 2);
  EXPECT_EQ(kept(), 1u);
  put("shapes/square/3.png");
  EXPECT_EQ(rows("shapes").size(), 3);
  // The same names elsewhere.
  fs::rename(folder_ / "shapes", folder_ / "forms");
  EXPECT_EQ(rows("forms")[2].file, folder_ / "forms/square/3.png");
  EXPECT_EQ(kept(), 2u);
}

TEST_F(MediaRowsTest, OfNothingAreNone) { EXPECT_TRUE(MediaRows(arguments_, {{}, "image", true}).empty()); }

}  // namespace
}  // namespace mynah::train
