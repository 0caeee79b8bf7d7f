// Voice activity: voices are found where they are, noise of many kinds is none, and the way sound is cut does not matter.
#include "media/voice_activity.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <random>

namespace mynah::media {
namespace {

constexpr int64_t kRate = 16000;

std::vector<float> noise(size_t n, double level, uint32_t seed = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0, level);
  std::vector<float> out(n);
  for (float& v : out) v = static_cast<float>(normal(random));
  return out;
}

// Something like a vowel: harmonics of a gliding pitch under two formants, in syllables.
std::vector<float> voice(double seconds, double level, double pitch) {
  std::vector<float> out(static_cast<size_t>(seconds * kRate));
  double phase = 0;
  for (size_t i = 0; i < out.size(); ++i) {
    const double t = static_cast<double>(i) / kRate, hz = pitch * (1 + 0.1 * std::sin(2 * std::numbers::pi * 0.7 * t));
    phase += 2 * std::numbers::pi * hz / kRate;
    double sum = 0;
    for (int k = 1; k * hz < 3800; ++k) {
      const double f = k * hz, first = (f - 600) / 250, second = (f - 1700) / 500;
      sum += (std::exp(-first * first) + 0.4 * std::exp(-second * second) + 0.02) * std::sin(k * phase);
    }
    const double syllable = 0.5 - 0.5 * std::cos(2 * std::numbers::pi * 4 * t);
    out[i] = static_cast<float>(level * sum * syllable);
  }
  return out;
}

void add(std::vector<float>& to, const std::vector<float>& what, double at) {
  const auto begin = static_cast<size_t>(at * kRate);
  for (size_t i = 0; i < what.size() && begin + i < to.size(); ++i) to[begin + i] += what[i];
}

double seconds(int64_t samples) { return static_cast<double>(samples) / kRate; }

TEST(VoiceActivity, FindsWhereSomebodySpeaks) {
  for (const double hiss : {0.0, 1e-4, 3e-3}) {
    std::vector<float> sound = noise(11 * kRate, hiss);
    add(sound, voice(1.5, 0.05, 120), 3.0);  // after two seconds the noise is known
    add(sound, voice(2.0, 0.05, 220), 7.0);
    const auto found = utterances({kRate, sound});
    ASSERT_EQ(found.size(), 2u) << hiss;
    EXPECT_NEAR(seconds(found[0].begin), 2.8, 0.25) << hiss;
    EXPECT_NEAR(seconds(found[0].end), 4.7, 0.25) << hiss;
    EXPECT_NEAR(seconds(found[1].begin), 6.8, 0.25) << hiss;
    EXPECT_NEAR(seconds(found[1].end), 9.2, 0.25) << hiss;
  }
}

TEST(VoiceActivity, HearsWhoSpeaksFromTheFirstSample) {
  const auto found = utterances({kRate, voice(1.5, 0.05, 150)});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_LT(seconds(found[0].begin), 0.1);
}

TEST(VoiceActivity, NoiseIsNobody) {
  const size_t n = 6 * kRate;
  EXPECT_TRUE(utterances({kRate, std::vector<float>(n)}).empty()) << "silence";
  for (const double level : {1e-3, 1e-2, 0.1, 0.3}) EXPECT_TRUE(utterances({kRate, noise(n, level)}).empty()) << level;
  std::vector<float> hum(n), beep = noise(n, 1e-4), clicks = noise(n, 1e-4), rush = noise(n, 1e-3), nan(n);
  for (size_t i = 0; i < n; ++i) {
    const double t = seconds(static_cast<int64_t>(i));
    hum[i] = static_cast<float>(0.1 * std::sin(2 * std::numbers::pi * 50 * t) + 0.05 * std::sin(2 * std::numbers::pi * 150 * t));
    if (t > 2 && t < 2.5) beep[i] += static_cast<float>(0.3 * std::sin(2 * std::numbers::pi * 880 * t));
    if (i % 3200 < 60) clicks[i] += i % 2 ? 0.5f : -0.5f;
    if (i % 7 == 0) nan[i] = std::nanf("");
  }
  add(rush, noise(2 * kRate, 0.1, 2), 2);
  EXPECT_TRUE(utterances({kRate, hum}).empty());
  EXPECT_TRUE(utterances({kRate, beep}).empty());
  EXPECT_TRUE(utterances({kRate, clicks}).empty());
  EXPECT_TRUE(utterances({kRate, rush}).empty());
  EXPECT_TRUE(utterances({kRate, nan}).empty());
}

TEST(VoiceActivity, PiecesOfAnySizeGiveTheSame) {
  std::vector<float> sound = noise(8 * kRate, 1e-3);
  add(sound, voice(1.5, 0.05, 120), 1.0);
  add(sound, voice(2.0, 0.05, 220), 4.5);
  const auto whole = utterances({kRate, sound});
  for (const size_t size : {1u, 7u, 160u, 5000u}) {
    VoiceActivity activity(kRate);
    std::vector<Utterance> found;
    for (size_t at = 0; at < sound.size(); at += size)
      for (const Utterance& u : activity.push(std::span(sound).subspan(at, std::min(size, sound.size() - at)))) found.push_back(u);
    for (const Utterance& u : activity.finish()) found.push_back(u);
    ASSERT_EQ(found.size(), whole.size()) << size;
    for (size_t i = 0; i < whole.size(); ++i) {
      EXPECT_EQ(found[i].begin, whole[i].begin) << size;
      EXPECT_EQ(found[i].end, whole[i].end) << size;
    }
  }
}

TEST(VoiceActivity, KnowsWhileSomebodySpeaks) {
  std::vector<float> sound(4 * kRate);
  add(sound, voice(1.5, 0.05, 120), 1.0);
  VoiceActivity activity(kRate);
  activity.push(std::span(sound).first(kRate));
  EXPECT_FALSE(activity.speaking_since());
  activity.push(std::span(sound).subspan(kRate, kRate));
  ASSERT_TRUE(activity.speaking_since());
  EXPECT_NEAR(seconds(*activity.speaking_since()), 0.8, 0.2);
  EXPECT_EQ(activity.push(std::span(sound).subspan(2 * kRate)).size(), 1u);
  EXPECT_FALSE(activity.speaking_since());
}

TEST(VoiceActivity, WhoNeverStopsIsCut) {
  VoiceSettings settings;
  settings.longest_seconds = 3;
  const auto found = utterances({kRate, voice(8, 0.05, 120)}, settings);
  ASSERT_GE(found.size(), 3u);
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_LE(seconds(found[i].end - found[i].begin), 3.3);
    if (i > 0) {
      EXPECT_GE(found[i].begin, found[i - 1].end);
    }
  }
}

TEST(VoiceActivity, OtherRates) {
  const std::vector<float> at_16 = voice(1.5, 0.05, 150);
  for (const int64_t rate : {8000, 22050, 44100}) {
    Sound sound = resample({kRate, at_16}, rate);
    sound.samples.insert(sound.samples.begin(), static_cast<size_t>(2 * rate), 0.0f);
    const auto found = utterances(sound);
    ASSERT_EQ(found.size(), 1u) << rate;
    EXPECT_NEAR(static_cast<double>(found[0].begin) / static_cast<double>(rate), 1.8, 0.25) << rate;
    EXPECT_LE(found[0].end, static_cast<int64_t>(sound.samples.size()));
  }
}

}  // namespace
}  // namespace mynah::media
