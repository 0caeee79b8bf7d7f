// Rows of files as people have them: lists, tables with tabs, names in capitals; and files that hold no rows.
#include "data/rows.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "mynah/error.h"
#include "mynah/json.h"

namespace mynah::data {
namespace {

namespace fs = std::filesystem;

class RowsTest : public testing::Test {
 protected:
  RowsTest() : folder_(fs::temp_directory_path() / ("mynah-rows-" + std::to_string(::getpid()))) { fs::create_directories(folder_); }
  ~RowsTest() override { fs::remove_all(folder_); }
  fs::path write(const std::string& name, const std::string& bytes) {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
    return folder_ / name;
  }
  // Values of "text", with bars between them.
  std::string texts(const std::string& name, const std::string& bytes) {
    std::string all;
    for_each_row(write(name, bytes), [&](const Json& row, const std::string&) { all += row.at("text").get<std::string>() + "|"; });
    return all;
  }
  std::string complaint(const std::string& name, const std::string& bytes) {
    try {
      texts(name, bytes);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  void expect_complaint(const std::string& name, const std::string& bytes, const std::string& said) {
    const std::string got = complaint(name, bytes);
    EXPECT_NE(got.find(name), std::string::npos) << got;
    EXPECT_NE(got.find(said), std::string::npos) << got;
  }
  fs::path folder_;
};

TEST_F(RowsTest, AListOfObjectsIsRows) {
  EXPECT_EQ(texts("a.json", R"([{"text": "a"}, {"text": "b ] } \" \\"}])"), "a|b ] } \" \\|");
  EXPECT_EQ(texts("b.json", "\xEF\xBB\xBF \r\n[\r\n  {\n    \"text\": \"a\",\n \"more\": [1, {\"x\": 2}]\n  },\n  {\"text\": \"b\"}\n]\n"), "a|b|");
  EXPECT_EQ(texts("c.jsonl", "[{\"text\": \"a\"}]"), "a|");
  EXPECT_EQ(texts("d.json", "{\"text\": \"a\"}\n{\"text\": \"b\"}\n"), "a|b|");
  EXPECT_EQ(first_row(write("e.json", "[{\"text\": \"a\"}, nothing"))["text"], "a");
}

TEST_F(RowsTest, AFaultyListNamesTheRow) {
  expect_complaint("a.json", "[]", "no rows");
  expect_complaint("b.json", "[\n{\"text\": \"a\"},\n{\"text\": }\n]", ":3 row 2: byte 10: not valid JSON");
  expect_complaint("c.json", "[{\"text\": \"a\"}, 5]", "row 2: \"5\", expected a JSON object");
  expect_complaint("d.json", "[{\"text\": \"a\"} {\"text\": \"b\"}]", "after a comma");
  expect_complaint("e.json", "[{\"text\": \"a\"}", "does not end");
  expect_complaint("f.json", "[{\"text\": \"a\"", "the row does not end");
  expect_complaint("g.json", "[{\"text\": \"a\"}]\n{\"text\": \"b\"}", ":2: text after the end");
}

TEST_F(RowsTest, EndingsAreOfAnySizeAndTabsSeparate) {
  EXPECT_EQ(texts("A.JSONL", "{\"text\": \"a\"}\n"), "a|");
  EXPECT_EQ(texts("a.ndjson", "{\"text\": \"a\"}\n"), "a|");
  EXPECT_EQ(texts("a.Csv", "n,text\n1,a\n"), "a|");
  EXPECT_EQ(texts("a.tsv", "n\ttext\n1\ta, b\n2\t\"c\td\"\n"), "a, b|c\td|");
  EXPECT_EQ(texts("a.txt", "\xEF\xBB\xBF" "a\r\nb\n"), "a|b|");
}

TEST_F(RowsTest, WhatIsNoTextIsSaidToBeWhatItIs) {
  expect_complaint("u16.jsonl", std::string("\xFF\xFE{\0}\0", 6), "UTF-16");
  expect_complaint("u16be.txt", std::string("\xFE\xFF\0a", 4), "UTF-16");
  expect_complaint("plain16.txt", std::string("a\0b\0", 4), "zero byte");
  expect_complaint("rows.jsonl.xz", std::string("\xFD" "7zXZ\0", 6), "xz archive");
  expect_complaint("rows.jsonl.bz2", "BZh91AY&SY", "bzip2");
  expect_complaint("rows.parquet", "PAR1\x15\x04\x15", "Parquet");
  expect_complaint("model.gguf", std::string("GGUF\3\0\0\0", 8), "GGUF");
  EXPECT_EQ(texts("about.txt", "GGUF is a format\n"), "GGUF is a format|");
  EXPECT_EQ(texts("bz.txt", "BZh\nPAR1\n"), "BZh|PAR1|");
  EXPECT_THROW(for_each_line(write("bytes.txt", std::string("a\0b", 3)), [](std::string_view) {}), Error);
}

TEST_F(RowsTest, AHeaderNamesAColumnOnce) { expect_complaint("a.csv", "text,n,text\na,1,b\n", "names \"text\" twice"); }

}  // namespace
}  // namespace mynah::data
