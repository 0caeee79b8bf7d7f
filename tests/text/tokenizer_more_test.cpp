// Cutting between scripts, tiktoken files and GGUF's unigrams, against the libraries they come from.
#include <gtest/gtest.h>

#include <fstream>

#include "base/json.h"
#include "mynah/tokenizer.h"
#include "text/base64.h"
#include "text/pre_tokenizer.h"

using namespace mynah;
using json = mynah::Json;

namespace {

std::string folder() { return std::string(MYNAH_TEST_DATA) + "/golden/tokenizers/"; }

const json& more_cases() {
  static const json file = read_json_file(folder() + "more.json");
  return file;
}

TEST(TokenizerMore, CutsBetweenScripts) {
  const auto scripts = text::make_pre_tokenizer({{"type", "UnicodeScripts"}});
  for (const json& row : more_cases().at("scripts")) {
    const std::string input = row.at("text");
    text::Pieces pieces;
    pieces.reset(input, false);
    scripts->apply(pieces);
    std::vector<std::string> got, want;
    for (const text::Piece& piece : pieces.list()) got.emplace_back(pieces.text(piece));
    for (const json& word : row.at("words")) want.push_back(word[0]);
    EXPECT_EQ(got, want) << row.dump();
  }
}

TEST(TokenizerMore, ReadsTiktokenFiles) {
  const auto tokenizer = Tokenizer::from_folder(folder() + "small.tiktoken");
  for (const json& row : more_cases().at("tiktoken")) {
    const auto ids = row.at("ids").get<std::vector<int32_t>>();
    EXPECT_EQ(tokenizer->encode_ids(row.at("text").get<std::string>()), ids) << row.dump();
    EXPECT_EQ(tokenizer->decode(ids), row.at("text"));
  }
}

TEST(TokenizerMore, GgufUnigramsMatchTheLibrary) {
  const json& file = more_cases().at("unigram");
  const auto tokens = file.at("tokens").get<std::vector<std::string>>();
  GgufVocabulary vocabulary;
  vocabulary.model = "t5";
  vocabulary.tokens.assign(tokens.begin(), tokens.end());
  vocabulary.scores = file.at("scores").get<std::vector<float>>();
  vocabulary.types = file.at("types").get<std::vector<int32_t>>();
  vocabulary.charsmap = *text::decode_base64(file.at("charsmap").get<std::string>());
  vocabulary.unk_id = 3;
  vocabulary.eos_id = 1;
  const auto tokenizer = Tokenizer::from_gguf(vocabulary);
  for (const json& row : file.at("cases")) {
    auto ids = row.at("ids").get<std::vector<int32_t>>();
    const std::string text = row.at("text");
    EXPECT_EQ(tokenizer->encode_ids(text, false), ids) << row.dump();
    EXPECT_EQ(tokenizer->encode(text, false).ids, ids) << row.dump();
    ids.push_back(1);
    EXPECT_EQ(tokenizer->encode_ids(text), ids) << "the end of the text is the default";
  }
}

}  // namespace
