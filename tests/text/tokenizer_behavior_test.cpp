// What users of a tokenizer rely on beyond equal ids: hostile input, streams, threads, files.
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/unicode.h"
#include "mynah/error.h"
#include "mynah/tokenizer.h"

using namespace mynah;

namespace {

std::string golden(const std::string& name) { return std::string(MYNAH_TEST_DATA) + "/golden/tokenizers/" + name; }

const std::string kReplacement = "\xEF\xBF\xBD";

TEST(Tokenizer, ReadsInvalidBytesAsReplacementCharacters) {
  const auto tokenizer = Tokenizer::from_folder(golden("byte_level"));
  EXPECT_EQ(tokenizer->encode_ids("a\xFF"
                                  "b\xE2\x82"),
            tokenizer->encode_ids("a" + kReplacement + "b" + kReplacement));
  const Encoding e = tokenizer->encode("\xFF\xFE z", false);
  EXPECT_EQ(e.offsets.back(), (std::pair<int64_t, int64_t>(3, 4))) << "each invalid sequence is one character";
}

TEST(Tokenizer, DecodesHalfCharactersAsReplacement) {
  const auto tokenizer = Tokenizer::from_folder(golden("byte_level"));
  auto ids = tokenizer->encode_ids("\xF0\x9F\x98\x80", false);
  ASSERT_GE(ids.size(), 2u);
  ids.pop_back();
  EXPECT_EQ(tokenizer->decode(ids), kReplacement);
}

TEST(StreamDecoder, HoldsCharactersUntilTheyAreWhole) {
  for (const char* name : {"byte_level", "spaces"}) {
    const auto tokenizer = Tokenizer::from_folder(golden(name));
    const std::string text = "a \xF0\x9F\x98\x80\xE6\x97\xA5 z";
    StreamDecoder stream(tokenizer, false);
    std::string all;
    for (const int32_t id : tokenizer->encode_ids(text, false)) {
      const std::string piece = stream.push(id);
      EXPECT_TRUE(unicode::is_valid(piece));
      EXPECT_EQ(piece.find(kReplacement), std::string::npos);
      all += piece;
    }
    EXPECT_EQ(all, text) << name;
    EXPECT_EQ(stream.flush(), "");
  }
}

TEST(StreamDecoder, FlushGivesTheUnfinishedRestAndStartsAnew) {
  const auto tokenizer = Tokenizer::from_folder(golden("byte_level"));
  const auto ids = tokenizer->encode_ids("\xF0\x9F\x98\x80", false);
  StreamDecoder stream(tokenizer);
  EXPECT_EQ(stream.push(ids[0]), "");
  EXPECT_EQ(stream.flush(), kReplacement);
  std::string text;
  for (const int32_t id : ids) text += stream.push(id);
  EXPECT_EQ(text, "\xF0\x9F\x98\x80");
}

TEST(Tokenizer, LongWordsTakeNearLinearTime) {
  for (const char* name : {"byte_level", "spaces"}) {
    const auto tokenizer = Tokenizer::from_folder(golden(name));
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_GT(tokenizer->encode_ids(std::string(1 << 20, 'a')).size(), 1000u);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20)) << name;
  }
}

TEST(Tokenizer, ThreadsShareOne) {
  const auto tokenizer = Tokenizer::from_folder(golden("split"));
  const std::string text = "The birds don't forget 1234567 \xE6\x97\xA5\xE6\x9C\xAC words of the world";
  const auto want = tokenizer->encode_ids(text);
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (size_t t = 0; t < wrong.size(); ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 300; ++i)
        if (tokenizer->encode_ids(text) != want || tokenizer->encode(text).ids != want) ++wrong[t];
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

TEST(Tokenizer, RefusesWhatIsNotOne) {
  for (
      const char* json :
      {"", "[]", "{}", "{\"model\":{}}", R"({"model":{"type":"BPE","vocab":{"a":-1},"merges":[]}})",
       R"({"model":{"type":"BPE","vocab":{"a":99999999999},"merges":[]}})",
       R"({"model":{"type":"BPE","vocab":{"a":0},"merges":["a b"]}})",
       R"({"model":{"type":"BPE","vocab":{"a":0},"merges":["a"]}})",
       R"({"model":{"type":"BPE","vocab":{"a":0},"merges":[],"unk_token":"x"}})", R"({"model":{"type":"Oracle"}})",
       R"({"model":{"type":"BPE","vocab":{},"merges":[]},"normalizer":{"type":"Magic"}})",
       R"({"model":{"type":"BPE","vocab":{},"merges":[]},"pre_tokenizer":{"type":"Split","pattern":{"Regex":"("},"behavior":"Isolated"}})",
       R"({"model":{"type":"BPE","vocab":{},"merges":[]},"added_tokens":[{"id":-5,"content":"x"}]})"})
    EXPECT_THROW(Tokenizer::from_json(json), Error) << json;
  EXPECT_THROW(Tokenizer::from_folder("/nonexistent"), Error);
}

TEST(Tokenizer, ReadsTheFilesOfAFolder) {
  namespace fs = std::filesystem;
  const fs::path folder = fs::temp_directory_path() / ("mynah_tokenizer_test_" + std::to_string(::getpid()));
  fs::create_directories(folder);
  const auto write = [&](const char* name, const std::string& text) { std::ofstream(folder / name) << text; };
  write("vocab.json", R"({"a": 0, "b": 1, "ab": 2, "\u0120": 3, "<|end|>": 4})");
  write("merges.txt", "#version: 0.2\na b\n");
  write(
      "tokenizer_config.json",
      R"({"eos_token": {"content": "<|end|>", "lstrip": false}, "pad_token": "[PAD]", "model_max_length": 1024, "padding_side": "left",
            "chat_template": [{"name": "default", "template": "T"}, {"name": "tool_use", "template": "U"}], "clean_up_tokenization_spaces": true})");
  const auto tokenizer = Tokenizer::from_folder(folder);
  EXPECT_EQ(tokenizer->encode_ids("ab a<|end|>[PAD]"), (std::vector<int32_t>{2, 3, 0, 4, 5}));
  EXPECT_EQ(tokenizer->eos_id(), 4);
  EXPECT_EQ(tokenizer->pad_id(), 5) << "a special token that the vocabulary lacks gets the next id";
  EXPECT_EQ(tokenizer->bos_id(), std::nullopt);
  EXPECT_EQ(tokenizer->vocab_size(), 6);
  EXPECT_EQ(tokenizer->model_max_length(), 1024);
  EXPECT_EQ(tokenizer->padding_side(), "left");
  EXPECT_EQ(tokenizer->chat_template(), "T");
  EXPECT_EQ(tokenizer->chat_template("tool_use"), "U");
  EXPECT_EQ(tokenizer->decode(std::vector<int32_t>{2, 4}), "ab");
  EXPECT_EQ(tokenizer->token_text(2), "ab");
  EXPECT_EQ(tokenizer->token_id("ab"), 2);
  EXPECT_THROW(tokenizer->token_text(6), Error);
  fs::remove_all(folder);
}

TEST(TokenizerGguf, RefusesDamagedVocabularies) {
  GgufVocabulary v;
  v.model = "gpt2";
  EXPECT_THROW(Tokenizer::from_gguf(v), Error) << "no tokens";
  v.tokens = {"a", "b", "ab"};
  v.model = "oracle";
  EXPECT_THROW(Tokenizer::from_gguf(v), Error);
  v.model = "llama";
  EXPECT_THROW(Tokenizer::from_gguf(v), Error) << "no scores";
  v.model = "gpt2";
  v.merges = {"x y", "nospace"};
  EXPECT_THROW(Tokenizer::from_gguf(v), Error) << "merges of another vocabulary";
  v.merges = {"a b"};
  v.tokens.push_back("\xFF\xFE");
  v.types = {1, 1, 1, 3};
  v.bos_id = 77;
  v.eos_id = -5;
  const auto tokenizer = Tokenizer::from_gguf(v);
  EXPECT_EQ(tokenizer->encode_ids("ab"), std::vector<int32_t>{2});
  EXPECT_EQ(tokenizer->bos_id(), std::nullopt);
  EXPECT_TRUE(unicode::is_valid(tokenizer->decode(std::vector<int32_t>{3, -1, 99}, false)));
}

}  // namespace
