// The parts of tokenizers against slow and obvious references.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "base/unicode.h"
#include "mynah/error.h"
#include "mynah/json.h"
#include "text/bpe.h"
#include "text/gguf_pre_tokenizers.h"
#include "text/json_cursor.h"
#include "text/normalizer.h"
#include "text/pattern.h"
#include "text/scanner.h"

using namespace mynah;
using namespace mynah::text;

namespace {

std::vector<std::string> words(const Pattern& pattern, std::string_view text) {
  std::vector<std::string> all;
  for (const Match& m : pattern.matches(text)) all.emplace_back(text.substr(m.begin, m.end - m.begin));
  return all;
}

// Characters of every class the patterns speak of, assigned in Unicode 14 (the version of the library's tables).
std::string random_text(std::mt19937& random) {
  static const std::vector<std::string> atoms = {"a",
                                                 "B",
                                                 "'",
                                                 "'s",
                                                 "'LL",
                                                 "'\xC5\xBF",
                                                 " ",
                                                 "  ",
                                                 "\n",
                                                 "\r\n",
                                                 "\t",
                                                 "1",
                                                 "23",
                                                 "\xC2\xB2",
                                                 "\xC3\xA9",
                                                 "\xC3\x89",
                                                 "\xC7\x85",
                                                 "\xCA\xB0",
                                                 "\xE6\x97\xA5",
                                                 "\xCC\x81",
                                                 "\xE0\xA4\xBE",
                                                 ".",
                                                 "/",
                                                 "!?",
                                                 "_",
                                                 "\xC2\xA0",
                                                 "\xE3\x80\x80",
                                                 "\xF0\x9F\x98\x80",
                                                 "\xE2\x80\x99",
                                                 "\xC2\xAD",
                                                 "\xE2\x85\xA7"};
  std::string text;
  for (size_t n = random() % 12; n > 0; --n) text += atoms[random() % atoms.size()];
  return text;
}

// Every scanner must match as the regular expression does. The same expression in a group is unknown to the scanners.
TEST(Scanner, EqualsTheRegularExpression) {
  std::mt19937 random(1);
  int known = 0;
  for (const char* name :
       {"gpt-2", "llama-bpe", "qwen2", "ufakzeka", "qwen35", "gpt-4o", "tekken", "minicpm5", "smollm"})
    for (const std::string& expression : gguf_pre_tokenizer(name).expressions) {
      if (!known_scanner(expression) && !known_class(expression)) continue;
      ++known;
      const Pattern fast = Pattern::regex(expression), slow = Pattern::regex("(?:" + expression + ")");
      ASSERT_EQ(slow.scanner(), nullptr);
      for (int i = 0; i < 1500; ++i) {
        const std::string text = random_text(random);
        ASSERT_EQ(words(fast, text), words(slow, text)) << expression << "\n" << Json(text).dump();
      }
    }
  EXPECT_GE(known, 9);
}

TEST(Pattern, BacktrackingIsBounded) {
  const Pattern pattern = Pattern::regex("(x+x+)+y");
  EXPECT_THROW(pattern.matches(std::string(5000, 'x')), Error);
  EXPECT_THROW(Pattern::regex("(unclosed"), Error);
}

TEST(Pattern, EmptyMatchesAdvance) {
  EXPECT_EQ(words(Pattern::regex("b*"), "abbc"), (std::vector<std::string>{"", "a", "bb", "c", ""}));
  EXPECT_EQ(words(Pattern::literal("bb"), "abbbbc"), (std::vector<std::string>{"a", "bb", "bb", "c"}));
}

// Merges one pair at a time: of the lowest rank, leftmost first.
std::vector<int32_t> slow_bpe(std::string_view word, const Vocabulary& vocabulary,
                              const std::vector<std::pair<std::string, std::string>>& merges) {
  std::vector<std::string> parts;
  for (const char c : word) parts.emplace_back(1, c);
  for (;;) {
    size_t best_rank = merges.size(), best = 0;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      const size_t rank = static_cast<size_t>(
          std::find(merges.begin(), merges.end(), std::pair(parts[i], parts[i + 1])) - merges.begin());
      if (rank < best_rank) {
        best_rank = rank;
        best = i;
      }
    }
    if (best_rank == merges.size()) break;
    parts[best] += parts[best + 1];
    parts.erase(parts.begin() + static_cast<ptrdiff_t>(best) + 1);
  }
  std::vector<int32_t> ids;
  for (const std::string& part : parts) ids.push_back(vocabulary.find(part));
  return ids;
}

TEST(Bpe, ShortAndLongWordsEqualTheSlowAlgorithm) {
  std::mt19937 random(2);
  std::vector<std::string> tokens = {"a", "b", "c"};
  std::vector<std::pair<std::string, std::string>> merges;
  while (merges.size() < 60) {
    const std::string left = tokens[random() % tokens.size()], right = tokens[random() % tokens.size()];
    if (left.size() + right.size() > 9 || std::find(tokens.begin(), tokens.end(), left + right) != tokens.end())
      continue;
    merges.emplace_back(left, right);
    tokens.push_back(left + right);
  }
  Vocabulary vocabulary;
  for (size_t i = 0; i < tokens.size(); ++i) vocabulary.insert(tokens[i], static_cast<int64_t>(i));
  Bpe bpe(vocabulary, {}, merges.size());
  for (const auto& [left, right] : merges) ASSERT_TRUE(bpe.add_merge(left, right));
  EXPECT_FALSE(bpe.add_merge("a", "zzz"));
  Workspace work;
  for (int i = 0; i < 120; ++i) {
    std::string word;
    for (size_t n = 1 + random() % (i % 3 == 0 ? 400 : 40); n > 0; --n)
      word.push_back(static_cast<char>('a' + random() % 3));
    std::vector<Token> got;
    bpe.tokenize(word, work, got);
    std::vector<int32_t> ids;
    uint32_t end = 0;
    for (const Token& token : got) {
      ids.push_back(token.id);
      ASSERT_EQ(token.begin, end);
      end = token.end;
    }
    ASSERT_EQ(end, word.size());
    ASSERT_EQ(ids, slow_bpe(word, vocabulary, merges)) << word;
  }
}

TEST(Normalizer, FormsEqualTheLibrarys) {
  std::mt19937 random(3);
  const std::vector<char32_t> codes = {'a',    'e',    's',    ' ',     0xE9,   0x301,  0x323,  0x307,  0x1E69,
                                       0x1100, 0x1161, 0x11A8, 0xAC00,  0xAC01, 0x65E5, 0xFB01, 0x2126, 0x212B,
                                       0x958,  0x93C,  0xB2,   0x1D15E, 0xFDFA, 0x3099, 0x304B, 0x345,  0x3B1};
  for (const auto& [name, form] : {std::pair("NFC", unicode::Form::nfc), std::pair("NFD", unicode::Form::nfd),
                                   std::pair("NFKC", unicode::Form::nfkc), std::pair("NFKD", unicode::Form::nfkd)}) {
    const auto normalizer = make_normalizer({{"type", name}});
    for (int i = 0; i < 5000; ++i) {
      std::string text;
      for (size_t n = random() % 10; n > 0; --n) unicode::append(text, codes[random() % codes.size()]);
      ASSERT_EQ(normalizer->normalized(text), unicode::normalize(text, form)) << name << Json(text).dump();
    }
  }
}

TEST(JsonCursor, ReadsStringsNumbersAndSkips) {
  TextArena arena;
  JsonCursor cursor(R"( {"plain": 12, "esc\u00e9\n\ud83d\ude00\ud800": [-1.5e2, {"x": ["]", "}"]}], "": "v"} )",
                    "test");
  std::vector<std::string> keys;
  cursor.each_member(arena, [&](std::string_view key) {
    keys.emplace_back(key);
    if (key == "plain")
      EXPECT_EQ(cursor.integer(), 12);
    else if (key.empty())
      EXPECT_EQ(cursor.string(arena), "v");
    else
      EXPECT_EQ(cursor.skip_value(), R"([-1.5e2, {"x": ["]", "}"]}])");
  });
  EXPECT_EQ(keys, (std::vector<std::string>{"plain", "esc\xC3\xA9\n\xF0\x9F\x98\x80\xEF\xBF\xBD", ""}));
}

// What tokenizers 0.22.2 makes of the scores of a vocabulary.
TEST(JsonCursor, ReadsNumbersAsTheReference) {
  const std::pair<const char*, double> numbers[] = {
      {"-3.9260880947113037", -0x1.f68a0e0000001p+1},
      {"-10.5", -10.5},
      {"12", 12},
      {"-7.7132720947265625", -0x1.eda6400000001p+2},
      {"123456789012345678901234567890", 0x1.8ee90ff6c373ep+96},
      {"18446744073709551619.25", 0x1p+64},
      {"-1.7976931348623157e308", -0x1.fffffffffffffp+1023},
      {"2.2250738585072014e-308", 0x1p-1022},
      {"-4.9e-324", -0x0.0000000000001p-1022},
      {"-9.8765432109876543210987e-5", -0x1.9e409341bc812p-14},
      {"1E+3", 1000},
      {"-0.1000000000000000055511151231257827", -0x1.999999999999ap-4},
  };
  for (const auto& [text, value] : numbers) EXPECT_EQ(JsonCursor(text, "test").number(), value) << text;
  EXPECT_TRUE(std::signbit(JsonCursor("-0.0", "test").number()));
  for (const char* text : {"", "-", ".5", "1.", "1e", "1e400", "1e99999999999", "inf", "nan"})
    EXPECT_THROW(JsonCursor(text, "test").number(), Error) << text;
}

TEST(JsonCursor, RefusesDamage) {
  for (const char* text : {"", "{", "{\"a\"", "{\"a\":}", "{\"a\":1", "{\"a\":1,}", "[1}", "{\"a\\\":1}",
                           "{\"\\u12\":1}", "{\"\\q\":1}", "{\"\xFF\":1}", "{\"a\":[}]}"}) {
    TextArena arena;
    JsonCursor cursor(text, "test");
    EXPECT_THROW(cursor.each_member(arena, [&](std::string_view) { cursor.skip_value(); }), Error) << text;
  }
}

}  // namespace
