// mynah speak: files of every format, standard output, what is said about it, and what is refused. The voices are tiny.
#include "program.h"

namespace mynah::e2e {
namespace {

class Speak : public Sandbox {
 protected:
  const std::string voice_ = (fs::path(MYNAH_TEST_DATA) / "golden/tasks/vits").string();
};

TEST_F(Speak, WritesEveryFormat) {
  const std::pair<const char*, const char*> formats[] = {{"a.wav", "RIFF"}, {"a.flac", "fLaC"}, {"a.opus", "OggS"},
                                                         {"a.ogg", "OggS"}, {"a.mp3", ""},      {"a.pcm", ""}};
  for (const auto& [name, start] : formats) {
    const Result r = run({"speak", voice_, "the bird sings", "-o", file(name).string()});
    EXPECT_EQ(r.code, 0) << name << ": " << r.err;
    EXPECT_EQ(r.out, "");
    EXPECT_NE(r.err.find("s of speech"), std::string::npos);
    const std::string bytes = read_file(file(name));
    EXPECT_GT(bytes.size(), 50u) << name;
    EXPECT_EQ(bytes.substr(0, std::string(start).size()), start) << name;
  }
}

TEST_F(Speak, StreamsToStandardOutput) {
  const std::string wav = run({"speak", voice_, "the bird. sings", "-o", "-"}).out;
  const std::string pcm = run({"speak", voice_, "the bird. sings", "-o", "-", "--format", "pcm"}).out;
  ASSERT_GT(wav.size(), 44u);
  EXPECT_EQ(wav.substr(0, 4), "RIFF");
  EXPECT_EQ(wav.substr(44), pcm);
  EXPECT_EQ(run({"speak", voice_, "-o", "-", "--format", "pcm"}, "the bird. sings").out, pcm);
}

TEST_F(Speak, SaysWhatItDid) {
  const Json j = run_well({"speak", voice_, "the bird", "-o", file("a.wav").string(), "--json"}).json();
  EXPECT_EQ(j["sampling_rate"], 8000);
  EXPECT_EQ(read_file(file("a.wav")).size(), 44 + 2 * j["samples"].get<size_t>());
  const Json slow =
      run_well({"speak", voice_, "the bird", "-o", file("b.wav").string(), "--json", "--speed", "0.5"}).json();
  EXPECT_GT(slow["samples"].get<int64_t>(), j["samples"].get<int64_t>());
  const Json other =
      run_well({"speak", voice_, "the bird", "-o", file("c.wav").string(), "--json", "--speaker", "2"}).json();
  EXPECT_NE(read_file(file("c.wav")), read_file(file("a.wav")));
  EXPECT_EQ(other["output"], file("c.wav").string());
}

TEST_F(Speak, RefusesWhatCannotBeMeant) {
  expect_refused({"speak", voice_, "a", "-o", file("a.xyz").string()}, {2}, {"xyz", "wav"});
  expect_refused({"speak", voice_, "a", "-o", file("a.wav").string(), "--speaker", "7"}, {1}, {"7"});
  expect_refused({"speak", voice_, "a", "-o", file("a.wav").string(), "--speaker", "anna"}, {1}, {"anna"});
  expect_refused({"speak", voice_, "a", "-o", file("a.wav").string(), "--speed", "0"}, {2}, {"--speed"});
  expect_refused({"speak", voice_, "a", "-o", "-", "--json"}, {2}, {"--json"});
  expect_refused({"speak", voice_, "123", "-o", file("a.wav").string()}, {1}, {"123"});
  expect_refused({"speak", golden("bert_base").string(), "a", "-o", file("a.wav").string()}, {1, 3}, {});
  expect_refused({"speak", file("gone/x").string(), "a", "-o", file("a.wav").string()}, {3}, {"gone"});
  EXPECT_FALSE(fs::exists(file("a.wav")));
  // Nothing plays here.
  set_environment("PATH", file("empty").string());
  expect_refused({"speak", voice_, "a"}, {3}, {"player", "-o"});
}

}  // namespace
}  // namespace mynah::e2e
