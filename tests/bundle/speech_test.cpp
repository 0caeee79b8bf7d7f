// Texts cut into sentences and clauses for speech, a Piper voice with letters for phonemes, and espeak-ng where it is
// installed.
#include "bundle/speech.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/process.h"
#include "bundle/phonemes.h"
#include "bundle/piper.h"
#include "mynah/error.h"

namespace mynah::bundle {
namespace {

namespace fs = std::filesystem;

const fs::path kVoice = fs::path(MYNAH_TEST_DATA) / "golden/models/piper_voice";

TEST(Sentences, EndBeforeASpaceAndNotInNumbersOrNames) {
  using Texts = std::vector<std::string>;
  EXPECT_EQ(sentences_of("One. Two! \"Three?\" Four"), (Texts{"One.", "Two!", "\"Three?\"", "Four"}));
  EXPECT_EQ(sentences_of("Dr. Smith paid 3.50 to J. Doe."), (Texts{"Dr. Smith paid 3.50 to J. Doe."}));
  EXPECT_EQ(sentences_of("No end\n\nhere\nand there"), (Texts{"No end", "here\nand there"}));
  EXPECT_EQ(sentences_of("  \n "), Texts());
  EXPECT_EQ(sentences_of("\u597D\u3002\u597D\u3002"), (Texts{"\u597D\u3002", "\u597D\u3002"}));
}

TEST(Clauses, KeepTheMarkThatEndsThem) {
  std::string all;
  for (const Clause& c : clauses_of("Well, he said: (really) 1,000 - no... Yes?!"))
    all += "[" + c.text + "|" + c.mark + "]";
  EXPECT_EQ(all, "[Well|,][he said|:][really|][1,000 - no|.][Yes|?]");
}

TEST(Speech, APiperVoiceSpellsLettersBetweenBlanks) {
  const auto b = open(kVoice, {});
  const Speech speech(*b);
  EXPECT_EQ(speech.sampling_rate(), 8000);
  EXPECT_EQ(speech.tokens("bad"), (std::vector<int32_t>{1, 0, 5, 0, 4, 0, 7, 0, 2}));
  EXPECT_TRUE(speech.tokens("123").empty());
  EXPECT_EQ(speech.speaker("ben"), 1);
  EXPECT_EQ(speech.speaker("2"), 2);
  EXPECT_THROW(speech.speaker("dora"), Error);
  // Sentence by sentence, with a pause between them; the second is heard as it would be alone.
  const auto one = speech.say("bad", {}), two = speech.say("bad. cab", {});
  EXPECT_GT(two.size(), one.size() + 1600);
  size_t calls = 0;
  speech.say("bad. cab. a", {}, true, [&](std::span<const float>) { return ++calls < 2; });
  EXPECT_EQ(calls, 2u);
  EXPECT_THROW(speech.say("123", {}), Error);
}

TEST(Piper, TheFileAndItsFolderAreTheVoice) {
  EXPECT_EQ(piper_voice(kVoice), kVoice / "voice.onnx");
  EXPECT_EQ(piper_voice(kVoice / "voice.onnx"), kVoice / "voice.onnx");
  EXPECT_FALSE(piper_voice(kVoice / "voice.onnx.json"));
  EXPECT_EQ(open(kVoice / "voice.onnx", {})->config["num_speakers"], 3);
}

TEST(Piper, DamagedFilesAreRefused) {
  const fs::path folder = fs::path(testing::TempDir()) / ("mynah_piper_" + std::to_string(getpid()));
  fs::create_directories(folder);
  fs::copy(kVoice / "voice.onnx.json", folder / "v.onnx.json", fs::copy_options::overwrite_existing);
  std::ifstream in(kVoice / "voice.onnx", std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(in), {}};
  for (const size_t size : {size_t{0}, size_t{10}, bytes.size() / 3, bytes.size() - 1}) {
    std::ofstream(folder / "v.onnx", std::ios::binary) << bytes.substr(0, size);
    EXPECT_THROW(open(folder, {}), Error) << size;
  }
  std::ofstream(folder / "v.onnx", std::ios::binary) << bytes;
  for (const char* json : {"{}", "[]", "{\"phoneme_id_map\": {\"a\": [1]}, \"inference\": {\"length_scale\": 0}}",
                           "{\"phoneme_id_map\": {\"a\": [1]}, \"audio\": {\"sample_rate\": \"x\"}}"}) {
    std::ofstream(folder / "v.onnx.json") << json;
    EXPECT_THROW(open(folder, {}), Error) << json;
  }
  fs::remove_all(folder);
}

TEST(Phonemes, ComeClauseByClause) {
  if (!find_program("espeak-ng")) GTEST_SKIP() << "espeak-ng is not installed";
  const auto spoken = phonemes_of("en-us", {"hello", "", "Dr. Smith", "-v"});
  ASSERT_EQ(spoken.size(), 4u);
  EXPECT_NE(spoken[0].find("h"), std::string::npos);
  EXPECT_EQ(spoken[1], "");
  EXPECT_EQ(spoken[2].find('\n'), std::string::npos);
  EXPECT_THROW(phonemes_of("qq-none", {"a"}), Error);
  EXPECT_THROW(phonemes_of("-q", {"a"}), Error);
  EXPECT_NE(phonemes_with_punctuation("en-us", "Well, yes.").find(", "), std::string::npos);
}

}  // namespace
}  // namespace mynah::bundle
