#include "base/json.h"

#include <gtest/gtest.h>


#include "mynah/error.h"

namespace mynah {
namespace {

ErrorCode code_of(std::string_view text) {
  try {
    parse_json(text, "test.json");
  } catch (const Error& e) {
    EXPECT_TRUE(std::string(e.what()).starts_with("test.json: ")) << e.what();
    return e.code();
  }
  return ErrorCode::internal;
}

TEST(Json, KeepsTheOrderOfKeysAndTheKindsOfNumbers) {
  const Json json = parse_json(R"({"b":1,"a":-2,"c":[1.5,true,null,"x\u00e9"]})", "test.json");
  EXPECT_EQ(json.begin().key(), "b");
  EXPECT_EQ(json.dump(), "{\"b\":1,\"a\":-2,\"c\":[1.5,true,null,\"x\xc3\xa9\"]}");
  EXPECT_TRUE(json["b"].is_number_unsigned());
}

TEST(Json, RefusesWhatIsNotJson) {
  for (const char* text : {"", "{", "[1,]", "{\"a\":}", "nul", "\"\xff\"", "1 2", "{\"a\":1}x", "'a'", "[1e999999"})
    EXPECT_EQ(code_of(text), ErrorCode::integrity) << text;
}

TEST(Json, LimitsTheDepth) {
  const auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_NO_THROW(parse_json(nested(128), "test.json"));
  EXPECT_EQ(code_of(nested(129)), ErrorCode::integrity);
  EXPECT_EQ(code_of(std::string(1'000'000, '[')), ErrorCode::integrity);
  EXPECT_EQ(code_of(std::string(1'000'000, '{')), ErrorCode::integrity);
}

TEST(Json, BracketsInsideStringsDoNotCountAsDepth) {
  EXPECT_NO_THROW(parse_json("[\"" + std::string(1000, '[') + "\\\"" + std::string(1000, '{') + "\"]", "test.json"));
}

TEST(Json, AMissingFileIsNotFound) {
  try {
    read_json_file("/absent.json");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::not_found);
  }
}

}  // namespace
}  // namespace mynah
