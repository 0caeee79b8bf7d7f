#include "base/unicode.h"

#include <gtest/gtest.h>

using namespace mynah;
using namespace mynah::unicode;

namespace {

TEST(Unicode, ReplacesEachMaximalInvalidSequence) {
  const std::string r = "\xEF\xBF\xBD";
  EXPECT_EQ(to_valid("a\xFFz"), "a" + r + "z");
  EXPECT_EQ(to_valid("\xE2\x82"), r) << "a character cut short is one sequence";
  EXPECT_EQ(to_valid("\xF0\x9F\x98z"), r + "z");
  EXPECT_EQ(to_valid("\xC0\xAF"), r + r) << "overlong";
  EXPECT_EQ(to_valid("\xE0\x80\x80"), r + r + r) << "overlong";
  EXPECT_EQ(to_valid("\xED\xA0\x80"), r + r + r) << "surrogate";
  EXPECT_EQ(to_valid("\xF4\x90\x80\x80"), r + r + r + r) << "past U+10FFFF";
  EXPECT_EQ(to_valid("\x80\xBF"), r + r) << "continuation bytes alone";
  EXPECT_EQ(to_valid("\xF0\x9F\x98\x80"), "\xF0\x9F\x98\x80");
}

TEST(Unicode, ValidityAgreesWithDecoding) {
  for (int first = 0; first < 256; ++first)
    for (int second = 0; second < 256; ++second) {
      const std::string text = {'a', static_cast<char>(first), static_cast<char>(second), 'b', 'c', 'd', 'e', 'f', 'g',
                                'h'};
      EXPECT_EQ(is_valid(text), to_valid(text) == text) << first << " " << second;
      EXPECT_TRUE(is_valid(to_valid(text)));
    }
  EXPECT_FALSE(is_valid("12345678\xC3"));
}

TEST(Unicode, EveryCharacterSurvivesEncoding) {
  for (char32_t code = 0; code < 0x110000; ++code) {
    if (code >= 0xD800 && code < 0xE000) continue;
    std::string text;
    append(text, code);
    const Decoded d = decode_any(text, 0);
    uint32_t size;
    ASSERT_TRUE(d.valid && d.code == code && d.size == text.size()) << static_cast<uint32_t>(code);
    ASSERT_EQ(decode_valid(text.data(), size), code);
    ASSERT_EQ(size, text.size());
  }
}

TEST(Unicode, KnowsWhichTailsCanStillBecomeCharacters) {
  EXPECT_EQ(incomplete_tail(""), 0u);
  EXPECT_EQ(incomplete_tail("abc"), 0u);
  EXPECT_EQ(incomplete_tail("a\xC3"), 1u);
  EXPECT_EQ(incomplete_tail("a\xE2\x82"), 2u);
  EXPECT_EQ(incomplete_tail("a\xF0\x9F\x98"), 3u);
  EXPECT_EQ(incomplete_tail("a\xF0\x9F\x98\x80"), 0u);
  EXPECT_EQ(incomplete_tail("\xE0\x80"), 0u) << "no character begins so";
  EXPECT_EQ(incomplete_tail("\x80\x80\x80\x80"), 0u);
}

TEST(Unicode, Categories) {
  EXPECT_EQ(category('A'), Category::Lu);
  EXPECT_EQ(category(0x00E9), Category::Ll);
  EXPECT_EQ(category(0x65E5), Category::Lo);
  EXPECT_EQ(category(0x0301), Category::Mn);
  EXPECT_EQ(category('7'), Category::Nd);
  EXPECT_EQ(category(0x2167), Category::Nl);
  EXPECT_EQ(category('$'), Category::Sc);
  EXPECT_EQ(category(0x1C89), Category::Lu) << "Unicode 16";
  EXPECT_EQ(category(0x2EBF0), Category::Lo) << "Unicode 15.1";
  EXPECT_EQ(category(0x2EE5E), Category::Cn);
  EXPECT_TRUE(is_space(0x3000) && is_space(0x85) && !is_space(0x200B) && !is_space(0x180E));
  EXPECT_TRUE(is_word('_') && is_word(0x24B6) && is_word(0x200D) && !is_word('-') && !is_word(0xB2));
}

TEST(Unicode, LowerCase) {
  EXPECT_EQ(to_lower(std::string_view("HELLO \xC3\x89T\xC3\x89 \xCE\xA3")), "hello \xC3\xA9t\xC3\xA9 \xCF\x83");
  EXPECT_EQ(to_lower(std::string_view("\xC4\xB0")), "i\xCC\x87") << "one character may become two";
  EXPECT_EQ(fold_case("Stra\xC3\x9F"
                      "e"),
            "strasse");
}

TEST(Unicode, NormalForms) {
  const std::string composed = "\xC3\xA9", decomposed = "e\xCC\x81", ligature = "\xEF\xAC\x81";
  EXPECT_EQ(normalize(decomposed, Form::nfc), composed);
  EXPECT_EQ(normalize(composed, Form::nfd), decomposed);
  EXPECT_EQ(normalize(ligature, Form::nfkc), "fi");
  EXPECT_EQ(normalize(ligature, Form::nfc), ligature);
  EXPECT_EQ(compose('e', 0x301), 0xE9u);
  EXPECT_EQ(compose(0x1100, 0x1161), 0xAC00u);
  EXPECT_EQ(compose('e', 'e'), 0u);
}

// What is called inert must not change, alone or behind another character.
TEST(Unicode, InertCharactersStay) {
  for (const Form form : {Form::nfc, Form::nfd, Form::nfkc, Form::nfkd})
    for (char32_t code = 0x80; code < 0x30000; ++code) {
      if ((code >= 0xD800 && code < 0xE000) || !is_inert(code, form)) continue;
      std::string text = "e";
      append(text, code);
      ASSERT_EQ(normalize(text, form), text) << static_cast<uint32_t>(code);
    }
}

}  // namespace
