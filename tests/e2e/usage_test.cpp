// The command line itself, the store's verbs, and what describes the machine.
#include <cstdlib>

#include "program.h"

namespace mynah::e2e {
namespace {

class Usage : public Sandbox {};

TEST_F(Usage, SaysItsVersionAndHelp) {
  EXPECT_EQ(run_well({"--version"}).out.rfind("mynah ", 0), 0u);
  const std::string help = run_well({"--help"}).out;
  for (const char* verb : {"run", "pull", "list", "show", "rm", "cp", "generate", "forward", "tokenize", "quantize",
                           "convert", "bench", "doctor", "completion"})
    EXPECT_NE(help.find(verb), std::string::npos) << verb;
  EXPECT_EQ(run_well({}).out, help);
  EXPECT_EQ(run_well({"help"}).out, help);
  EXPECT_EQ(run_well({"help", "generate"}).out, run_well({"generate", "--help"}).out);
  EXPECT_NE(run_well({"generate", "--help"}).out.find("mynah generate"), std::string::npos);
  EXPECT_NE(run_well({"generate", "--help"}).out.find("--max-new-tokens"), std::string::npos);
  // Names as they are typed.
  for (const char* verb : {"generate", "pretrain", "ask"}) {
    const std::string text = run_well({verb, "--help"}).out;
    EXPECT_EQ(text.find("{true}"), std::string::npos) << verb;
    EXPECT_EQ(text.find(" in ["), std::string::npos) << verb;
  }
}

// mynah list | head -1, and mynah ... 2>&1 | head -1.
TEST_F(Usage, AReaderThatLeavesIsNoFault) {
  constexpr int kAsOtherFilters = 128 + 13;  // SIGPIPE
  const Result left = run({"--help"}, "", Stdout::unread);
  EXPECT_EQ(left.code, kAsOtherFilters);
  EXPECT_EQ(left.err, "");
  EXPECT_EQ(run({"--help"}, "", Stdout::unread, Stderr::unread).code, kAsOtherFilters);
  EXPECT_EQ(run({"run", "tiny", "hi", "--max-tokens", "3"}, "", Stdout::file, Stderr::unread).code, kAsOtherFilters);
}

TEST_F(Usage, WithoutStderrNothingElseChanges) {
  EXPECT_EQ(run({"no-such-verb"}, "", Stdout::file, Stderr::closed).code, 2);
  // The note that the answer ended at its limit is said to nobody.
  const Result answer = run({"run", "tiny", "hi", "--max-tokens", "3"}, "", Stdout::file, Stderr::closed);
  EXPECT_EQ(answer.code, 0);
  EXPECT_FALSE(answer.out.empty());
}

TEST_F(Usage, ShowNamesTheFormatOfTheWeights) {
  const std::map<std::string, std::string> all = {{"llama_base", "F32 (safetensors)"}, {"llama_bin", "F32 (pytorch)"}, {"piper_voice", "F32 (onnx)"},
                                                  {"ct2_whisper_float16", "F16 (ctranslate2)"}, {"gguf_llama_q8_0", "Q8_0 (gguf)"}};
  for (const auto& [name, weights] : all) {
    const Result shown = run({"show", golden(name).string()});
    EXPECT_NE(shown.out.find(weights), std::string::npos) << name << "\n" << shown.out << shown.err;
  }
  expect_refused({"tokenize", golden("piper_voice").string()}, {1}, {"no tokenizer"}, "a\n");
}

TEST_F(Usage, AConfigWithoutAFamilyIsToldSo) {
  fs::create_directories(file("model"));
  write_file(file("model") / "config.json", "{\"hidden_size\": 8}");
  write_tensors(file("model") / "model.safetensors", {{"embeddings.weight", ids_tensor({1, 2})}});
  expect_refused({"show", file("model").string()}, {1}, {"model_type", "architectures"});
}

TEST_F(Usage, NamesWhatWasPerhapsMeant) {
  expect_refused({"genrate", "x"}, {2}, {"genrate", "generate"});
  expect_refused({"lisst"}, {2}, {"did you mean list"});
  expect_refused({"generate", "x", "--max-new-token", "5"}, {2}, {"--max-new-token", "--max-new-tokens"});
  expect_refused({"list", "--jsn"}, {2}, {"--json"});
  expect_refused({"zzzzzzzz"}, {2}, {"zzzzzzzz"});
  expect_refused({"--verbos"}, {2}, {"--verbos"});
  expect_refused({"list", "extra"}, {2}, {"extra"});
  expect_refused({"show"}, {2}, {"model"});
  expect_refused({"run"}, {2}, {"model"});
}

TEST_F(Usage, ModelsThatAreNotThereAreNotFound) {
  const std::string gone = file("no/such/model.gguf").string();
  write_tensors(file("x.safetensors"), {{"input_ids", ids_tensor({3, 4, 5})}});
  expect_refused({"show", gone}, {3}, {gone});
  expect_refused({"generate", gone, "--prompt", "a"}, {3}, {gone});
  expect_refused({"run", gone, "Hello"}, {3}, {gone});
  expect_refused({"tokenize", gone}, {3}, {gone}, "a\n");
  expect_refused({"forward", gone, "--input", file("x.safetensors").string(), "--output", file("y").string()}, {3},
                 {gone});
  expect_refused({"bench", gone}, {3}, {gone});
  expect_refused({"show", "no-such-name"}, {3}, {"no-such-name"});
  // A name could be pulled, but not without the network.
  expect_refused({"run", "no-such-name", "Hello"}, {3, 4}, {"no-such-name"});
  expect_refused({"pull", "someone/something"}, {3, 4}, {"MYNAH_OFFLINE"});
}

TEST_F(Usage, AnEmptyStoreHasNothing) {
  EXPECT_EQ(run_well({"list", "--json"}).json(), Json({{"models", Json::array()}}));
  EXPECT_EQ(run_well({"list", "--quiet"}).out, "");
  EXPECT_EQ(run_well({"list"}).lines().size(), 1u);
  EXPECT_EQ(run_well({"ls", "--json"}).json()["models"].size(), 0u);
  expect_refused({"rm", "gpt2", "--json"}, {3}, {"gpt2"});
  expect_refused({"cp", "gpt2", "mine", "--json"}, {3}, {"gpt2"});
  expect_refused({"show", "gpt2", "--json"}, {3}, {"gpt2"});
}

TEST_F(Usage, AStoreThatCannotBeMadeIsSaid) {
  write_file(file("home"), "a file, not a folder");
  const Result result = run({"pull", "gpt2"});
  EXPECT_NE(result.code, 0);
  EXPECT_EQ(result.err.rfind("mynah: ", 0), 0u) << result.err;
}

TEST_F(Usage, DoctorDescribesTheMachine) {
  const Json all = run_well({"doctor", "--json"}).json();
  for (const char* key : {"version", "instruction_set", "threads", "memory", "store", "libraries"})
    EXPECT_TRUE(all.contains(key)) << key;
  EXPECT_EQ(all["threads"], 2);
  EXPECT_EQ(all["store"]["folder"], file("home").string());
  EXPECT_GT(all["memory"]["total_bytes"].get<int64_t>(), 0);
  EXPECT_NE(run_well({"doctor"}).out.find("instructions"), std::string::npos);
}

TEST_F(Usage, ABadNumberOfThreadsIsSaidByEveryVerb) {
  for (const char* threads : {"0", "-1", "abc", "1e9", "2 ", "99999999999999999999"}) {
    set_environment("MYNAH_THREADS", threads);
    expect_refused({"doctor", "--json"}, {2}, {"MYNAH_THREADS", threads, "256"});
    expect_refused({"list"}, {2}, {"MYNAH_THREADS"});
  }
  set_environment("MYNAH_THREADS", "");
  run_well({"doctor"});
}

TEST_F(Usage, RunTakesNumbersInTheirRanges) {
  const std::string model = golden("gguf_llama_f32").string();
  for (const char* option : {"--temperature", "--top-p"})
    for (const char* value : {"nan", "-nan", "inf", "-inf", "-0.1", "100.5", "1e999", "", "0.5x"})
      expect_refused({"run", model, "Hi", option, value}, {2}, {option, value});
  for (const char* option : {"--top-k", "--max-tokens", "--ctx"})
    for (const char* value : {"-1", "1.5", "nan", "99999999999999999999"})
      expect_refused({"run", model, "Hi", option, value}, {2}, {option, value});
  for (const char* verb : {"run", "generate"})
    for (const char* seed : {"99999999999999999999", "-1", "1.5", "x"})
      expect_refused({verb, model, "Hi", "--seed", seed}, {2}, {"--seed", seed, "18446744073709551615"});
  const auto answer = [&](const char* seed) {
    return run_well({"generate", model, "Hi", "--do-sample", "--seed", seed, "--json"}).out;
  };
  EXPECT_NE(answer("18446744073709551615"), answer("0"));
}

TEST_F(Usage, AFolderWithOneGgufFileIsThatFile) {
  fs::create_directories(file("models"));
  fs::copy_file(golden("gguf_llama_f32"), file("models") / "first.gguf");
  const auto answer = [&](const fs::path& model) {
    return run_well({"generate", model.string(), "Hi", "--max-new-tokens", "5"}).out;
  };
  EXPECT_EQ(answer(file("models")), answer(golden("gguf_llama_f32")));
  EXPECT_EQ(run({"run", file("models").string(), "Hi", "--raw", "--max-tokens", "5"}).code, 0);
  EXPECT_EQ(run_well({"tokenize", file("models").string()}, "Hello\n").out,
            run_well({"tokenize", golden("gguf_llama_f32").string()}, "Hello\n").out);
  run_well({"show", file("models").string()});
  run_well({"convert", file("models").string(), file("folder").string()});
  fs::copy_file(golden("gguf_llama_f32"), file("models") / "second.gguf");
  expect_refused({"run", file("models").string(), "Hi"}, {2}, {"first.gguf", "second.gguf"});
  expect_refused({"tokenize", file("models").string()}, {2}, {"first.gguf", "second.gguf"}, "Hello\n");
}

TEST_F(Usage, InstructionSetsCanBeChosen) {
  set_environment("MYNAH_ISA", "generic");
  EXPECT_EQ(run_well({"doctor", "--json"}).json()["instruction_set"], "generic");
  set_environment("MYNAH_ISA", "abacus");
  expect_refused({"doctor", "--json"}, {1, 2}, {"abacus"});
}

TEST_F(Usage, BenchMeasuresAModelBesideTheMachine) {
  const Json all = run_well({"bench", golden("gguf_llama_f32").string(), "--prompt", "16", "--generate", "4",
                             "--repeat", "2", "--threads", "1", "--json"})
                       .json();
  EXPECT_EQ(all["threads"], 1);
  ASSERT_EQ(all["rows"].size(), 2u);
  EXPECT_EQ(all["rows"][0]["test"], "pp16");
  EXPECT_EQ(all["rows"][1]["test"], "tg4");
  for (const Json& row : all["rows"]) {
    ASSERT_EQ(row["tokens_per_second"].size(), 2u);
    for (const Json& rate : row["tokens_per_second"]) EXPECT_GT(rate.get<double>(), 0);
  }
  for (const char* key : {"int8_gops", "bf16_gflops", "f32_gflops", "read_gb_s"})
    EXPECT_TRUE(all["peak"][key].is_number()) << key;
  expect_refused({"bench", golden("gguf_llama_f32").string(), "--repeat", "0"}, {2}, {"--repeat"});
  expect_refused({"bench", golden("gpt2_base").string(), "--prompt", "41", "--generate", "0", "--json"}, {1, 6},
                 {"40"});
}

TEST_F(Usage, CompletionsKnowEveryVerbAndOption) {
  for (const char* shell : {"bash", "zsh", "fish", "man"}) {
    const std::string text = run_well({"completion", shell}).out;
    for (const char* word : {"generate", "quantize", "doctor"})
      EXPECT_NE(text.find(word), std::string::npos) << shell << " " << word;
    // The manual writes a hyphen as \-.
    EXPECT_NE(text.find(std::string(shell) == "man" ? "max\\-new\\-tokens" : "max-new-tokens"), std::string::npos)
        << shell;
  }
  expect_refused({"completion", "tcsh"}, {2}, {"tcsh"});
  expect_refused({"completion"}, {2}, {"shell"});
}

TEST_F(Usage, BashTakesItsCompletions) {
  write_file(file("mynah.bash"), run_well({"completion", "bash"}).out);
  EXPECT_EQ(std::system(("bash -n " + file("mynah.bash").string()).c_str()), 0);
}

TEST_F(Usage, OutputThatCannotBeWrittenIsAFailure) {
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"--version"}, {"list", "--json"}, {"doctor", "--json"}, {"completion", "man"}, {}})
    for (const Stdout to : {Stdout::closed, Stdout::full_disk}) {
      const Result result = run(words, "", to);
      EXPECT_EQ(result.code, 1) << (words.empty() ? "" : words[0]);
      EXPECT_EQ(result.err.rfind("mynah: stdout", 0), 0u) << result.err;
    }
}

}  // namespace
}  // namespace mynah::e2e
