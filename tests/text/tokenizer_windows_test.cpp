// Truncation, overflow windows, padding and texts cut into words, against the reference's encodings.
#include <gtest/gtest.h>

#include <fstream>
#include <map>

#include "mynah/error.h"
#include "base/json.h"
#include "mynah/tokenizer.h"

using namespace mynah;
using json = mynah::Json;

namespace {

using Texts = std::vector<std::string>;

json as_json(const Encoding& e) {
  return {{"ids", e.ids},
          {"offsets", e.offsets},
          {"type_ids", e.type_ids},
          {"word_ids", e.word_ids},
          {"sequence_ids", e.sequence_ids},
          {"special_tokens_mask", e.special_tokens_mask},
          {"attention_mask", e.attention_mask}};
}

json as_json(const std::vector<Encoding>& list) {
  json all = json::array();
  for (const Encoding& e : list) all.push_back(as_json(e));
  return all;
}

EncodeOptions options_of(const json& row) {
  EncodeOptions options;
  options.add_special_tokens = row.at("add_special_tokens");
  options.truncation = std::map<std::string, Truncation>{{"longest_first", Truncation::longest_first},
                                                         {"only_first", Truncation::only_first},
                                                         {"only_second", Truncation::only_second}}
                           .at(row.at("strategy"));
  options.max_length = row.at("max_length").get<int64_t>();
  options.stride = row.at("stride");
  options.truncation_side = row.at("side") == "left" ? Side::left : Side::right;
  return options;
}

std::vector<Encoding> truncated(const Tokenizer& tokenizer, const json& row) {
  const auto texts = row.at("texts").get<Texts>();
  return texts.size() == 1 ? tokenizer.encode_windows(texts[0], options_of(row))
                           : tokenizer.encode_windows(texts[0], texts[1], options_of(row));
}

std::vector<Encoding> padded(const Tokenizer& tokenizer, const json& row) {
  std::vector<Encoding> all;
  for (const std::string& text : row.at("batch").get<Texts>()) all.push_back(tokenizer.encode(text));
  tokenizer.pad(all, {.multiple_of = row.at("multiple_of").get<int64_t>(),
                      .side = row.at("side") == "left" ? Side::left : Side::right,
                      .id = 3});
  return all;
}

std::vector<Encoding> of_words(const Tokenizer& tokenizer, const json& row) {
  const auto words = row.at("words").get<std::vector<Texts>>();
  return words.size() == 1 ? tokenizer.encode_words(words[0]) : tokenizer.encode_words(words[0], words[1]);
}

TEST(TokenizerWindows, MatchTheReference) {
  const std::string folder = std::string(MYNAH_TEST_DATA) + "/golden/tokenizers/";
  std::map<std::string, std::shared_ptr<const Tokenizer>> tokenizers;
  for (const json& row : read_json_file(folder + "windows.json")) {
    auto& tokenizer = tokenizers[row.at("tokenizer")];
    if (!tokenizer) tokenizer = Tokenizer::from_folder(folder + row.at("tokenizer").get<std::string>());
    SCOPED_TRACE(row.dump().substr(0, 300));
    if (row.at("windows").is_null()) {
      EXPECT_THROW(truncated(*tokenizer, row), Error);
      continue;
    }
    const json got = as_json(row.contains("texts")   ? truncated(*tokenizer, row)
                             : row.contains("batch") ? padded(*tokenizer, row)
                                                     : of_words(*tokenizer, row));
    ASSERT_EQ(got.size(), row.at("windows").size());
    for (size_t i = 0; i < got.size(); ++i)
      for (const auto& [field, values] : row.at("windows")[i].items()) EXPECT_EQ(got[i][field], values) << i << field;
  }
}

TEST(TokenizerWindows, ALimitBelowTheAddedTokensIsRefused) {
  const auto tokenizer = Tokenizer::from_folder(std::string(MYNAH_TEST_DATA) + "/golden/tokenizers/word_piece");
  EXPECT_EQ(tokenizer->added_token_count(false), 2);
  EXPECT_EQ(tokenizer->added_token_count(true), 3);
  EncodeOptions options{.truncation = Truncation::longest_first, .max_length = 1};
  EXPECT_THROW(tokenizer->encode_windows("a b c", options), Error);
  options.max_length = 2;
  const auto windows = tokenizer->encode_windows("a b c", options);
  EXPECT_EQ(windows.at(0).ids.size(), 2u);
}

}  // namespace
