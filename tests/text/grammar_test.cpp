// Grammars: regular expressions and JSON Schemas accept what they should, refuse what they should, and know the way to the end.
#include "text/grammar.h"

#include <gtest/gtest.h>


#include "base/json.h"
#include "mynah/error.h"
#include "text/grammar_regex.h"
#include "text/json_schema.h"

namespace mynah::text {
namespace {

Automaton regex(std::string_view pattern) {
  Grammar g;
  const auto root = regular_expression(g, pattern);
  return Automaton(std::move(g), root);
}

Automaton schema(std::string_view text) {
  Grammar g;
  const auto root = json_schema(g, parse_json(text, "schema"));
  return Automaton(std::move(g), root);
}

bool matches(Automaton& a, std::string_view text) {
  const auto state = a.next(a.start(), text);
  return state != Automaton::kDead && a.accepts(state);
}

void expect(Automaton a, std::initializer_list<std::string_view> right, std::initializer_list<std::string_view> wrong) {
  for (const auto text : right) EXPECT_TRUE(matches(a, text)) << text;
  for (const auto text : wrong) EXPECT_FALSE(matches(a, text)) << text;
}

TEST(Regex, MatchesWholeTexts) {
  expect(regex("ab|c"), {"ab", "c"}, {"", "a", "abc", "ac"});
  expect(regex("^a(b|cd)*e?$"), {"a", "abe", "acdbe", "abbb"}, {"b", "ac", "aee"});
  expect(regex("[a-c]{2,3}x{0,1}"), {"ab", "ccc", "abx"}, {"a", "abcd", "abxx"});
  expect(regex("\\d{3}-\\w+\\.\\s"), {"123-ab_9. "}, {"12-a. ", "123-. "});
  expect(regex("[^\"\\\\]+"), {"abc", "\xC3\xA4\xF0\x9F\x98\x80", "\n"}, {"", "a\"", "\\", "\xC3", "\xED\xA0\x80"});
  expect(regex("[\xC3\xA0-\xC3\xBF]\xE2\x82\xAC?"), {"\xC3\xA4", "\xC3\xBF\xE2\x82\xAC"}, {"\xC3\x9F", "a"});
  expect(regex("(?:a{3}){2,}"), {"aaaaaa", "aaaaaaaaa"}, {"aaaaa", "aaaaaaa"});
  expect(regex("(a*)*b"), {"b", "aaab"}, {"a"});
  expect(regex(".[]x-]"), {"a]", "bx", "c-"}, {"\n]", "ay"});
}

TEST(Regex, RefusesWhatItDoesNotKnow) {
  for (const char* pattern : {"(a", "a)", "[a", "*a", "a{2,1}", "a{x}", "(?=a)", "\\bword", "\\1", "[z-a]", "\\xZZ", "a^b"}) {
    Grammar g;
    EXPECT_THROW(regular_expression(g, pattern), Error) << pattern;
  }
}

TEST(Characters, AreValidUtf8OfTheRange) {
  Grammar g;
  const auto root = g.characters({{0x7E, 0x10FFFF}});
  Automaton a(std::move(g), root);
  for (const char* text : {"~", "\x7F", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xEF\xBF\xBF", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"}) EXPECT_TRUE(matches(a, text));
  for (const char* text : {"}", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\x80"})
    EXPECT_FALSE(matches(a, text)) << text;
}

TEST(Schema, Values) {
  expect(schema(R"({"type":"integer"})"), {"0", "-12", "907"}, {"01", "1.5", "", "-", "1e3"});
  expect(schema(R"({"type":"integer","minimum":-5,"maximum":120})"), {"-5", "0", "7", "99", "100", "120"}, {"-6", "121", "200", "-0", "1000", "00"});
  expect(schema(R"({"type":"integer","exclusiveMinimum":17,"exclusiveMaximum":2345})"), {"18", "99", "1000", "2344"}, {"17", "2345", "2400", "9"});
  expect(schema(R"({"minimum":1000})"), {"1000", "99999"}, {"999", "-1000"});
  expect(schema(R"({"type":"number"})"), {"0", "-1.5", "2e10", "3.25E-4"}, {".5", "1.", "e3"});
  expect(schema(R"({"type":["string","null"]})"), {"null", "\"a\\n\"", "\"\""}, {"nul", "\"a", "\"\n\"", "\"\\x\""});
  expect(schema(R"({"enum":["red","green",3,null]})"), {"\"red\"", "3", "null"}, {"\"blue\"", "red"});
  expect(schema(R"({"const":{"a":[1]}})"), {R"({"a":[1]})"}, {"{}"});
  expect(schema(R"({"type":"string","minLength":2,"maxLength":3})"), {"\"ab\"", "\"a\xC3\xA4\xC3\xA4\""}, {"\"a\"", "\"abcd\""});
  expect(schema(R"({"type":"string","pattern":"^[A-Z]{2}\"?$"})"), {"\"AB\"", "\"AB\\\"\""}, {"\"AB\"\"", "\"ab\"", "\"ABC\""});
  expect(schema(R"({"type":"string","pattern":"b+"})"), {"\"abc\"", "\"b\""}, {"\"ac\""});
  expect(schema(R"({"type":"string","format":"date"})"), {"\"2024-02-28\""}, {"\"2024-13-01\"", "\"24-01-01\""});
  expect(schema(R"({"anyOf":[{"type":"boolean"},{"type":"null"}]})"), {"true", "false", "null"}, {"0"});
}

TEST(Schema, ListsAndObjects) {
  expect(schema(R"({"type":"array","items":{"type":"boolean"},"minItems":1,"maxItems":3})"), {"[true]", "[true, false,\n  true]"}, {"[]", "[true,]", "[true,true,true,true]"});
  expect(schema(R"({"type":"array","maxItems":0})"), {"[]", "[ ]"}, {"[1]"});
  expect(schema(R"({"prefixItems":[{"type":"integer"},{"type":"string"}]})"), {"[1, \"a\"]"}, {"[1]", "[\"a\", 1]"});
  Automaton all = schema(R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"},"c":{"type":"null"}},"required":["b"]})");
  expect(all, {R"({"b":"x"})", R"({"a":1, "b":"x", "c":null})", R"({ "b": "x","c": null })"}, {"{}", R"({"a":1})", R"({"b":"x","a":1})", R"({"b":"x",})", R"({"b":"x","d":1})"});
  expect(schema(R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"}}})"), {"{}", R"({"a":1})", R"({"b":2})", R"({"a":1,"b":2})"}, {R"({,"b":2})"});
  expect(schema(R"({"type":"object","additionalProperties":{"type":"integer"}})"), {"{}", R"({"x":1, "y":2})"}, {R"({"x":"1"})"});
  expect(schema(R"({"$ref":"#/$defs/tree","$defs":{"tree":{"type":"object","properties":{"v":{"type":"integer"},"next":{"anyOf":[{"$ref":"#/$defs/tree"},{"type":"null"}]}},"required":["v","next"]}}})"),
         {R"({"v":1,"next":null})", R"({"v":1,"next":{"v":2,"next":{"v":3,"next":null}}})"}, {R"({"v":1})", R"({"v":1,"next":{}})"});
}

TEST(Schema, RefusesKeywordsThatItWouldNotKeep) {
  for (const char* text : {R"({"type":"number","multipleOf":2})", R"({"not":{}})", R"({"type":"object","required":["x"]})", R"({"type":"thing"})", R"({"$ref":"#/nowhere"})",
                           R"({"$ref":"http://elsewhere"})", R"({"type":"integer","minimum":5,"maximum":4})", R"([1])", R"({"enum":[]})", "false"}) {
    Grammar g;
    EXPECT_THROW(json_schema(g, parse_json(text, "schema")), Error) << text;
  }
}

TEST(Json, AcceptsObjects) {
  Grammar g;
  const auto root = json_object(g);
  Automaton a(std::move(g), root);
  for (const char* text : {"{}", R"({"a":[1,2,{"b":null}],"c":"d\n"})", "{ \"a\": -1.5e3, \"b\": [] }"}) EXPECT_TRUE(matches(a, text)) << text;
  for (const char* text : {"", "[]", "{\"a\":}", "{\"a\":1,}", "{a:1}", "{}}"}) EXPECT_FALSE(matches(a, text)) << text;
  // The distance is that of the shortest completion.
  EXPECT_EQ(a.distance(a.start()), 2);
  EXPECT_EQ(a.distance(a.next(a.start(), R"({"a":[{"b)")), 6);  // ":0}]}
}

TEST(Automaton, RefusesLanguagesWithoutAnEnd) {
  Grammar g;
  const auto loop = g.rule();
  g.define(loop, g.sequence({g.literal("a"), loop}));
  EXPECT_THROW(Automaton(std::move(g), loop), Error);
  Grammar left;
  const auto rule = left.rule();
  left.define(rule, left.either({left.sequence({rule, left.literal("a")}), left.literal("b")}));
  EXPECT_THROW(Automaton(std::move(left), rule), Error);
}

}  // namespace
}  // namespace mynah::text
