// Tokenizers against the encodings of the reference implementations: ids, tokens, offsets and decoded texts are equal.
#include <gtest/gtest.h>

#include <fstream>

#include "base/json.h"
#include "mynah/tokenizer.h"

using namespace mynah;
using json = mynah::Json;

namespace {

std::string golden_path(const std::string& name) { return std::string(MYNAH_TEST_DATA) + "/golden/tokenizers/" + name; }

json read_json(const std::string& name) { return read_json_file(golden_path(name)); }

void expect_equal(const Encoding& got, const json& want) {
  EXPECT_EQ(got.ids, want.at("ids").get<std::vector<int32_t>>());
  EXPECT_EQ(got.tokens, want.at("tokens").get<std::vector<std::string>>());
  EXPECT_EQ(got.type_ids, want.at("type_ids").get<std::vector<int32_t>>());
  EXPECT_EQ(got.offsets, (want.at("offsets").get<std::vector<std::pair<int64_t, int64_t>>>()));
}

void expect_text(const Tokenizer& tokenizer, const json& row) {
  const std::string text = row.at("text");
  SCOPED_TRACE(row.dump());
  expect_equal(tokenizer.encode(text), row);
  EXPECT_EQ(tokenizer.encode_ids(text), row.at("ids").get<std::vector<int32_t>>());
  if (row.contains("plain_ids")) {
    EXPECT_EQ(tokenizer.encode_ids(text, false), row.at("plain_ids").get<std::vector<int32_t>>());
    EXPECT_EQ(tokenizer.encode(text, false).ids, row.at("plain_ids").get<std::vector<int32_t>>());
  }
}

std::string streamed(const std::shared_ptr<const Tokenizer>& tokenizer, const std::vector<int32_t>& ids, bool skip) {
  StreamDecoder decoder(tokenizer, skip);
  std::string text;
  for (const int32_t id : ids) text += decoder.push(id);
  return text + decoder.flush();
}

class TrainedTokenizer : public testing::TestWithParam<const char*> {};

TEST_P(TrainedTokenizer, EncodesAndDecodesAsTheReference) {
  const auto tokenizer = Tokenizer::from_folder(golden_path(GetParam()));
  const json cases = read_json(std::string(GetParam()) + "/cases.json");
  for (const json& row : cases.at("texts")) expect_text(*tokenizer, row);
  for (const json& row : cases.at("pairs")) {
    SCOPED_TRACE(row.dump());
    expect_equal(tokenizer->encode_pair(row["texts"][0].get<std::string>(), row["texts"][1].get<std::string>()), row);
  }
  for (const json& row : cases.at("decodings")) {
    SCOPED_TRACE(row.dump());
    const auto ids = row.at("ids").get<std::vector<int32_t>>();
    EXPECT_EQ(tokenizer->decode(ids, false), row.at("text"));
    EXPECT_EQ(tokenizer->decode(ids, true), row.at("skipped"));
  }
}

// A run of byte tokens that is not valid UTF-8 as a whole is the one thing that a stream cannot foresee.
TEST_P(TrainedTokenizer, StreamsWhatItDecodes) {
  const auto tokenizer = Tokenizer::from_folder(golden_path(GetParam()));
  const json cases = read_json(std::string(GetParam()) + "/cases.json");
  for (const json& row : cases.at("decodings")) {
    const std::string text = row.at("text"), skipped = row.at("skipped");
    if (std::string(GetParam()) == "spaces" && text.find("\xEF\xBF\xBD") != std::string::npos) continue;
    SCOPED_TRACE(row.dump());
    EXPECT_EQ(streamed(tokenizer, row.at("ids"), false), text);
    EXPECT_EQ(streamed(tokenizer, row.at("ids"), true), skipped);
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, TrainedTokenizer,
                         testing::Values("byte_level", "split", "spaces", "suffix", "word_piece", "word_level",
                                         "unigram"));

TEST(TokenizerComponents, EveryCombinationMatches) {
  const json golden_rows = read_json("components.json");
  for (const json& row : golden_rows.at("rows")) {
    json file = {{"model", golden_rows.at("model")}};
    for (const char* part : {"normalizer", "pre_tokenizer", "post_processor", "decoder", "added_tokens"})
      file[part] = row.at(part);
    const auto tokenizer = Tokenizer::from_json(file.dump());
    file.erase("model");
    SCOPED_TRACE(file.dump());
    for (const json& text : row.at("texts")) expect_text(*tokenizer, text);
    const json& pair = row.at("pair");
    expect_equal(tokenizer->encode_pair(pair["texts"][0].get<std::string>(), pair["texts"][1].get<std::string>()),
                 pair);
    EXPECT_EQ(tokenizer->decode(row["decoding"]["ids"].get<std::vector<int32_t>>()), row["decoding"]["text"]);
  }
}

TEST(TokenizerGguf, SentencePieceMatches) {
  const json file = read_json("sentencepiece.json");
  const auto tokens = file.at("tokens").get<std::vector<std::string>>();
  GgufVocabulary vocabulary;
  vocabulary.model = "llama";
  vocabulary.tokens.assign(tokens.begin(), tokens.end());
  vocabulary.scores = file.at("scores").get<std::vector<float>>();
  vocabulary.types = file.at("types").get<std::vector<int32_t>>();
  vocabulary.unk_id = 0;
  vocabulary.bos_id = 1;
  vocabulary.eos_id = 2;
  const auto tokenizer = Tokenizer::from_gguf(vocabulary);
  for (const json& row : file.at("cases")) {
    SCOPED_TRACE(row.dump());
    auto ids = row.at("ids").get<std::vector<int32_t>>();
    EXPECT_EQ(tokenizer->encode_ids(row.at("text").get<std::string>(), false), ids);
    EXPECT_EQ(tokenizer->encode(row.at("text").get<std::string>(), false).ids, ids);
    EXPECT_EQ(tokenizer->decode(ids), row.at("decoded"));
    ids.insert(ids.begin(), 1);
    EXPECT_EQ(tokenizer->encode_ids(row.at("text").get<std::string>()), ids) << "begin of sequence is the default";
  }
}

// The vocabulary of split/ as a GGUF file would hold it gives the ids of tokenizer.json.
TEST(TokenizerGguf, ByteLevelMatchesTokenizerJson) {
  const json file = read_json("split/tokenizer.json");
  std::vector<std::string> tokens(file["model"]["vocab"].size()), merges;
  for (const auto& [token, id] : file["model"]["vocab"].items()) tokens[id.get<size_t>()] = token;
  for (const json& merge : file["model"]["merges"])
    merges.push_back(merge[0].get<std::string>() + " " + merge[1].get<std::string>());
  GgufVocabulary vocabulary;
  vocabulary.model = "gpt2";
  vocabulary.pre = "llama-bpe";
  vocabulary.tokens.assign(tokens.begin(), tokens.end());
  vocabulary.merges.assign(merges.begin(), merges.end());
  vocabulary.types.assign(tokens.size(), 1);
  vocabulary.types[0] = vocabulary.types[1] = 3;
  vocabulary.bos_id = 0;
  vocabulary.chat_template = "{{ x }}";
  const auto tokenizer = Tokenizer::from_gguf(vocabulary);
  const json texts = read_json("split/cases.json");
  for (const json& row : texts.at("texts")) expect_text(*tokenizer, row);
  EXPECT_EQ(tokenizer->chat_template(), "{{ x }}");
  EXPECT_EQ(tokenizer->bos_id(), 0);
  EXPECT_TRUE(tokenizer->is_special(1));
  EXPECT_FALSE(tokenizer->is_special(2));
  EXPECT_GT(tokenizer->encode_ids("</s>", false, false).size(), 1u)
      << "plain text when control tokens are not asked for";
  EXPECT_EQ(tokenizer->encode_ids("</s>", false, true), std::vector<int32_t>{1});
}

}  // namespace
