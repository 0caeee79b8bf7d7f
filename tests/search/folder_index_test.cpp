#include "search/folder_index.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "mynah/error.h"

namespace mynah::search {
namespace {
namespace fs = std::filesystem;

// A text's "meaning": how often each letter occurs, of length 1.
std::vector<float> letters_of(const std::string& text) {
  std::vector<float> counts(26, 0.0f);
  for (const char c : text)
    if (c >= 'a' && c <= 'z') counts[static_cast<size_t>(c - 'a')] += 1;
  float sum = 0;
  for (const float v : counts) sum += v * v;
  for (float& v : counts) v = sum > 0 ? v / std::sqrt(sum) : 0;
  return counts;
}

class FolderIndexTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / ("mynah_search_" + std::to_string(::getpid()) + testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(root_);
    fs::create_directories(root_ / "files/deep");
    write("birds.txt", "the mynah learns to speak\n\nanother paragraph\n");
    write("deep/city.txt", "paris is a city on the seine\n");
    write(".hidden", "the mynah hides\n");
    std::ofstream(root_ / "files/picture.bin", std::ios::binary).write("a\0b\0mynah", 9);
  }
  void TearDown() override { fs::remove_all(root_); }
  void write(const std::string& name, const std::string& text) { std::ofstream(root_ / "files" / name) << text; }

  FolderIndex open(const std::string& model = "letters") { return FolderIndex(root_ / "files", root_ / "store", model); }
  IndexChanges update(FolderIndex& index) {
    return index.update({60, [](std::string_view line) { return static_cast<int64_t>(line.size()); }},
                        [&](const std::vector<std::string>& texts) {
                          std::vector<std::vector<float>> vectors;
                          for (const auto& text : texts) vectors.push_back(letters_of(text));
                          embedded_ += texts.size();
                          return vectors;
                        },
                        [](int64_t, int64_t) {});
  }

  fs::path root_;
  size_t embedded_ = 0;
};

TEST_F(FolderIndexTest, FindsByWordAndNamesTheLines) {
  FolderIndex index = open();
  const auto changes = update(index);
  EXPECT_EQ(changes.files, 2);
  EXPECT_EQ(changes.read, 2);
  EXPECT_EQ(changes.no_text, 1);  // the picture
  const auto hits = index.search("Which bird learned to speak?", letters_of("zzz"), 3, 0.9);
  ASSERT_EQ(hits.size(), 1u);
  EXPECT_EQ(hits[0].path, "birds.txt");
  EXPECT_EQ(hits[0].passage.first_line, 1);
  EXPECT_TRUE(hits[0].has_words);
}

TEST_F(FolderIndexTest, FindsByMeaningWhereNoWordOccurs) {
  FolderIndex index = open();
  update(index);
  const auto hits = index.search("xyzzy", letters_of("paris is a city on the seine"), 3, 0.95);
  ASSERT_EQ(hits.size(), 1u);
  EXPECT_EQ(hits[0].path, "deep/city.txt");
  EXPECT_NEAR(hits[0].similarity, 1, 1e-5);
  EXPECT_FALSE(hits[0].has_words);
}

TEST_F(FolderIndexTest, FindsNothingThatIsNotThere) {
  FolderIndex index = open();
  update(index);
  EXPECT_TRUE(index.search("xyzzy \"' AND (", letters_of("qqq"), 3, 0.3).empty());
}

TEST_F(FolderIndexTest, ReadsOnlyWhatChanged) {
  FolderIndex index = open();
  update(index);
  const size_t before = embedded_;
  const auto same = update(index);
  EXPECT_EQ(same.read, 0);
  EXPECT_EQ(same.no_text, 1);
  EXPECT_EQ(embedded_, before);
  write("birds.txt", "an ostrich cannot fly at all\n");
  fs::remove(root_ / "files/deep/city.txt");
  const auto changes = update(index);
  EXPECT_EQ(changes.read, 1);
  EXPECT_EQ(changes.removed, 1);
  EXPECT_TRUE(index.search("mynah paris", letters_of("qqq"), 3, 0.9).empty());
  EXPECT_EQ(index.search("ostrich", letters_of("qqq"), 3, 0.9).size(), 1u);
  write("picture.bin", "a text by now\n");
  const auto turned = update(index);
  EXPECT_EQ(turned.no_text, 0);
  EXPECT_EQ(turned.files, 2);
}

TEST_F(FolderIndexTest, StartsAfreshWithVectorsOfAnotherModel) {
  { FolderIndex index = open(); update(index); }
  FolderIndex other = open("other");
  EXPECT_TRUE(other.empty());
}

TEST_F(FolderIndexTest, RefusesWhatIsNoFolderAndNoDatabase) {
  EXPECT_THROW(FolderIndex(root_ / "nowhere", root_ / "store", "letters"), Error);
  { FolderIndex index = open(); }
  for (const auto& entry : fs::directory_iterator(root_ / "store")) std::ofstream(entry.path()) << std::string(4096, 'x');
  try {
    open();
    FAIL() << "a damaged index was opened";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::integrity);
    EXPECT_NE(std::string(e.what()).find("index the folder again"), std::string::npos);
  }
}

}  // namespace
}  // namespace mynah::search
