// Texts as token files: what stands in them, and that they are read again.
#include "train/text_corpus.h"

#include <gtest/gtest.h>

#include <fstream>

#include "bundle/bundle.h"
#include "mynah/error.h"

namespace mynah::train {
namespace {

namespace fs = std::filesystem;

class CorpusTest : public testing::Test {
 protected:
  CorpusTest() : folder_(fs::temp_directory_path() / ("mynah-corpus-" + std::to_string(::getpid()))) { 
    fs::create_directories(folder_);
    arguments_.tokens_folder = folder_ / "tokens";
  }
  ~CorpusTest() override { fs::remove_all(folder_); }
  fs::path write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
    return folder_ / name;
  }
  Corpus read(const std::vector<fs::path>& files, int32_t end) { return read_corpus(files, *tokenizer_, model_, end, arguments_); }
  int64_t kept() {
    int64_t n = 0;
    for (const auto& entry : fs::directory_iterator(folder_ / "tokens")) n += entry.is_regular_file();
    return n;
  }

  const fs::path model_ = fs::path(MYNAH_TEST_DATA) / "golden" / "train" / "models" / "llama";
  const std::shared_ptr<const Tokenizer> tokenizer_ = bundle::open_tokenizer(model_);
  fs::path folder_;
  Arguments arguments_;
};

TEST_F(CorpusTest, DocumentsFollowEachOtherWithTheirEnds) {
  const std::string first = "the bird sings", second = "a cat";
  const Corpus c = read({write("a.jsonl", "{\"text\": \"" + first + "\"}\n{\"text\": \"" + second + "\"}\n")}, 2);
  std::vector<int32_t> expected = tokenizer_->encode_ids(first, false);
  expected.push_back(2);
  const auto boundary = static_cast<int64_t>(expected.size()) - 1;
  for (const int32_t id : tokenizer_->encode_ids(second, false)) expected.push_back(id);
  expected.push_back(2);
  EXPECT_EQ(c.row(0, c.size()), expected);
  EXPECT_EQ(c.documents(), 2);
  EXPECT_EQ(c.bytes(), static_cast<int64_t>(first.size() + second.size()));
  const CorpusPiece all = c.piece(0, c.size());
  for (int64_t i = 0; i < c.size(); ++i) EXPECT_EQ(all.is_last(i), i == boundary || i + 1 == c.size()) << i;
}

// Many documents are encoded side by side; they stand in their order.
TEST_F(CorpusTest, ManyDocumentsKeepTheirOrder) {
  std::string rows;
  std::vector<int32_t> expected;
  for (int i = 0; i < 1000; ++i) {
    const std::string text = "bird " + std::to_string(i) + std::string(i % 7 == 0 ? 30000 : 1, 'a');
    rows += "{\"text\": \"" + text + "\"}\n";
    for (const int32_t id : tokenizer_->encode_ids(text, false)) expected.push_back(id);
    expected.push_back(2);
  }
  const Corpus c = read({write("a.jsonl", rows)}, 2);
  EXPECT_EQ(c.documents(), 1000);
  EXPECT_EQ(c.row(0, c.size()), expected);
}

TEST_F(CorpusTest, ReadingEndsWhenAskedAndLeavesNothing) {
  int asked = 0;
  arguments_.should_stop = [&] { return ++asked > 2; };
  std::string rows;
  for (int i = 0; i < 9; ++i) rows += "{\"text\": \"a bird\"}\n";
  try {
    read({write("a.jsonl", rows)}, 2);
    ADD_FAILURE() << "was not stopped";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::interrupted) << error.what();
  }
  EXPECT_EQ(kept(), 0);
}

TEST_F(CorpusTest, SplitsAtAToken) {
  Corpus c = read({write("a.txt", "one two three four five six seven eight nine ten")}, -1);
  const auto all = c.row(0, c.size());
  const int64_t at = c.size() / 3, bytes = c.bytes();
  const Corpus rest = c.split_off(at);
  EXPECT_EQ(c.size(), at);
  EXPECT_TRUE(c.piece(0, at).is_last(at - 1));
  EXPECT_FALSE(c.piece(0, at - 1).is_last(at - 2));
  EXPECT_EQ(rest.row(0, rest.size()), std::vector<int32_t>(all.begin() + at, all.end()));
  EXPECT_EQ(c.bytes() + rest.bytes(), bytes);
}

TEST_F(CorpusTest, IsKeptByWhatItIsMadeOf) {
  const fs::path a = write("a.txt", "the bird sings");
  const auto first = read({a}, -1).row(0, 2);
  const auto made = fs::last_write_time((*fs::directory_iterator(folder_ / "tokens")).path());
  EXPECT_EQ(read({write("same.txt", "the bird sings")}, -1).row(0, 2), first);
  EXPECT_EQ(kept(), 1);
  EXPECT_EQ(fs::last_write_time((*fs::directory_iterator(folder_ / "tokens")).path()), made);
  read({write("other.txt", "the bird sang")}, -1);
  read({write("a.jsonl", "{\"text\": \"x\"}\n")}, -1);
  read({write("a.jsonl", "{\"text\": \"x\"}\n")}, 2);
  EXPECT_EQ(kept(), 4);
}

TEST_F(CorpusTest, ADamagedTokenFileIsMadeAgain) {
  const fs::path a = write("a.txt", "the bird sings");
  const auto expected = read({a}, -1).row(0, 2);
  const fs::path file = (*fs::directory_iterator(folder_ / "tokens")).path();
  for (const int64_t size : {int64_t{0}, int64_t{20}, static_cast<int64_t>(fs::file_size(file)) - 4}) {
    fs::resize_file(file, static_cast<uintmax_t>(size));
    EXPECT_FALSE(TokenFile::open(file).has_value());
    EXPECT_EQ(read({a}, -1).row(0, 2), expected);
  }
}

TEST_F(CorpusTest, ADamagedRowLeavesNothing) {
  EXPECT_THROW(read({write("a.jsonl", "{\"text\": \"x\"}\n{\"text\": \n")}, -1), Error);
  EXPECT_EQ(kept(), 0);
}

}  // namespace
}  // namespace mynah::train
