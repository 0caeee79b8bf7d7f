// text-to-audio gives the samples of the reference's pipeline, and what is not meant is refused.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "base/json.h"
#include "mynah/error.h"
#include "mynah/pipeline.h"

namespace mynah {
namespace {

const std::filesystem::path kVoice = std::filesystem::path(MYNAH_TEST_DATA) / "golden/tasks/vits";

void expect_like(const Json& got, const Json& expected) {
  EXPECT_EQ(got["sampling_rate"], expected["sampling_rate"]);
  ASSERT_EQ(got["audio"].size(), 1u);
  const auto a = got["audio"][0].get<std::vector<float>>(), b = expected["audio"][0].get<std::vector<float>>();
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-3f) << "sample " << i;
}

TEST(TextToAudio, SamplesOfTheReference) {
  const Pipeline speak = pipeline("text-to-speech", kVoice.string());
  for (const Json& c : read_json_file(kVoice / "speech.json")) {
    const Json got = speak(c["inputs"], c["options"]);
    ASSERT_EQ(got.is_array(), c["output"].is_array());
    if (!got.is_array()) expect_like(got, c["output"]);
    for (size_t i = 0; got.is_array() && i < c["output"].size(); ++i) expect_like(got.at(i), c["output"][i]);
  }
}

TEST(TextToAudio, SettingsChangeTheSound) {
  const Pipeline speak = pipeline("text-to-audio", kVoice.string());
  const auto samples = [&](const Json& options) {
    return speak("The bird sings", options)["audio"][0].get<std::vector<float>>();
  };
  const auto plain = samples(Json::object());
  EXPECT_GT(samples({{"speaking_rate", 0.5}}).size(), plain.size());
  const auto noisy = samples({{"noise_scale", 0.7}, {"seed", 3}});
  EXPECT_EQ(noisy.size(), plain.size());
  EXPECT_NE(noisy, plain);
  EXPECT_EQ(noisy, samples({{"noise_scale", 0.7}, {"seed", 3}}));
  EXPECT_NE(noisy, samples({{"noise_scale", 0.7}, {"seed", 4}}));
}

TEST(TextToAudio, RefusesWhatCannotBeMeant) {
  const Pipeline speak = pipeline("text-to-audio", kVoice.string());
  EXPECT_THROW(speak("", Json::object()), Error);
  EXPECT_THROW(speak("!?", Json::object()), Error);
  EXPECT_THROW(speak("a", {{"speaker_id", "7"}}), Error);
  EXPECT_THROW(speak("a", {{"speaking_rate", 0}}), Error);
  EXPECT_THROW(speak("a", {{"forward_params", {{"speed", 1}}}}), Error);
  EXPECT_THROW(speak("a", {{"speaker_embeddings", {1, 2}}}), Error);
}

}  // namespace
}  // namespace mynah
