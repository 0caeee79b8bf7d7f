// The JSON value against nlohmann-json, whose behaviour it promises.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <random>

#include "mynah/json.h"

namespace mynah {
namespace {

using Reference = nlohmann::ordered_json;

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  uint64_t next() { return engine_(); }
  uint64_t below(uint64_t limit) { return engine_() % limit; }

 private:
  std::mt19937_64 engine_;
};

// A document with every kind of value, texts with escapes, broken UTF-8 and long objects.
std::string random_text(Random& random) {
  static const std::vector<std::string> parts = {"a", "\"", "\\", "\n", "\t", "\x01", "\x7f", "é", "€", "\U0001F426", "/", "\b\f\r"};
  std::string out;
  for (uint64_t n = random.below(6); n > 0; --n) out += parts[random.below(parts.size())];
  return out;
}

Reference random_document(Random& random, int depth) {
  switch (random.below(depth > 3 ? 6 : 8)) {
    case 0: return nullptr;
    case 1: return random.below(2) == 0;
    case 2: return static_cast<int64_t>(random.next());
    case 3: return random.next();
    case 4: {
      double value;
      const uint64_t bits = random.next();
      std::memcpy(&value, &bits, sizeof value);
      return random.below(2) ? value : static_cast<double>(random.below(1000)) / 8;
    }
    case 5: return random_text(random);
    case 6: {
      Reference list = Reference::array();
      for (uint64_t n = random.below(5); n > 0; --n) list.push_back(random_document(random, depth + 1));
      return list;
    }
    default: {
      Reference object = Reference::object();
      for (uint64_t n = random.below(40); n > 0; --n) object[random_text(random)] = random_document(random, depth + 2);
      return object;
    }
  }
}

TEST(JsonValue, ReadsAndWritesAsNlohmannJsonDoes) {
  Random random(7);
  for (int round = 0; round < 500; ++round) {
    const Reference expected = random_document(random, 0);
    const std::string text = expected.dump(-1, ' ', false, Reference::error_handler_t::replace);
    const Json value = Json::parse(text);
    ASSERT_EQ(value.dump(), Reference::parse(text).dump());
    ASSERT_EQ(value.dump(2), Reference::parse(text).dump(2));
    ASSERT_EQ(value.dump(-1, ' ', true), Reference::parse(text).dump(-1, ' ', true));
    ASSERT_EQ(value, Json::parse(value.dump(4)));
  }
}

TEST(JsonValue, DamagedTextIsRefusedWhereNlohmannJsonRefusesIt) {
  Random random(8);
  int refused = 0;
  for (int round = 0; round < 2000; ++round) {
    std::string text = random_document(random, 1).dump(-1, ' ', false, Reference::error_handler_t::replace);
    text[random.below(text.size())] = "{}[],:\"\\0-e.\xff"[random.below(13)];
    const Reference expected = Reference::parse(text, nullptr, false);
    const Json value = Json::parse(text, nullptr, false);
    ASSERT_EQ(value.is_discarded(), expected.is_discarded()) << text;
    ASSERT_EQ(Json::accept(text), !expected.is_discarded());
    if (expected.is_discarded()) ++refused;
    else ASSERT_EQ(value.dump(), expected.dump());
  }
  EXPECT_GT(refused, 100);
}

TEST(JsonValue, BrokenUtf8IsReplacedSequenceBySequence) {
  for (const std::string text : {"\xff", "a\xc3", "\xe2\x82", "\xe2\x82z", "\xf0\x9f\x90", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\x80\x80", "ok\xe2\x28\xa1"}) {
    EXPECT_EQ(Json(text).dump(-1, ' ', false, Json::error_handler_t::replace), Reference(text).dump(-1, ' ', false, Reference::error_handler_t::replace));
    EXPECT_THROW(Json(text).dump(), Json::exception);
  }
}

TEST(JsonValue, BracesMakeObjectsOfPairsAndArraysOfTheRest) {
  const Json value = {{"a", 1}, {"b", {1, 2.5, "x", nullptr, true}}, {"c", {{"d", Json::array()}}}, {"e", std::vector<int>{4, 5}}};
  EXPECT_EQ(value.dump(), R"({"a":1,"b":[1,2.5,"x",null,true],"c":{"d":[]},"e":[4,5]})");
  EXPECT_EQ(Json::array({{"a", 1}}).dump(), R"([["a",1]])");
  EXPECT_EQ(Json({{"a", 1}, 2}).dump(), R"([["a",1],2])");
  EXPECT_THROW(Json::object({1, 2}), Json::exception);
}

TEST(JsonValue, ManyMembersAreFoundAfterInsertionAndErasure) {
  Json object;
  for (int i = 0; i < 3000; ++i) object["key " + std::to_string(i)] = i;
  for (int i = 0; i < 3000; i += 100) EXPECT_EQ(object.erase("key " + std::to_string(i)), 1u);
  EXPECT_EQ(object.size(), 2970u);
  for (int i = 0; i < 3000; ++i) {
    const auto found = std::as_const(object).find("key " + std::to_string(i));
    ASSERT_EQ(found == std::as_const(object).end(), i % 100 == 0);
    if (i % 100 != 0) {
      ASSERT_EQ(found->get<int>(), i);
    }
  }
  EXPECT_FALSE(object.emplace("key 1", 0).second);
  EXPECT_EQ(object["key 1"], 1);
}

TEST(JsonValue, OtherTypesAndPlacesAreErrors) {
  const Json value = Json::parse(R"({"text":"x","list":[1,2],"number":1e300})");
  EXPECT_THROW(value["text"].get<int>(), Json::exception);
  EXPECT_THROW(value["list"].get<std::string>(), Json::exception);
  EXPECT_THROW(value.at("none"), Json::exception);
  EXPECT_THROW(value["list"].at(2), Json::exception);
  EXPECT_THROW(value["text"]["x"], Json::exception);
  EXPECT_TRUE(value["none"].is_null());
  EXPECT_EQ(value.value("none", 3), 3);
  EXPECT_EQ(value["number"].get<int64_t>(), INT64_MAX);
  EXPECT_TRUE(std::isinf(value["number"].get<float>()));
  EXPECT_EQ((value["list"].get<std::pair<int, double>>()), (std::pair<int, double>(1, 2.0)));
  EXPECT_THROW(Json::parse(std::string(1001, '[') + std::string(1001, ']')), Json::parse_error);
}

}  // namespace
}  // namespace mynah
