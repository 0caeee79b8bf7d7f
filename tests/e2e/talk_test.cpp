// mynah talk: typed lines, recordings, a microphone and a loudspeaker that are programs of the test. The models are tiny and random: what
// counts is who speaks when, and what the tools do.
#include <cmath>
#include <fstream>
#include <numbers>

#include "program.h"

namespace mynah::e2e {
namespace {

constexpr int kRate = 16000;

// Something like a vowel in syllables, with silence around it.
void add_voice(std::vector<float>* sound, double silence, double seconds, double pitch) {
  sound->insert(sound->end(), static_cast<size_t>(silence * kRate), 0.0f);
  double phase = 0;
  for (int i = 0; i < static_cast<int>(seconds * kRate); ++i) {
    const double t = i / static_cast<double>(kRate), hz = pitch * (1 + 0.1 * std::sin(4.4 * t));
    phase += 2 * std::numbers::pi * hz / kRate;
    double sum = 0;
    for (int k = 1; k * hz < 3800; ++k) {
      const double f = k * hz, first = (f - 600) / 250, second = (f - 1700) / 500;
      sum += (std::exp(-first * first) + 0.4 * std::exp(-second * second) + 0.02) * std::sin(k * phase);
    }
    sound->push_back(static_cast<float>(0.05 * sum * (0.5 - 0.5 * std::cos(25 * t))));
  }
}

std::string pcm(const std::vector<float>& sound) {
  std::string bytes;
  for (const float v : sound) {
    const auto n = static_cast<uint16_t>(static_cast<int16_t>(std::lround(std::clamp(v, -1.0f, 1.0f) * 32767)));
    bytes += static_cast<char>(n & 255);
    bytes += static_cast<char>(n >> 8);
  }
  return bytes;
}

std::string wav(const std::vector<float>& sound) {
  const auto number = [](uint32_t v, int bytes) {
    std::string s;
    for (int i = 0; i < bytes; ++i) s += static_cast<char>(v >> (8 * i) & 255);
    return s;
  };
  const std::string data = pcm(sound);
  const auto size = static_cast<uint32_t>(data.size());
  return "RIFF" + number(36 + size, 4) + "WAVEfmt " + number(16, 4) + number(1, 2) + number(1, 2) + number(kRate, 4) + number(2 * kRate, 4) + number(2, 2) + number(16, 2) + "data" +
         number(size, 4) + data;
}

class Talk : public Sandbox {
 protected:
  void SetUp() override {
    ASSERT_EQ(run({"convert", golden("gguf_llama_f32").string(), file("llama").string()}).code, 0);
    Json config = Json::parse(read_file(file("llama/config.json")));
    config["max_position_embeddings"] = 4096;
    write_file(file("llama/config.json"), config.dump());
  }
  std::string tiny(const std::string& name) const { return (fs::path(MYNAH_TEST_DATA) / "golden/tasks" / name).string(); }
  std::vector<std::string> typed(std::vector<std::string> more = {}) const {
    std::vector<std::string> words = {"talk", "--typed", "--json", "--model", file("llama").string(), "--clock", "2024-05-06 19:08", "--notes", file("notes.txt").string(), "--max-tokens", "6"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  std::vector<std::string> heard(std::vector<std::string> more = {}) const {
    std::vector<std::string> words = {"talk", "--json", "--model", file("llama").string(), "--ears", tiny("whisper"), "--language", "en", "--voice", tiny("vits"),
                                      "--notes", file("notes.txt").string(), "--clock", "2024-05-06 19:08", "--max-tokens", "8", "--temperature", "0"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  static std::vector<Json> turns(const Result& result) {
    std::vector<Json> all;
    for (const std::string& line : result.lines()) all.push_back(Json::parse(line));
    // How long computing took differs from run to run.
    for (Json& turn : all) {
      turn["answer"].erase("first_sound_seconds");
      if (turn.contains("heard")) turn["heard"].erase("seconds");
    }
    return all;
  }
};

TEST_F(Talk, ToolsAnswerWhatIsTyped) {
  const Result result = run(typed(), "What time is it?\nWhat is twelve times seven?\n\nTake a note: feed the bird.\nWhat are my notes?\nSet a timer for five minutes.\nWhich timers are running?\nGoodbye!\nnever read\n");
  ASSERT_EQ(result.code, 0) << result.err;
  const auto all = turns(result);
  ASSERT_EQ(all.size(), 7u);
  EXPECT_EQ(all[0]["answer"]["text"], "It is 7:08 PM.");
  EXPECT_EQ(all[0]["tools"][0]["name"], "get_time");
  EXPECT_EQ(all[1]["answer"]["text"], "That is 84.");
  EXPECT_EQ(all[3]["answer"]["text"], "You have 1 note. feed the bird.");
  EXPECT_EQ(read_file(file("notes.txt")), "feed the bird\n");
  EXPECT_EQ(all[4]["answer"]["text"], "A timer of 5 minutes is set.");
  EXPECT_NE(all[5]["answer"]["text"].get<std::string>().find("1 timer: "), std::string::npos);
  EXPECT_EQ(all[6]["answer"]["text"], "Goodbye.");
}

TEST_F(Talk, OtherLinesAreAnsweredByTheModel) {
  const Result result = run(typed({"--temperature", "0"}), "Tell me a story.\nRepeat that.\n");
  ASSERT_EQ(result.code, 0) << result.err;
  const auto all = turns(result);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_TRUE(all[0]["tools"].empty());
  EXPECT_EQ(all[0]["answer"]["text"], all[1]["answer"]["text"]);
  EXPECT_EQ(run(typed({"--temperature", "0"}), "Tell me a story.\n").lines().size(), 1u);
}

TEST_F(Talk, SearchesTheUsersFiles) {
  fs::create_directories(file("files"));
  write_file(file("files/birds.md"), "The birds sing in the park.\n");
  const Result result = run(typed({"--files", file("files").string(), "--embedder", tiny("bert_mask")}), "Search my files for birds.\n");
  ASSERT_EQ(result.code, 0) << result.err;
  const Json tool = turns(result).at(0)["tools"][0];
  EXPECT_EQ(tool["name"], "search_files");
  EXPECT_EQ(tool["arguments"]["query"], "birds");
  EXPECT_NE(tool["result"].get<std::string>().find("[birds.md, line 1]\nThe birds sing in the park."), std::string::npos);
}

TEST_F(Talk, AConversationWithARecording) {
  std::vector<float> sound;
  add_voice(&sound, 0.5, 1.5, 120);
  add_voice(&sound, 2.5, 1.2, 200);
  add_voice(&sound, 4, 1.0, 150);
  sound.insert(sound.end(), 2 * kRate, 0.0f);
  write_file(file("dialogue.wav"), wav(sound));
  const auto talk = [&](const char* threads, const std::string& output) {
    set_environment("MYNAH_THREADS", threads);
    return run(heard({file("dialogue.wav").string(), "-o", file(output).string()}));
  };
  const Result result = talk("1", "a.wav");
  ASSERT_EQ(result.code, 0) << result.err;
  const auto all = turns(result);
  ASSERT_EQ(all.size(), 3u);
  const double begins[] = {0.5, 4.5, 9.7}, ends[] = {2.0, 5.7, 10.7};
  double before = 0;
  for (size_t i = 0; i < 3; ++i) {
    const Json &heard = all[i]["heard"], &answer = all[i]["answer"];
    EXPECT_FALSE(heard["text"].get<std::string>().empty());
    EXPECT_NEAR(heard["start"].get<double>(), begins[i], 0.35) << i;
    EXPECT_NEAR(heard["end"].get<double>(), ends[i], 0.35) << i;
    // It answers when the pause is long enough, and not while it speaks.
    EXPECT_GE(answer["start"].get<double>(), std::max(before, ends[i] + 0.3)) << i;
    before = answer["end"].get<double>();
    // Who speaks interrupts it.
    if (i < 2) {
      EXPECT_LE(before, begins[i + 1] + 0.3) << i;
    }
  }
  const std::string answers = read_file(file("a.wav"));
  ASSERT_GT(answers.size(), 1000u);
  EXPECT_EQ(answers.substr(0, 4), "RIFF");
  // The same for any number of threads.
  EXPECT_EQ(turns(talk("2", "b.wav")), all);
  EXPECT_EQ(read_file(file("b.wav")), answers);
}

// The commands of docs/applications.md but for the one that needs a microphone.
TEST_F(Talk, TheDocumentedCommandsRun) {
  std::vector<float> sound;
  add_voice(&sound, 0.5, 1.5, 120);
  sound.insert(sound.end(), kRate, 0.0f);
  write_file(file("question.wav"), wav(sound));
  int ran = 0;
  for (const std::vector<std::string>& shown : documented("talk")) {
    const bool typed = std::find(shown.begin(), shown.end(), "--typed") != shown.end();
    if (shown.size() == 1) continue;
    std::vector<std::string> words = shown;
    for (std::string& word : words)
      if (word.ends_with(".wav")) word = file(word).string();
    words.insert(words.end(), {"--model", file("llama").string(), "--max-tokens", "4", "--notes", file("notes.txt").string()});
    if (!typed) words.insert(words.end(), {"--ears", tiny("whisper"), "--language", "en", "--voice", tiny("vits")});
    const Result result = run(words, typed ? "What is two times three?\n" : "");
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_NE(result.out.find(typed ? "That is 6." : ""), std::string::npos) << result.out;
    ++ran;
  }
  EXPECT_EQ(ran, 2);
  EXPECT_TRUE(fs::exists(file("answer.wav")));
}

TEST_F(Talk, NobodySpeaks) {
  std::vector<float> sound(4 * kRate);
  uint32_t state = 1;
  for (float& v : sound) v = 0.05f * (static_cast<float>((state = state * 1664525u + 1013904223u) >> 8) / 8388608.0f - 1);
  write_file(file("noise.wav"), wav(sound));
  const Result result = run(heard({file("noise.wav").string()}));
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_NE(result.err.find("nobody speaks"), std::string::npos) << result.err;
}

TEST_F(Talk, ThroughMicrophoneAndLoudspeaker) {
  std::vector<float> sound;
  add_voice(&sound, 0.5, 1.5, 120);
  sound.insert(sound.end(), 2 * kRate, 0.0f);
  write_file(file("said.raw"), pcm(sound));
  fs::create_directories(file("bin"));
  const auto program = [&](const std::string& name, const std::string& line) {
    write_file(file("bin/" + name), "#!/bin/sh\n" + line + "\n");
    fs::permissions(file("bin/" + name), fs::perms::owner_all);
  };
  program("arecord", "exec cat '" + file("said.raw").string() + "'");
  program("aplay", "exec cat > '" + file("heard.wav").string() + "'");
  set_environment("PATH", file("bin").string() + ":/usr/bin:/bin");
  const Result result = run(heard());
  EXPECT_EQ(result.code, 0) << result.err;
  const auto all = turns(result);
  ASSERT_EQ(all.size(), 1u) << result.out << result.err;
  EXPECT_EQ(all[0]["answer"]["interrupted"], false);
  EXPECT_NEAR(all[0]["heard"]["start"].get<double>(), 0.5, 0.35);
  const std::string played = read_file(file("heard.wav"));
  ASSERT_GT(played.size(), 44u);
  EXPECT_EQ(played.substr(0, 4), "RIFF");
  // Without such programs it says what is missing.
  set_environment("PATH", file("empty").string());
  const Result without = run(heard());
  EXPECT_EQ(without.code, 3);
  EXPECT_NE(without.err.find("no recorder found"), std::string::npos) << without.err;
}

TEST_F(Talk, RefusesWhatCannotBeMeant) {
  write_file(file("a.wav"), wav(std::vector<float>(kRate)));
  const std::string sound = file("a.wav").string();
  expect_refused({"talk", sound, "--typed"}, {2}, {"--typed"});
  expect_refused({"talk", sound, sound}, {2}, {"one"});
  expect_refused({"talk", "-o", "b.wav"}, {2}, {"recording"});
  expect_refused({"talk", sound, "-o", "b.xyz"}, {2}, {"xyz"});
  expect_refused({"talk", sound, "-o", "b.wav", "--no-voice"}, {2}, {"--no-voice"});
  expect_refused({"talk", file("gone.wav").string()}, {3}, {"gone.wav"});
  expect_refused({"talk", "--typed", "--model", file("llama").string(), "--clock", "tomorrow"}, {2}, {"--clock", "tomorrow"});
  expect_refused({"talk", "--typed", "--model", file("llama").string(), "--clock", "2024-13-06 19:08"}, {2}, {"2024-13-06"});
  expect_refused({"talk", sound, "--no-voice", "--model", file("llama").string(), "--ears", golden("bert_base").string()}, {1}, {"bert"});
}

}  // namespace
}  // namespace mynah::e2e
