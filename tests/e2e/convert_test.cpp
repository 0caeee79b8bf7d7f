// mynah convert and quantize: what is written is the same model.
#include <algorithm>
#include <cctype>

#include "formats/gguf.h"
#include "program.h"

namespace mynah::e2e {
namespace {

class Convert : public Sandbox {
 protected:
  Tensor logits(const fs::path& model, const fs::path& input) const {
    run_well({"forward", model.string(), "--input", input.string(), "--output", file("y.safetensors").string()});
    return read_tensors(file("y.safetensors")).at("logits");
  }
  std::vector<Json> encoded(const fs::path& model, const std::string& input) const {
    std::vector<Json> all;
    for (const std::string& line : run_well({"tokenize", model.string()}, input).lines())
      all.push_back(Json::parse(line)["ids"]);
    return all;
  }
  Json show(const fs::path& model) const { return run_well({"show", model.string(), "--json"}).json(); }
};

const char* const kTexts =
    "Hello world, it's 2024!\n  two  spaces\n\"tab\\tline\\n\\n end\"\nna\xC3\xAFve \xE6\x9D\xB1\xE4\xBA\xAC "
    "\xF0\x9F\x91\x8D\n";

TEST_F(Convert, FolderToGgufAndBackKeepsEveryBit) {
  for (const char* model : {"llama_base", "gpt2_base", "llama_mqa", "llama_bias", "llama_tied", "gpt2_untied"}) {
    const fs::path input = inputs(golden_file(std::string(model) + "/io_plain.safetensors"));
    const auto expected = logits(golden(model), input).to_vector();
    const fs::path gguf = file(std::string(model) + ".gguf"), folder = file(std::string(model) + "_back");
    run_well({"convert", golden(model).string(), gguf.string()});
    run_well({"convert", gguf.string(), folder.string()});
    EXPECT_EQ(logits(folder, input).to_vector(), expected) << model;
    const Tensor through = logits(gguf, input);
    expect_close(through, Tensor::from(std::span<const float>(expected), through.shape()), 1e-5, model);
    // The weights themselves come back under their names.
    const NamedTensors before = read_tensors(golden(model) / "model.safetensors"),
                       after = read_tensors(folder / "model.safetensors");
    ASSERT_EQ(before.size(), after.size()) << model;
    for (const auto& [name, tensor] : before) {
      ASSERT_TRUE(after.count(name)) << name;
      EXPECT_EQ(after.at(name).to_vector(), tensor.to_vector()) << name;
    }
  }
}

TEST_F(Convert, KeepsRopeScalingOrRefuses) {
  for (const char* model :
       {"llama_rope_linear", "llama_rope_old_type", "llama_rope_llama3", "llama_rope_parameters", "llama_rope_yarn",
        "llama_rope_yarn_attention", "llama_rope_yarn_mscale", "llama_rope_theta"}) {
    const fs::path input = inputs(golden_file(std::string(model) + "/io_plain.safetensors"));
    const fs::path gguf = file(std::string(model) + ".gguf"), folder = file(std::string(model) + "_back");
    const Tensor expected = logits(golden(model), input);
    run_well({"convert", golden(model).string(), gguf.string()});
    expect_close(logits(gguf, input), expected, 2e-5, model);
    run_well({"convert", gguf.string(), folder.string()});
    expect_close(logits(folder, input), expected, 2e-5, model);
  }
  const fs::path input = inputs(golden_file("gguf_llama_rope_freqs/io_plain.safetensors"));
  run_well({"convert", golden("gguf_llama_rope_freqs").string(), file("freqs").string()});
  expect_close(logits(file("freqs"), input), logits(golden("gguf_llama_rope_freqs"), input), 2e-5, "rope_freqs");
  for (const char* model : {"llama_rope_dynamic", "llama_rope_longrope", "llama_rope_yarn_smooth", "llama_gelu",
                            "gpt2_relu", "gpt2_unscaled"}) {
    expect_refused({"convert", golden(model).string(), file("refused.gguf").string()}, {1}, {"GGUF"});
    EXPECT_FALSE(fs::exists(file("refused.gguf")));
  }
}

TEST_F(Convert, FolderFromGgufGeneratesTheSame) {
  const fs::path gguf = golden("gguf_llama_f32");
  run_well({"convert", gguf.string(), file("folder").string()});
  const std::vector<std::string> rest = {"--prompt", "Hello", "--max-new-tokens", "12", "--json"};
  const auto generate = [&](const fs::path& model) {
    std::vector<std::string> words = {"generate", model.string()};
    words.insert(words.end(), rest.begin(), rest.end());
    return run_well(words).json();
  };
  EXPECT_EQ(generate(file("folder")), generate(gguf));
  EXPECT_EQ(encoded(file("folder"), kTexts), encoded(gguf, kTexts));
  // And the tokenizer survives the way back.
  run_well({"convert", file("folder").string(), file("again.gguf").string()});
  EXPECT_EQ(encoded(file("again.gguf"), kTexts), encoded(gguf, kTexts));
  EXPECT_EQ(generate(file("again.gguf")), generate(gguf));
}

// How tokenizer.json files of the families cut words, and the name that GGUF has for it.
TEST_F(Convert, KnowsHowATokenizerCutsWords) {
  const Json bytes = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
  const Json gpt2 = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  const auto sequence = [](const Json& first, const Json& second) {
    return Json({{"type", "Sequence"}, {"pretokenizers", {first, second}}});
  };
  const auto split = [](const std::string& digits) {
    const std::string regex = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" + digits +
                              "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
    return Json({{"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", "Isolated"}, {"invert", false}});
  };
  struct Case {
    std::string pre;
    Json pre_tokenizer;
    bool ignore_merges;
  };
  run_well({"convert", golden("gguf_llama_f32").string(), file("folder").string()});
  Json tokenizer = Json::parse(read_file(file("folder") / "tokenizer.json"));
  for (const Case& c : {Case{"gpt-2", gpt2, false},
                        {"smollm", sequence({{"type", "Digits"}, {"individual_digits", true}}, gpt2), false},
                        {"llama-bpe", sequence(split("\\p{N}{1,3}"), bytes), true},
                        {"dbrx", sequence(split("\\p{N}{1,3}"), bytes), false},
                        {"qwen2", sequence(split("\\p{N}"), bytes), false}}) {
    tokenizer["pre_tokenizer"] = c.pre_tokenizer;
    tokenizer["model"]["ignore_merges"] = c.ignore_merges;
    write_file(file("folder") / "tokenizer.json", tokenizer.dump());
    const fs::path gguf = file(c.pre + ".gguf");
    run_well({"convert", file("folder").string(), gguf.string()});
    EXPECT_EQ(show(gguf)["model_info"]["tokenizer.ggml.pre"], c.pre);
    EXPECT_EQ(encoded(gguf, kTexts), encoded(file("folder"), kTexts)) << c.pre;
  }
  // Another way has no name: said, and written all the same.
  tokenizer["pre_tokenizer"] = sequence({{"type", "Punctuation"}}, gpt2);
  write_file(file("folder") / "tokenizer.json", tokenizer.dump());
  const Result result = run({"convert", file("folder").string(), file("other.gguf").string()});
  EXPECT_EQ(result.code, 0);
  EXPECT_NE(result.err.find("ids may differ"), std::string::npos) << result.err;
  EXPECT_EQ(show(file("other.gguf"))["model_info"]["tokenizer.ggml.pre"], "default");
}

// Byte-pair encoding over characters, as `tokenizer train --type bpe` and Llama 2 have it.
const char* const kCharacters =
    R"({"version":"1.0","added_tokens":[{"id":0,"content":"<unk>","special":true},{"id":1,"content":"<s>","special":true},{"id":2,"content":"</s>","special":true}],
"normalizer":null,"pre_tokenizer":{"type":"Metaspace","replacement":"\u2581","prepend_scheme":"always","split":true},
"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":1}}],
"special_tokens":{"<s>":{"id":"<s>","ids":[1],"tokens":["<s>"]}}},
"decoder":{"type":"Metaspace","replacement":"\u2581","prepend_scheme":"always","split":true},
"model":{"type":"BPE","unk_token":"<unk>","fuse_unk":false,"byte_fallback":false,
"vocab":{"<unk>":0,"<s>":1,"</s>":2,"\u2581":3,"a":4,"b":5,"c":6,"d":7,"ab":8,"\u2581a":9,"cd":10,"abc":11,"\u2581ab":12,"bc":13},
"merges":[["a","b"],["\u2581","a"],["b","c"],["c","d"],["ab","c"],["\u2581","ab"]]}})";

TEST_F(Convert, KeepsATokenizerOfCharacters) {
  const fs::path folder = with_config("llama_base", [](Json&) {});
  write_file(folder / "tokenizer.json", kCharacters);
  write_file(folder / "tokenizer_config.json", R"({"bos_token":"<s>","eos_token":"</s>","unk_token":"<unk>"})");
  run_well({"convert", folder.string(), file("m.gguf").string()});
  run_well({"convert", file("m.gguf").string(), file("back").string()});
  const std::string texts = "abcd\nab a cd\nabcab dbca\nb</s>a x\n";
  const auto expected = encoded(folder, texts);
  EXPECT_EQ(expected.at(0), Json({1, 12, 10}));
  EXPECT_EQ(encoded(file("m.gguf"), texts), expected);
  EXPECT_EQ(encoded(file("back"), texts), expected);
  // llama_base has 67 rows and the tokenizer 14 tokens.
  EXPECT_EQ(show(file("m.gguf"))["model_info"]["tokenizer.ggml.model"], "llama");
  EXPECT_EQ(Json::parse(run_well({"tokenize", file("m.gguf").string(), "--decode"}, "[66]").out)["text"], "[PAD66]");
}

// Encoder-decoders: one table of biases or one for each layer, gated units, tied heads that read scaled rows, encoders alone.
TEST_F(Convert, KeepsT5) {
  for (const char* model : {"t5_base", "t5_gated", "mt5_base", "umt5_base", "t5_encoder"}) {
    const fs::path source = with_config(model, [](Json& config) { config["relative_attention_max_distance"] = 128; });
    const fs::path plain = golden_file(std::string(model) + "/io_plain.safetensors");
    const fs::path input = inputs(plain, [&](NamedTensors& kept) {
      const NamedTensors all = read_tensors(plain);
      if (all.count("decoder_input_ids")) kept.emplace("decoder_input_ids", all.at("decoder_input_ids"));
    });
    const std::string output = std::string(model) == "t5_encoder" ? "last_hidden_state" : "logits";
    const auto outputs = [&](const fs::path& which) {
      run_well({"forward", which.string(), "--input", input.string(), "--output", file("y.safetensors").string()});
      return read_tensors(file("y.safetensors")).at(output);
    };
    const Tensor expected = outputs(source);
    const fs::path gguf = file(std::string(model) + ".gguf"), back = file(std::string(model) + "_back");
    run_well({"convert", source.string(), gguf.string()});
    EXPECT_EQ(outputs(gguf).to_vector(), expected.to_vector()) << model;
    run_well({"convert", gguf.string(), back.string()});
    EXPECT_EQ(outputs(back).to_vector(), expected.to_vector()) << model;
    const Json info = show(gguf)["model_info"];
    const std::string architecture = info["general.architecture"];
    EXPECT_EQ(architecture, output == "logits" ? "t5" : "t5encoder");
    for (const char* key : {"context_length", "embedding_length", "feed_forward_length", "block_count", "attention.head_count", "attention.key_length", "attention.value_length",
                            "attention.layer_norm_epsilon", "attention.layer_norm_rms_epsilon", "attention.relative_buckets_count", "decoder_start_token_id"})
      EXPECT_TRUE(info.contains(architecture + "." + key)) << model << " " << key;
  }
  expect_refused({"convert", golden("t5_base").string(), file("x.gguf").string()}, {1}, {"distance"});
  expect_refused({"convert", golden("t5_silu").string(), file("x.gguf").string()}, {1}, {"gated-gelu"});
  EXPECT_FALSE(fs::exists(file("x.gguf")));
}

// Unigrams with a table of replacements, from tokenizer.json and from a SentencePiece model.
TEST_F(Convert, KeepsUnigrams) {
  const fs::path tokenizers = fs::path(MYNAH_TEST_DATA) / "golden/tokenizers";
  const std::string texts = "hello world, the bird\n\xEF\xBC\xA1\xEF\xBC\xA2 na\xC3\xAFve \xC2\xBD  two  spaces\n\xE6\x9D\xB1\xE4\xBA\xAC \xF0\x9F\x91\x8D end\n";
  for (const auto& [from, name] : {std::pair{tokenizers / "unigram/tokenizer.json", "tokenizer.json"}, {tokenizers / "folders/t5/spiece.model", "spiece.model"}}) {
    const fs::path folder = with_config("t5_base", [](Json& config) {
      config["relative_attention_max_distance"] = 128;
      config["vocab_size"] = 400;
    });
    NamedTensors weights = read_tensors(folder / "model.safetensors");
    weights["shared.weight"] = Tensor::zeros({400, weights["shared.weight"].size(1)});
    write_tensors(folder / "model.safetensors", weights);
    fs::copy_file(from, folder / name);
    if (name == std::string("spiece.model")) write_file(folder / "tokenizer_config.json", R"({"tokenizer_class":"T5Tokenizer"})");
    else write_file(folder / "tokenizer_config.json", R"({"unk_token":"<unk>","eos_token":"</s>"})");
    const fs::path gguf = file(std::string(name) + ".gguf"), back = file(std::string(name) + "_back");
    EXPECT_EQ(run({"convert", folder.string(), gguf.string()}).code, 0);
    run_well({"convert", gguf.string(), back.string()});
    const Json info = show(gguf)["model_info"];
    EXPECT_EQ(info["tokenizer.ggml.model"], "t5");
    EXPECT_EQ(info["tokenizer.ggml.add_eos_token"], true);
    const auto expected = encoded(folder, texts);
    EXPECT_EQ(expected.size(), 3u);
    EXPECT_EQ(encoded(gguf, texts), expected) << name;
    EXPECT_EQ(encoded(back, texts), expected) << name;
  }
}

TEST_F(Convert, KeepsHowToSample) {
  const auto with_settings = [&](const Json& settings) {
    const fs::path folder = with_config("llama_base", [](Json&) {});
    write_file(folder / "generation_config.json", settings.dump());
    fs::remove_all(file("back"));
    const Result there = run({"convert", folder.string(), file("m.gguf").string()});
    EXPECT_EQ(there.code, 0) << there.err;
    run_well({"convert", file("m.gguf").string(), file("back").string()});
    const fs::path back = file("back") / "generation_config.json";
    Json kept = Json::parse(read_file(back));
    for (const char* id : {"bos_token_id", "eos_token_id"}) kept.erase(id);  // of config.json
    return std::pair(kept, there.err);
  };
  const Json all = {{"temperature", 0.6}, {"top_k", 20}, {"top_p", 0.95}, {"min_p", 0.05}, {"repetition_penalty", 1.1}, {"do_sample", true}};
  EXPECT_EQ(with_settings(all), std::pair(all, std::string()));
  EXPECT_NEAR(show(file("m.gguf"))["model_info"]["general.sampling.temp"].get<double>(), 0.6, 1e-6);
  EXPECT_FALSE(Json::parse(read_file(file("back") / "config.json")).contains("temperature"));
  // What a sampling model has by default is written out.
  EXPECT_EQ(with_settings({{"do_sample", true}}).first, Json({{"temperature", 1.0}, {"top_k", 50}, {"top_p", 1.0}, {"do_sample", true}}));
  EXPECT_EQ(with_settings({{"do_sample", false}}), std::pair(Json({{"do_sample", false}}), std::string()));
  // Greedy stays greedy, and what is lost is said.
  const auto [greedy, said] = with_settings({{"do_sample", false}, {"temperature", 0.6}, {"max_length", 50}, {"suppress_tokens", {1}}});
  EXPECT_EQ(greedy, Json({{"do_sample", false}}));
  for (const char* lost : {"temperature", "max_length", "suppress_tokens"}) EXPECT_NE(said.find(lost), std::string::npos) << said;
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
}

TEST_F(Convert, SaysWhichFlagsOfAddedTokensAreLost) {
  const fs::path folder = with_config("llama_base", [](Json&) {});
  Json tokenizer = Json::parse(kCharacters);
  tokenizer["added_tokens"][1]["lstrip"] = true;
  tokenizer["added_tokens"][2]["single_word"] = true;
  write_file(folder / "tokenizer.json", tokenizer.dump());
  const Result result = run({"convert", folder.string(), file("m.gguf").string()});
  EXPECT_EQ(result.code, 0) << result.err;
  for (const char* word : {"lstrip of '<s>'", "single_word of '</s>'"}) EXPECT_NE(result.err.find(word), std::string::npos) << result.err;
}

// A file that keeps a million numbers: its metadata is read in linear time (quadratic would be an hour).
TEST_F(Convert, ShowsAFileWithAMillionKeys) {
  formats::GgufWriter writer(file("many.gguf"));
  const auto source = formats::GgufFile::open(golden("gguf_llama_f32"));
  for (const auto& value : source->metadata()) writer.copy(value);
  for (int i = 0; i < 1000000; ++i) writer.set("x." + std::to_string(i), i);
  for (const auto& info : source->tensors())
    writer.add({info.name, info.shape, *info.dtype, [&source, name = info.name] { return source->tensor(name); }});
  writer.finish();
  EXPECT_NE(run_well({"show", file("many.gguf").string(), "--json"}).out.find("\"x.999999\""), std::string::npos);
}

TEST_F(Convert, QuantisesToEveryTypeItNames) {
  const fs::path input = inputs(golden_file("llama_base/io_plain.safetensors"));
  for (const auto& [type, shown] : {std::pair{"q8_0", "q8_0"}, {"f16", "f16"}, {"bf16", "bf16"}}) {
    const fs::path gguf = file(std::string(type) + ".gguf");
    const Json sizes =
        run_well({"quantize", golden("llama_base").string(), gguf.string(), "--type", type, "--json"}).json();
    EXPECT_EQ(sizes["output_bytes"], fs::file_size(gguf));
    EXPECT_LT(sizes["output_bytes"].get<int64_t>(), sizes["input_bytes"].get<int64_t>());
    std::string level = show(gguf)["details"]["quantization_level"];
    std::transform(level.begin(), level.end(), level.begin(), [](unsigned char c) { return std::tolower(c); });
    EXPECT_EQ(level, shown);
    expect_close(logits(gguf, input), logits(golden("llama_base"), input), 0.05, type);
  }
}

TEST_F(Convert, ShowsWhatAFileIs) {
  const Json info = show(golden("gguf_llama_q8_0"));
  EXPECT_EQ(info["details"]["format"], "gguf");
  EXPECT_EQ(info["details"]["family"], "llama");
  EXPECT_EQ(info["model_info"]["general.architecture"], "llama");
  EXPECT_GT(info["model_info"]["general.parameter_count"].get<int64_t>(), 1000);
  EXPECT_EQ(show(golden("gpt2_base"))["details"]["format"], "safetensors");
  EXPECT_NE(run_well({"show", golden("llama_base").string()}).out.find("LlamaForCausalLM"), std::string::npos);
}

TEST_F(Convert, RefusesWhatItCannotDo) {
  const std::string llama = golden("llama_base").string(), gguf = golden("gguf_llama_f32").string();
  expect_refused({"quantize", llama, file("x.gguf").string(), "--type", "q9_z"}, {2}, {"q9_z"});
  expect_refused({"quantize", llama, file("x.gguf").string()}, {2}, {"--type"});
  expect_refused({"convert", llama}, {2}, {"out"});
  expect_refused({"convert", gguf, file("folder").string(), "--type", "q8_0"}, {2}, {"--type"});
  expect_refused({"convert", llama, file("folder").string()}, {2}, {".gguf"});
  expect_refused({"convert", file("missing").string(), file("x.gguf").string()}, {3}, {"missing"});
  fs::create_directories(file("full"));
  write_file(file("full") / "kept", "");
  expect_refused({"convert", gguf, file("full").string()}, {1, 2}, {"not empty"});
  EXPECT_FALSE(fs::exists(file("x.gguf")));
  fs::copy_file(gguf, file("same.gguf"));
  expect_refused({"quantize", file("same.gguf").string(), file("same.gguf").string(), "--type", "q8_0"}, {2}, {"same"});
  EXPECT_EQ(read_file(file("same.gguf")), read_file(gguf));
}

TEST_F(Convert, RefusesATokenizerWithoutAGgufForm) {
  const fs::path folder = with_config("llama_base", [](Json&) {});
  write_file(
      folder / "tokenizer.json",
      R"({"added_tokens":[],"normalizer":null,"pre_tokenizer":{"type":"Whitespace"},"post_processor":null,"decoder":null,
"model":{"type":"BPE","unk_token":null,"vocab":{"a":0,"b":1},"merges":[]}})");
  expect_refused({"convert", folder.string(), file("x.gguf").string()}, {1}, {"Whitespace"});
  EXPECT_FALSE(fs::exists(file("x.gguf")));
}

}  // namespace
}  // namespace mynah::e2e
