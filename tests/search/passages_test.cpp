#include "search/passages.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace mynah::search {
namespace {

PassageLimits letters(int64_t most) {
  return {most, [](std::string_view line) { return static_cast<int64_t>(line.size()); }};
}

TEST(Passages, KeepTheirLineNumbers) {
  const auto found = passages("one\ntwo\n\nthree\r\nfour\n", letters(6));
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].text, "one\ntwo\n");
  EXPECT_EQ(found[0].first_line, 1);
  EXPECT_EQ(found[0].last_line, 2);
  EXPECT_EQ(found[1].text, "three\n");
  EXPECT_EQ(found[1].first_line, 4);
  EXPECT_EQ(found[2].text, "four\n");
  EXPECT_EQ(found[2].last_line, 5);
}

TEST(Passages, BreakAtAHeadingThatComesInTheSecondHalf) {
  const auto found = passages("aaaa\nbbbb\n# c\nd\n", letters(16));
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[1].text, "# c\nd\n");
  EXPECT_EQ(found[1].first_line, 3);
}

TEST(Passages, CutAnOverlongLineBetweenWordsAndCharacters) {
  std::string line;
  for (int i = 0; i < 50; ++i) line += "w\xc3\xb6rd ";
  const auto found = passages(line, letters(40));
  ASSERT_GT(found.size(), 5u);
  std::string joined;
  for (const auto& passage : found) {
    EXPECT_LE(passage.text.size(), 41u);
    EXPECT_EQ(passage.first_line, 1);
    EXPECT_NE(static_cast<unsigned char>(passage.text[0]) & 0xC0, 0x80);
    joined += passage.text.substr(0, passage.text.size() - 1);
  }
  EXPECT_EQ(joined, line);
}

TEST(Passages, AreNoneOfNothing) {
  EXPECT_TRUE(passages("", letters(5)).empty());
  EXPECT_TRUE(passages("\n \n\t\n", letters(5)).empty());
}

TEST(Passages, TextIsToldFromBinaries) {
  EXPECT_TRUE(looks_like_text("caf\xc3\xa9\n\tx"));
  EXPECT_FALSE(looks_like_text(std::string_view("ab\0c", 4)));
  EXPECT_FALSE(looks_like_text("\x01\x02\x03\x04"));
}

}  // namespace
}  // namespace mynah::search
