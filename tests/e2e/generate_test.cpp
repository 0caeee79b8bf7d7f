// mynah generate and run: token ids and texts out.
#include <fstream>
#include <limits>

#include "program.h"

namespace mynah::e2e {
namespace {

class Generate : public Sandbox {
 protected:
  std::vector<std::string> command(const std::string& model, std::vector<std::string> more) const {
    std::vector<std::string> words = {"generate", golden(model).string(), "--json"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  std::vector<std::vector<int64_t>> sequences(const std::vector<std::string>& words) const {
    return run_well(words).json().at("sequences").get<std::vector<std::vector<int64_t>>>();
  }
};

TEST_F(Generate, ContinuesPaddedRowsAsTheReferenceDoes) {
  for (const char* model : {"llama_base", "gpt2_base", "gguf_llama_f32", "gguf_gpt2_f32"}) {
    const fs::path golden_io = golden_file(std::string(model) + "/io_generate.safetensors");
    const NamedTensors io = read_tensors(golden_io);
    const auto number = [&](const char* name) { return std::to_string(io.at(name).data<int64_t>()[0]); };
    const std::vector<std::string> base = {"--input",        inputs(golden_io).string(), "--max-new-tokens", "12",
                                           "--pad-token-id", number("pad_token_id"),     "--eos-token-id"};
    auto words = base;
    words.push_back(number("unused_token_id"));
    EXPECT_EQ(sequences(command(model, words)), rows(io.at("out.sequences"))) << model;
    words = base;
    words.push_back(number("eos_token_id"));
    EXPECT_EQ(sequences(command(model, words)), rows(io.at("out.sequences_eos"))) << model;
    // Several ends as a JSON list.
    words.back() = "[" + number("unused_token_id") + "," + number("eos_token_id") + "]";
    EXPECT_EQ(sequences(command(model, words)), rows(io.at("out.sequences_eos"))) << model;
  }
}

TEST_F(Generate, PrintsOneObjectWithTextsWhereThereIsATokenizer) {
  const Json with = run_well(command("gguf_llama_f32", {"--prompt", "Hello", "--max-new-tokens", "5"})).json();
  ASSERT_EQ(with["sequences"].size(), 1u);
  ASSERT_EQ(with["texts"].size(), 1u);
  EXPECT_TRUE(with["texts"][0].is_string());
  write_tensors(file("x.safetensors"), {{"input_ids", ids_tensor({3, 4, 5})}});
  const Json without = run_well(command("llama_base", {"--input", file("x.safetensors").string(), "--max-new-tokens",
                                                       "5", "--eos-token-id", "66"}))
                           .json();
  EXPECT_FALSE(without.contains("texts"));
  EXPECT_EQ(without["sequences"][0].size(), 8u);
}

TEST_F(Generate, MakesTwentyNewTokensUnlessToldOtherwise) {
  write_tensors(file("x.safetensors"), {{"input_ids", ids_tensor({3, 4, 5})}});
  const std::string x = file("x.safetensors").string();
  EXPECT_EQ(sequences(command("llama_base", {"--input", x, "--suppress-tokens", "[2]"})).at(0).size(), 23u);
  EXPECT_EQ(
      sequences(command("llama_base", {"--input", x, "--suppress-tokens", "[2]", "--max-length", "10"})).at(0).size(),
      10u);
}

TEST_F(Generate, DrawsTheSameTokensFromTheSameSeed) {
  const auto draw = [&](const std::string& seed) {
    return run_well(command("gguf_llama_f32", {"--prompt", "Hello", "--do-sample", "--temperature", "2", "--seed", seed,
                                               "--max-new-tokens", "16"}))
        .out;
  };
  EXPECT_EQ(draw("7"), draw("7"));
  EXPECT_NE(draw("7"), draw("8"));
}

TEST_F(Generate, DrawsSeveralAnswersThatDiffer) {
  const auto all = sequences(command("gguf_llama_f32", {"--prompt", "Hello", "--do-sample", "--temperature", "2",
                                                        "--num-return-sequences", "3", "--max-new-tokens", "12"}));
  ASSERT_EQ(all.size(), 3u);
  EXPECT_NE(all[0], all[1]);
}

TEST_F(Generate, TakesBooleansAloneOrWithAValue) {
  const std::vector<std::string> rest = {"--max-new-tokens", "12", "--temperature", "3", "--seed", "5"};
  const auto with = [&](std::vector<std::string> words) {
    words.insert(words.end(), rest.begin(), rest.end());
    return run_well(command("gguf_llama_f32", words)).out;
  };
  const std::string greedy = with({"--prompt", "Hello"}), drawn = with({"--do-sample", "true", "--prompt", "Hello"});
  EXPECT_NE(greedy, drawn);
  EXPECT_EQ(with({"--do-sample", "false", "--prompt", "Hello"}), greedy);
  EXPECT_EQ(with({"--do-sample=false", "--prompt", "Hello"}), greedy);
  EXPECT_EQ(with({"--do-sample", "0", "--prompt", "Hello"}), greedy);
  EXPECT_EQ(with({"--do-sample", "1", "--prompt", "Hello"}), drawn);
  EXPECT_EQ(with({"--do-sample", "--prompt", "Hello"}), drawn);
  // A word that is no boolean is not the flag's but the prompt.
  EXPECT_EQ(with({"--do-sample", "Hello"}), drawn);
  EXPECT_EQ(with({"Hello"}), greedy);
}

TEST_F(Generate, RefusesWhatItCannotDo) {
  const std::string gguf = "gguf_llama_f32";
  expect_refused(command(gguf, {}), {2}, {"--input", "--prompt"});
  expect_refused(command(gguf, {"--prompt", ""}), {2}, {"empty"});
  expect_refused(command(gguf, {"--prompt", "a", "b"}), {2}, {"one of"});
  expect_refused(command(gguf, {"--prompt", "a", "--max-new-tokens", "many"}), {2}, {"max-new-tokens"});
  expect_refused(command(gguf, {"--prompt", "a", "--max-new-tokens", "-3"}), {1, 2}, {"max_new_tokens"});
  expect_refused(command(gguf, {"--prompt", "a", "--do-sample", "--temperature", "-1"}), {1, 2}, {"temperature"});
  expect_refused(command(gguf, {"--prompt", "a", "--do-sample", "--top-p", "1.5"}), {1, 2}, {"top_p"});
  expect_refused(command(gguf, {"--prompt", "a", "--top-k", "2.5"}), {1, 2}, {"top_k"});
  expect_refused(command(gguf, {"--prompt", "a", "--eos-token-id", "[1,"}), {2}, {"eos-token-id"});
  expect_refused(command(gguf, {"--prompt", "a", "--dtype", "f64"}), {2}, {"f64"});
  expect_refused(command("llama_base", {"--prompt", "a"}), {1, 2}, {"tokenizer", "--input"});
  write_tensors(file("x.safetensors"), {{"input_ids", ids_tensor({3, 67})}});
  expect_refused(command("llama_base", {"--input", file("x.safetensors").string()}), {1, 2}, {"67"});
  write_tensors(file("x.safetensors"), {{"inputs", ids_tensor({3, 6})}});
  expect_refused(command("llama_base", {"--input", file("x.safetensors").string()}), {1, 2}, {"input_ids"});
  write_tensors(file("x.safetensors"), {{"input_ids", ids_tensor({3, 6})}, {"attention_mask", ids_tensor({0, 0})}});
  expect_refused(command("llama_base", {"--input", file("x.safetensors").string()}), {1, 2}, {"attention_mask"});
}

TEST_F(Generate, RefusesAPromptLongerThanTheContext) {
  // gpt2_base has 40 positions.
  write_tensors(file("x.safetensors"), {{"input_ids", ids_tensor(std::vector<int64_t>(41, 5))}});
  expect_refused(command("gpt2_base", {"--input", file("x.safetensors").string(), "--max-new-tokens", "1"}), {1, 6},
                 {"41", "40"});
  expect_refused({"forward", golden("gpt2_base").string(), "--input", file("x.safetensors").string(), "--output",
                  file("y.safetensors").string()},
                 {1, 6}, {"40"});
  EXPECT_FALSE(fs::exists(file("y.safetensors")));
}

TEST_F(Generate, RefusesWeightsThatAreNotNumbers) {
  const fs::path copy = with_config("llama_base", [](Json&) {});
  NamedTensors weights = read_tensors(golden("llama_base") / "model.safetensors");
  auto values = weights.at("model.norm.weight").to_vector();
  values[3] = std::numeric_limits<float>::quiet_NaN();
  weights.at("model.norm.weight") = Tensor::from(std::span<const float>(values), {static_cast<int64_t>(values.size())});
  write_tensors(copy / "model.safetensors", weights);
  write_tensors(file("x.safetensors"), {{"input_ids", ids_tensor({3, 4, 5})}});
  expect_refused({"generate", copy.string(), "--json", "--input", file("x.safetensors").string()}, {1, 5},
                 {"not numbers"});
  expect_refused({"generate", copy.string(), "--json", "--input", file("x.safetensors").string(), "--do-sample"},
                 {1, 5}, {"not numbers"});
}

TEST_F(Generate, SearchesWithBeamsAndGivesTheirScores) {
  write_tensors(file("x.safetensors"), {{"input_ids", ids_tensor({3, 4, 5})}});
  const auto words = command("llama_base", {"--input", file("x.safetensors").string(), "--num-beams", "3",
                                            "--num-return-sequences", "2", "--max-new-tokens", "6", "--early-stopping"});
  const Json out = run_well(words).json();
  ASSERT_EQ(out["sequences"].size(), 2u);
  ASSERT_EQ(out["scores"].size(), 2u);
  EXPECT_GE(out["scores"][0].get<float>(), out["scores"][1].get<float>());
  for (const char* value : {"true", "false", "never", "1", "0"}) {
    auto with = words;
    with.push_back(value);
    run_well(with);
  }
}

TEST_F(Generate, AnswersWithAnEncoderDecoder) {
  write_tensors(file("x.safetensors"), {{"input_ids", ids_tensor({7, 8, 9, 1})}, {"decoder_input_ids", ids_tensor({0, 5})}});
  const auto rows = sequences(command("t5_base", {"--input", file("x.safetensors").string(), "--max-new-tokens", "4"}));
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(std::vector<int64_t>(rows[0].begin(), rows[0].begin() + 2), (std::vector<int64_t>{0, 5}));
  EXPECT_LE(rows[0].size(), 6u);
}

TEST_F(Generate, RefusesSettingsThatContradict) {
  const auto refuse = [&](std::vector<std::string> words, const std::vector<std::string>& names) {
    words.insert(words.begin(), {"--prompt", "a"});
    expect_refused(command("gguf_llama_f32", words), {2}, names);
  };
  refuse({"--num-return-sequences", "2"}, {"num_return_sequences"});
  refuse({"--num-beams", "2", "--num-return-sequences", "3"}, {"num_return_sequences", "num_beams"});
  refuse({"--min-length", "9", "--max-length", "8"}, {"min_length", "max_length"});
  refuse({"--min-new-tokens", "9", "--max-new-tokens", "8"}, {"min_new_tokens", "max_new_tokens"});
  refuse({"--do-sample", "--temperature", "0"}, {"temperature"});
  refuse({"--num-beams", "0"}, {"num_beams"});
  refuse({"--format", "json", "--regex", "a"}, {"format", "regex"});
  refuse({"--regex", "(a"}, {"regular expression"});
}

TEST_F(Generate, KeepsToAFormat) {
  const std::string model = golden("gguf_llama_f32").string();
  for (const char* seed : {"1", "2", "3"}) {
    const Json any = run_well({"run", model, "--raw", "--json", "--seed", seed, "--max-tokens", "40", "--format", "json", "Hello"}).json();
    EXPECT_TRUE(Json::parse(any["response"].get<std::string>()).is_object());
  }
  std::ofstream(file("schema.json")) << R"({"type":"object","properties":{"ok":{"type":"boolean"}},"required":["ok"]})";
  const Json keeps = run_well({"run", model, "--raw", "--json", "--format", file("schema.json").string(), "Hello"}).json();
  EXPECT_TRUE(Json::parse(keeps["response"].get<std::string>()).at("ok").is_boolean());
  const Json text = run_well(command("gguf_llama_f32", {"--prompt", "Hello", "--regex", "(yes|no)"})).json();
  EXPECT_TRUE(text["texts"][0] == "yes" || text["texts"][0] == "no");
  expect_refused({"run", model, "--format", file("none.json").string(), "Hello"}, {3}, {"none.json"});
}

TEST_F(Generate, SpeculatesWithoutChangingTheAnswer) {
  const std::vector<std::string> base = {"--prompt", "one two one two", "--max-new-tokens", "24"};
  const auto plain = sequences(command("gguf_llama_f32", base));
  for (const std::vector<std::string>& more : {std::vector<std::string>{"--prompt-lookup-num-tokens", "4"}, {"--assistant-model", golden("gguf_llama_f16").string()}}) {
    auto words = base;
    words.insert(words.end(), more.begin(), more.end());
    EXPECT_EQ(sequences(command("gguf_llama_f32", words)), plain);
  }
}

TEST_F(Generate, RunAnswersAPromptFromArgumentsAndStdin) {
  const std::vector<std::string> base = {
      "run", golden("gguf_llama_f32").string(), "--raw", "--json", "--temperature", "0", "--max-tokens", "6"};
  auto words = base;
  words.push_back("Hello");
  const Json a = run_well(words).json();
  for (const char* key : {"response", "done_reason", "total_duration", "load_duration", "prompt_eval_count",
                          "prompt_eval_duration", "eval_count", "eval_duration"})
    EXPECT_TRUE(a.contains(key)) << key;
  EXPECT_EQ(a["done_reason"], "length");
  EXPECT_EQ(a["eval_count"], 6);
  EXPECT_EQ(run_well(base, "Hello").json()["response"], a["response"]);
  EXPECT_NE(run_well(words, "there").json()["prompt_eval_count"], a["prompt_eval_count"]);
  expect_refused(base, {2}, {"prompt"});
}

TEST_F(Generate, SaysWhenTheOutputCannotBeWritten) {
  for (const Stdout to : {Stdout::closed, Stdout::full_disk}) {
    const Result result = run(command("gguf_llama_f32", {"--prompt", "Hello", "--max-new-tokens", "2"}), "", to);
    EXPECT_EQ(result.code, 1);
    EXPECT_EQ(result.err.rfind("mynah: stdout", 0), 0u) << result.err;
  }
}

}  // namespace
}  // namespace mynah::e2e
