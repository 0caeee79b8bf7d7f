// Conversations with recordings: when answers are given, who interrupts whom, timers, what stays in the conversation. What is heard and
// how long a sentence takes are the test's own.
#include "assistant/recorded.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "mynah/json.h"

namespace mynah::assistant {
namespace {

constexpr int64_t kRate = 16000;

void add_voice(std::vector<float>* sound, double silence, double seconds) {
  sound->insert(sound->end(), static_cast<size_t>(silence * kRate), 0.0f);
  for (int i = 0; i < static_cast<int>(seconds * kRate); ++i) {
    const double t = static_cast<double>(i) / kRate;
    double sum = 0;
    for (int k = 1; k < 28; ++k) sum += std::exp(-k / 8.0) * std::sin(2 * std::numbers::pi * 130 * k * t + k);
    sound->push_back(static_cast<float>(0.1 * sum * (0.5 - 0.5 * std::cos(25 * t))));
  }
}

class Recordings : public testing::Test {
 protected:
  // Voices of 1.2 seconds after these pauses, each heard as one of the texts; a sentence takes `sentence` seconds.
  std::vector<Turn> converse_with(const std::vector<double>& pauses, const std::vector<std::string>& texts, double sentence, double tail = 1) {
    media::Sound recording{kRate, {}};
    for (const double pause : pauses) add_voice(&recording.samples, pause, 1.2);
    recording.samples.insert(recording.samples.end(), static_cast<size_t>(tail * kRate), 0.0f);
    size_t next = 0;
    std::vector<Turn> turns;
    const Hear hear = [&](const media::Sound& s) {
      EXPECT_NEAR(static_cast<double>(s.samples.size()) / kRate, 1.6, 0.35);
      return next < texts.size() ? texts[next++] : "";
    };
    const Speak speak = [&](const std::string&) { return media::Sound{8000, std::vector<float>(static_cast<size_t>(8000 * sentence), 0.5f)}; };
    result_ = converse(recording, {}, hear, speak, assistant_, tools_, [&](const Turn& turn) { turns.push_back(turn); });
    return turns;
  }

  const Model model_ = Model::open(std::string(MYNAH_TEST_DATA) + "/golden/models/gguf_llama_f32/model.gguf");
  Toolbox tools_{ToolSettings{"/dev/null/none", 0, {}}};
  GenerationConfig settings_ = generation_defaults(model_);
  Assistant assistant_{model_, settings_, tools_};
  Recorded result_;
};

TEST_F(Recordings, AnswersComeAfterThePause) {
  const auto turns = converse_with({0.5, 4}, {"What is two plus two?", "What is 3 times 3?"}, 1.5);
  ASSERT_EQ(turns.size(), 2u);
  EXPECT_EQ(turns[0].reply.sentences, std::vector<std::string>{"That is 4."});
  EXPECT_NEAR(turns[0].spoken_from, 0.5 + 1.2 + 0.6, 0.25);
  EXPECT_NEAR(turns[0].spoken_to - turns[0].spoken_from, 1.5, 1e-6);
  EXPECT_FALSE(turns[0].interrupted);
  EXPECT_EQ(turns[1].reply.tools.at(0).name, "calculate");
  EXPECT_EQ(result_.turns, 2u);
  // The answers lie where they were given.
  EXPECT_EQ(result_.answers.rate, 8000);
  const auto at = [&](double seconds) { return result_.answers.samples.at(static_cast<size_t>(seconds * 8000)); };
  EXPECT_EQ(at(turns[0].spoken_from - 0.1), 0.0f);
  EXPECT_EQ(at(turns[0].spoken_from + 0.1), 0.5f);
  EXPECT_EQ(at(turns[0].spoken_to + 0.1), 0.0f);
}

TEST_F(Recordings, WhoeverSpeaksInterrupts) {
  const auto turns = converse_with({0.5, 2}, {"What is two plus two?", "What is 3 times 3?"}, 5);
  ASSERT_EQ(turns.size(), 2u);
  EXPECT_TRUE(turns[0].interrupted);
  EXPECT_NEAR(turns[0].spoken_to, 0.5 + 1.2 + 2, 0.25);
  EXPECT_EQ(turns[0].sentences_heard, 1u);
  EXPECT_FALSE(turns[1].interrupted);
  EXPECT_EQ(turn_json(turns[0])["answer"]["interrupted"], true);
}

TEST_F(Recordings, NoiseWithoutWordsIsNoTurn) {
  const auto turns = converse_with({0.5, 3}, {"", "What is 3 times 3?"}, 1);
  ASSERT_EQ(turns.size(), 1u);
  EXPECT_EQ(turns[0].heard, "What is 3 times 3?");
  EXPECT_EQ(result_.turns, 1u);
}

TEST_F(Recordings, TimersRingWhenTheyEnd) {
  const auto turns = converse_with({0.5, 6}, {"Set a timer for three seconds.", "What is 3 times 3?"}, 1, 2);
  ASSERT_EQ(turns.size(), 3u);
  EXPECT_TRUE(turns[1].heard.empty());
  EXPECT_EQ(turns[1].reply.sentences, std::vector<std::string>{"Your timer of 3 seconds is over."});
  EXPECT_NEAR(turns[1].spoken_from, 0.5 + 1.2 + 0.6 + 3, 0.3);
  EXPECT_FALSE(turn_json(turns[1]).contains("heard"));
  EXPECT_TRUE(tools_.timers().running().empty());
}

TEST_F(Recordings, GoodbyeEndsIt) {
  const auto turns = converse_with({0.5, 3, 3}, {"What is 3 times 3?", "Goodbye.", "What is 3 times 3?"}, 1);
  ASSERT_EQ(turns.size(), 2u);
  EXPECT_TRUE(result_.goodbye);
}

TEST_F(Recordings, OnlyWhatWasHeardIsRepeated) {
  // Of an answer that was cut off before its first word nothing remains.
  assistant_.answer("What is two plus two?", [](const std::string&) { return false; });
  assistant_.heard_only(0);
  std::vector<std::string> again;
  assistant_.answer("Say that again.", [&](const std::string& s) {
    again.push_back(s);
    return true;
  });
  EXPECT_TRUE(again.empty());
  assistant_.answer("What is two plus two?", [](const std::string&) { return true; });
  assistant_.answer("Say that again.", [&](const std::string& s) {
    again.push_back(s);
    return true;
  });
  EXPECT_EQ(again, std::vector<std::string>{"That is 4."});
}

}  // namespace
}  // namespace mynah::assistant
