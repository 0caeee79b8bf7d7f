// Models that are damaged or not known: one line, no output file, no crash.
#include "program.h"

namespace mynah::e2e {
namespace {

class Damage : public Sandbox {
 protected:
  void expect_every_verb_refuses(const fs::path& model, const std::vector<int>& codes,
                                 const std::vector<std::string>& words = {}) const {
    write_tensors(file("x.safetensors"), {{"input_ids", ids_tensor({3, 4, 5})}});
    const std::string m = model.string(), x = file("x.safetensors").string(), y = file("y.safetensors").string();
    expect_refused({"forward", m, "--input", x, "--output", y}, codes, words);
    expect_refused({"generate", m, "--input", x, "--json"}, codes, words);
    expect_refused({"bench", m, "--prompt", "4", "--generate", "0", "--repeat", "1", "--json"}, codes, words);
    EXPECT_FALSE(fs::exists(file("y.safetensors")));
  }
};

TEST_F(Damage, CutFilesAreRefused) {
  for (const char* name : {"gguf_llama_f32", "gguf_llama_mix_k"}) {
    const std::string whole = read_file(golden(name));
    for (const double part : {0.0001, 0.01, 0.3, 0.9, 0.999}) {
      write_file(file("cut.gguf"), whole.substr(0, static_cast<size_t>(static_cast<double>(whole.size()) * part)));
      expect_every_verb_refuses(file("cut.gguf"), {1, 5}, {"cut.gguf"});
      expect_refused({"show", file("cut.gguf").string()}, {1, 5}, {"cut.gguf"});
    }
  }
}

TEST_F(Damage, FlippedBytesNeverCrash) {
  const std::string whole = read_file(golden("gguf_llama_f32"));
  // The header and the metadata; weights may hold anything.
  for (size_t at = 0; at < 4000; at += 97) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 0xFF);
    write_file(file("flipped.gguf"), changed);
    const Result result = run({"show", file("flipped.gguf").string(), "--json"});
    EXPECT_TRUE(result.code == 0 || result.code == 1 || result.code == 5)
        << at << ": " << result.code << " " << result.err;
    EXPECT_TRUE(result.code == 0 || result.err.rfind("mynah: ", 0) == 0) << at << ": " << result.err;
  }
}

TEST_F(Damage, CutSafetensorsAreRefused) {
  const fs::path copy = with_config("llama_base", [](Json&) {});
  const std::string whole = read_file(copy / "model.safetensors");
  for (const double part : {0.0, 0.001, 0.5, 0.99}) {
    write_file(copy / "model.safetensors",
               whole.substr(0, static_cast<size_t>(static_cast<double>(whole.size()) * part)));
    expect_every_verb_refuses(copy, {1, 5}, {"model.safetensors"});
  }
  fs::remove(copy / "model.safetensors");
  expect_every_verb_refuses(copy, {1, 3, 5}, {copy.filename().string()});
}

TEST_F(Damage, MissingWeightsAreNamed) {
  const fs::path copy = with_config("llama_base", [](Json&) {});
  NamedTensors weights = read_tensors(copy / "model.safetensors");
  weights.erase("model.layers.1.mlp.up_proj.weight");
  write_tensors(copy / "model.safetensors", weights);
  expect_every_verb_refuses(copy, {1, 3, 5}, {"model.layers.1.mlp.up_proj.weight"});
}

TEST_F(Damage, ConfigsThatDoNotFitTheWeightsAreRefused) {
  expect_every_verb_refuses(with_config("llama_base", [](Json& c) { c["hidden_size"] = 64; }), {1, 5});
  expect_every_verb_refuses(with_config("llama_base", [](Json& c) { c["num_hidden_layers"] = 3; }), {1, 3, 5},
                            {"layers.2"});
  expect_every_verb_refuses(with_config("llama_base", [](Json& c) { c["vocab_size"] = 68; }), {1, 5}, {"68"});
  expect_every_verb_refuses(with_config("llama_base", [](Json& c) { c["num_attention_heads"] = 0; }), {1, 5},
                            {"num_attention_heads"});
  expect_every_verb_refuses(with_config("llama_base", [](Json& c) { c["num_key_value_heads"] = 3; }), {1, 5});
  expect_every_verb_refuses(with_config("llama_base", [](Json& c) { c["num_hidden_layers"] = 1000000000; }),
                            {1, 3, 5, 6});
  expect_every_verb_refuses(with_config("llama_base", [](Json& c) { c["hidden_size"] = "many"; }), {1, 5},
                            {"hidden_size"});
}

TEST_F(Damage, WhatIsNotKnownIsNamed) {
  expect_every_verb_refuses(with_config("llama_base", [](Json& c) { c["architectures"] = {"PhantomForCausalLM"}; }),
                            {1}, {"PhantomForCausalLM", "LlamaForCausalLM"});
  expect_every_verb_refuses(
      with_config("llama_base", [](Json& c) { c["rope_scaling"] = {{"rope_type", "spiral"}, {"factor", 2.0}}; }), {1},
      {"spiral"});
  expect_every_verb_refuses(with_config("llama_base", [](Json& c) { c["hidden_act"] = "wobble"; }), {1}, {"wobble"});
  expect_every_verb_refuses(with_config("gpt2_base", [](Json& c) { c["activation_function"] = "wobble"; }), {1},
                            {"wobble"});
}

TEST_F(Damage, BrokenJsonIsRefused) {
  const fs::path copy = with_config("llama_base", [](Json&) {});
  for (const std::string text : {"", "{", "[]", "null", "{\"architectures\": 3}"}) {
    write_file(copy / "config.json", text);
    expect_every_verb_refuses(copy, {1, 5}, {"config.json"});
  }
  write_file(copy / "config.json", std::string(100000, '['));
  expect_every_verb_refuses(copy, {1, 5}, {"config.json"});
}

TEST_F(Damage, OtherFilesAreNoModels) {
  write_file(file("notes.txt"), "hello");
  expect_every_verb_refuses(file("notes.txt"), {1, 5}, {"notes.txt"});
  fs::create_directories(file("empty"));
  expect_every_verb_refuses(file("empty"), {1, 3}, {"config.json"});
}

}  // namespace
}  // namespace mynah::e2e
