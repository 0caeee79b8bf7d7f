// "-" where a command takes a text or a file: what comes on standard input.
#include <algorithm>

#include "program.h"

namespace mynah::e2e {
namespace {

class StandardInput : public Sandbox {
 protected:
  static std::string task_model(const std::string& name) { return (fs::path(MYNAH_TEST_DATA) / "golden/tasks" / name).string(); }
  static fs::path sound() { return fs::path(MYNAH_TEST_DATA) / "golden/media/notes.flac"; }
  // With room for a prompt.
  std::string llama() const {
    EXPECT_EQ(run({"convert", golden("gguf_llama_f32").string(), file("llama").string()}).code, 0);
    Json config = Json::parse(read_file(file("llama/config.json")));
    config["max_position_embeddings"] = 4096;
    write_file(file("llama/config.json"), config.dump());
    return file("llama").string();
  }
  // What the command prints with `word` in the place of INPUT.
  std::string said(std::vector<std::string> words, const std::string& word, const std::string& input = "") const {
    std::replace(words.begin(), words.end(), std::string("INPUT"), word);
    const Result result = run(words, input);
    EXPECT_EQ(result.code, 0) << words[0] << ": " << result.err;
    return result.out;
  }
};

TEST_F(StandardInput, IsThePrompt) {
  const std::string text = "Where is the king?";
  for (const std::vector<std::string>& words : {std::vector<std::string>{"run", "tiny", "INPUT", "--temperature", "0", "--max-tokens", "8"},
                                                {"generate", "tiny", "INPUT", "--max-new-tokens", "8", "--json"},
                                                {"generate", "tiny", "--prompt", "INPUT", "--max-new-tokens", "8", "--json"},
                                                {"embed", task_model("bert_mask"), "INPUT"},
                                                {"speak", task_model("vits"), "INPUT", "-o", "-"}}) {
    const std::string typed = said(words, text);
    EXPECT_FALSE(typed.empty());
    EXPECT_EQ(said(words, "-", text), typed) << words[0];
    if (words[0] == "run") continue;
    EXPECT_EQ(said(words, "-", text + "\n"), typed) << words[0];  // the end of the line is no part of it
  }
  expect_refused({"run", "tiny", "-"}, {2}, {"no prompt"});
}

// A last "-" asks for what is added to the prompt in any case.
TEST_F(StandardInput, IsWhatThePromptIsAbout) {
  const auto answer = [&](const std::vector<std::string>& prompt) {
    std::vector<std::string> words = {"run", "tiny", "--temperature", "0", "--max-tokens", "8"};
    words.insert(words.end(), prompt.begin(), prompt.end());
    return run(words, "Hail, king!").out;
  };
  EXPECT_EQ(answer({"Say it again:", "-"}), answer({"Say it again:"}));
}

TEST_F(StandardInput, IsTheSound) {
  const std::string bytes = read_file(sound());
  for (const std::vector<std::string>& words : {std::vector<std::string>{"transcribe", task_model("whisper"), "INPUT", "--everywhere", "--json"},
                                                {"pipeline", "asr", "--model", task_model("whisper"), "INPUT", "--json"},
                                                {"pipeline", "audio-classification", "--model", task_model("wav2vec2_keywords"), "INPUT", "--json"},
                                                {"pipeline", "zero-shot-audio-classification", "--model", task_model("clap"), "--candidate-labels", "a,b", "INPUT", "--json"}})
    EXPECT_EQ(said(words, "-", bytes), said(words, sound().string())) << words[0] << " " << words[1];
  run({"transcribe", task_model("whisper"), "-", "--everywhere", "-o", file("out").string()}, bytes);
  EXPECT_TRUE(fs::exists(file("out/stdin.txt")));
  expect_refused({"transcribe", task_model("whisper"), "-"}, {1, 5}, {"mynah: standard input: "}, "words");
}

TEST_F(StandardInput, IsTheFile) {
  const std::string source = "def f(x):\n    return\n";
  write_file(file("a.py"), source);
  const std::vector<std::string> complete = {"complete", "INPUT", "--at", "2", "--model", "tiny", "--max-tokens", "4", "--json"};
  EXPECT_EQ(said(complete, "-", source), said(complete, file("a.py").string()));
  write_file(file("schema.json"), R"({"enum": [1]})");
  const std::vector<std::string> extract = {"extract", "--schema", file("schema.json").string(), "--model", llama(), "INPUT", "--max-tokens", "8"};
  EXPECT_EQ(said(extract, "-", source), "1\n");
  EXPECT_EQ(run({"create", "mine", "-f", "-"}, "FROM " + golden("gguf_llama_f32").string() + "\nPARAMETER temperature 0\n").code, 0);
  EXPECT_EQ(run_well({"list", "--quiet"}).out, "mine\n");
}

}  // namespace
}  // namespace mynah::e2e
