// mynah tokenize: one JSON object for each line of standard input.
#include <sstream>

#include "program.h"

namespace mynah::e2e {
namespace {

class Tokenize : public Sandbox {
 protected:
  const std::string model_ = golden("gguf_llama_f32").string();
  std::vector<Json> objects(const std::vector<std::string>& more, const std::string& input) const {
    std::vector<std::string> words = {"tokenize", model_};
    words.insert(words.end(), more.begin(), more.end());
    std::vector<Json> all;
    for (const std::string& line : run_well(words, input).lines()) all.push_back(Json::parse(line));
    return all;
  }
};

TEST_F(Tokenize, EncodesEachLine) {
  const auto all = objects({}, "Hello\n\nh\xC3\xA4, 12\n");
  ASSERT_EQ(all.size(), 3u);
  for (const Json& object : all) {
    for (const char* key : {"ids", "tokens", "offsets", "type_ids"}) ASSERT_TRUE(object.contains(key)) << key;
    EXPECT_EQ(object["ids"].size(), object["tokens"].size());
    EXPECT_EQ(object["ids"].size(), object["offsets"].size());
    EXPECT_EQ(object["ids"].size(), object["type_ids"].size());
  }
  // Offsets count characters, and the last token ends where the line ends.
  EXPECT_EQ(all[2]["offsets"].back()[1], 6);
}

TEST_F(Tokenize, DecodesWhatItEncoded) {
  const std::string text = "Hello  w\xC3\xB6rld, 12";
  const auto ids = objects({"--no-special-tokens"}, text + "\n").at(0)["ids"];
  EXPECT_EQ(objects({"--decode"}, ids.dump() + "\n").at(0)["text"], text);
  EXPECT_EQ(objects({"--decode", "--no-special-tokens"}, ids.dump() + "\n").at(0), Json({{"text", text}}));
}

TEST_F(Tokenize, ReadsAJsonStringAsOne) {
  const auto all = objects({"--no-special-tokens"}, "\"a\\nb\"\n\"a\n");
  EXPECT_EQ(all.at(0)["ids"].size(), 3u);
  EXPECT_EQ(objects({"--decode"}, all.at(0)["ids"].dump()).at(0)["text"], "a\nb");
  EXPECT_EQ(objects({"--decode"}, all.at(1)["ids"].dump()).at(0)["text"], "\"a");
}

TEST_F(Tokenize, EncodesPairs) {
  const Json pair = objects({"--pair"}, "[\"ab\", \"cd\"]\n").at(0);
  EXPECT_EQ(pair["type_ids"].back(), 1);
  EXPECT_EQ(pair["type_ids"].front(), 0);
}

// Lines are worked on side by side, in blocks of 256 KB, the end of the first of which cuts the long line here; what comes out is the same and in order.
TEST_F(Tokenize, GivesTheSameForAnyNumberOfThreads) {
  std::string input;
  for (int i = 0; i < 3000; ++i) input += std::string(static_cast<size_t>(i % 97), 'a') + " line " + std::to_string(i) + "\n";
  input += std::string(120000, 'b') + "\nno end";
  set_environment("MYNAH_THREADS", "1");
  const std::string one = run_well({"tokenize", model_}, input).out;
  set_environment("MYNAH_THREADS", "3");
  EXPECT_EQ(run_well({"tokenize", model_}, input).out, one);
  std::vector<std::string> objects;
  std::istringstream lines(one);
  for (std::string line; std::getline(lines, line);) objects.push_back(line);
  ASSERT_EQ(objects.size(), 3002u);
  const auto end = [&](size_t i) { return Json::parse(objects[i])["offsets"].back()[1].get<size_t>(); };
  for (const size_t i : {0u, 1u, 2999u}) EXPECT_EQ(end(i), (std::string(i % 97, 'a') + " line " + std::to_string(i)).size()) << i;
  EXPECT_EQ(end(3000), 120000u);
  EXPECT_EQ(end(3001), 6u);
}

TEST_F(Tokenize, AnswersWhatStandsBeforeALineThatFails) {
  std::string input;
  for (int i = 0; i < 40; ++i) input += "[1]\n";
  const Result result = run({"tokenize", model_, "--decode"}, input + "nothing\n[1]\n");
  EXPECT_NE(result.code, 0);
  EXPECT_EQ(result.lines().size(), 40u);
  EXPECT_NE(result.err.find("line 41"), std::string::npos) << result.err;
}

TEST_F(Tokenize, GivesNothingForNoInput) { EXPECT_EQ(run_well({"tokenize", model_}).out, ""); }

TEST_F(Tokenize, RefusesWhatItCannotDo) {
  expect_refused({"tokenize", model_, "--chat"}, {1}, {"chat template"}, "[{\"role\":\"user\",\"content\":\"Hi\"}]\n");
  expect_refused({"tokenize", model_, "--decode"}, {1, 2}, {"line 1"}, "1 2 3\n");
  expect_refused({"tokenize", model_, "--decode"}, {1, 2}, {"\"a\""}, "[\"a\"]\n");
  expect_refused({"tokenize", model_, "--decode"}, {1, 2}, {"99999999999"}, "[99999999999]\n");
  expect_refused({"tokenize", model_, "--pair"}, {1, 2}, {"two strings"}, "[\"a\"]\n");
  expect_refused({"tokenize", golden("llama_base").string()}, {1}, {"tokenizer"}, "a\n");
  expect_refused({"tokenize", model_, "--tools", file("no.json").string()}, {1, 2, 3}, {"no.json"}, "a\n");
}

// The id that stands behind the words of a chat: the folder made from a GGUF file with a template renders as the file
// does.
TEST_F(Tokenize, RendersAChatTemplateOfAFolder) {
  run_well({"convert", model_, file("folder").string()});
  Json config = Json::parse(read_file(file("folder") / "tokenizer_config.json"));
  config["chat_template"] =
      "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% "
      "endif %}";
  write_file(file("folder") / "tokenizer_config.json", config.dump());
  const std::string input = "[{\"role\":\"user\",\"content\":\"Hi\"}]\n";
  const Json with = Json::parse(run_well({"tokenize", file("folder").string(), "--chat"}, input).out);
  EXPECT_EQ(with["text"], "<user>Hi<assistant>");
  const Json without =
      Json::parse(run_well({"tokenize", file("folder").string(), "--chat", "--no-generation-prompt"}, input).out);
  EXPECT_EQ(without["text"], "<user>Hi");
  EXPECT_LT(without["ids"].size(), with["ids"].size());
}

}  // namespace
}  // namespace mynah::e2e
