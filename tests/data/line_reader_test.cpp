// Lines of plain and compressed files, whole and damaged.
#include "data/line_reader.h"

#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include <filesystem>
#include <fstream>
#include <vector>

#include "data/rows.h"
#include "mynah/error.h"
#include "mynah/json.h"

namespace mynah::data {
namespace {

namespace fs = std::filesystem;

std::string zstd(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

std::string gzip(const fs::path& path, const std::string& text) {
  gzFile file = gzopen(path.c_str(), "wb");
  gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
  gzclose(file);
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class LineReaderTest : public testing::Test {
 protected:
  LineReaderTest() : folder_(fs::temp_directory_path() / ("mynah-lines-" + std::to_string(::getpid()))) { fs::create_directories(folder_); }
  ~LineReaderTest() override { fs::remove_all(folder_); }
  fs::path write(const std::string& name, const std::string& bytes) {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
    return folder_ / name;
  }
  static std::vector<std::string> lines(const fs::path& path) {
    std::vector<std::string> all;
    LineReader reader(path);
    for (std::string line; reader.next(&line);) all.push_back(line);
    return all;
  }
  fs::path folder_;
};

// More than the reader's and the decoder's buffers hold, and compressible far beyond them.
std::string long_text() {
  std::string text;
  for (int i = 0; i < 200'000; ++i) text += "line " + std::to_string(i % 1000) + "\n";
  return text;
}

TEST_F(LineReaderTest, CompressedFilesHoldTheSameLines) {
  const std::string text = long_text();
  const auto plain = lines(write("a.txt", text));
  ASSERT_EQ(plain.size(), 200'000u);
  EXPECT_EQ(lines(write("a.txt.zst", zstd(text))), plain);
  EXPECT_EQ(lines(write("a.txt.gz", gzip(folder_ / "b.gz", text))), plain);
}

TEST_F(LineReaderTest, FramesOfZstandardFollowEachOther) {
  EXPECT_EQ(lines(write("a.zst", zstd("one\ntw") + zstd("o\n") + zstd("") + zstd("three"))), (std::vector<std::string>{"one\n", "two\n", "three"}));
}

TEST_F(LineReaderTest, DamageIsNamedWithItsLine) {
  const std::string whole = zstd(long_text());
  for (const size_t kept : {whole.size() - 1, whole.size() / 2, size_t{20}}) {
    try {
      lines(write("cut.jsonl.zst", whole.substr(0, kept)));
      FAIL() << kept;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::integrity);
      EXPECT_NE(std::string(e.what()).find("cut.jsonl.zst:"), std::string::npos) << e.what();
    }
  }
  std::string turned = whole;
  turned[turned.size() / 2] = static_cast<char>(~turned[turned.size() / 2]);
  EXPECT_THROW(lines(write("turned.zst", turned.replace(4, 1, "\xff"))), Error);
}

TEST_F(LineReaderTest, RowsAreKnownByTheNameInside) {
  std::vector<std::string> texts;
  for_each_row(write("a.jsonl.zst", zstd("{\"text\": \"one\"}\n{\"text\": \"two\"}\n")), [&](const Json& row, const std::string&) { texts.push_back(row.at("text").get<std::string>()); });
  EXPECT_EQ(texts, (std::vector<std::string>{"one", "two"}));
}

TEST_F(LineReaderTest, TheFirstRowIsReadWithoutTheOthers) {
  EXPECT_EQ(first_row(write("a.jsonl", "\n{\"text\": \"one\"}\n{damaged\n")), (Json{{"text", "one"}}));
  EXPECT_EQ(first_row(write("a.csv", "text,label\none,1\ntwo\n")), (Json{{"text", "one"}, {"label", "1"}}));
  EXPECT_EQ(first_row(write("a.txt", "\none\ntwo\n")), (Json{{"text", "one"}}));
  EXPECT_THROW(first_row(write("b.jsonl", "\n\n")), Error);
}

}  // namespace
}  // namespace mynah::data
