// mynah forward: named tensors in, the reference's outputs out.
#include <cmath>

#include "program.h"

namespace mynah::e2e {
namespace {

class Forward : public Sandbox {
 protected:
  std::vector<std::string> command(const std::string& model, const fs::path& input,
                                   std::vector<std::string> more = {}) const {
    std::vector<std::string> words = {"forward", model, "--input", input.string(), "--output", output().string()};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  fs::path output() const { return file("outputs.safetensors"); }

  // Every out.NAME of the golden file is in the output; `grad.` and others alike.
  void expect_golden(const fs::path& golden_outputs) const {
    const NamedTensors got = read_tensors(output());
    for (const auto& [name, expected] : read_tensors(golden_outputs)) {
      if (name.rfind("out.", 0) != 0) continue;
      const auto at = got.find(name.substr(4));
      ASSERT_NE(at, got.end()) << name;
      EXPECT_EQ(at->second.dtype(), DType::f32) << name;
      expect_close(at->second, expected, 1e-4, name);
    }
  }
  void expect_refused_without_output(const std::vector<std::string>& words, const std::vector<int>& codes,
                                     const std::vector<std::string>& said = {}) const {
    expect_refused(words, codes, said);
    EXPECT_FALSE(fs::exists(output()));
  }
};

TEST_F(Forward, GivesTheReferencesHiddenStatesAndLogits) {
  for (const char* model : {"llama_base", "gpt2_base", "gguf_llama_f32"}) {
    const fs::path golden_io = golden_file(std::string(model) + "/io_plain.safetensors");
    run_well(command(golden(model).string(), inputs(golden_io), {"--hidden-states"}));
    expect_golden(golden_io);
  }
}

TEST_F(Forward, GivesHiddenStatesOnRequestOnly) {
  run_well(command(golden("llama_base").string(), inputs(golden_file("llama_base/io_plain.safetensors"))));
  const NamedTensors got = read_tensors(output());
  EXPECT_EQ(got.size(), 1u);
  EXPECT_TRUE(got.count("logits"));
}

TEST_F(Forward, GivesLossAndGradientsUnderTheNamesOnDisk) {
  for (const char* model : {"llama_base", "gpt2_base", "gguf_llama_f32", "gguf_gpt2_f32"}) {
    const fs::path golden_io = golden_file(std::string(model) + "/io_grad.safetensors");
    run_well(command(golden(model).string(), inputs(golden_io), {"--grad"}));
    expect_golden(golden_io);
  }
}

TEST_F(Forward, AcceptsIdsAsI32) {
  const fs::path golden_io = golden_file("llama_base/io_plain.safetensors");
  run_well(command(golden("llama_base").string(), inputs(golden_io, [](NamedTensors& t) {
                     const Tensor& ids = t.at("input_ids");
                     const std::vector<int32_t> narrow(ids.data<int64_t>(), ids.data<int64_t>() + ids.numel());
                     t.at("input_ids") = Tensor::from(std::span<const int32_t>(narrow), ids.shape());
                   })));
  expect_close(read_tensors(output()).at("logits"), read_tensors(golden_io).at("out.logits"), 1e-4, "logits");
}

TEST_F(Forward, SaysSoWithBooleanValues) {
  const auto input = inputs(golden_file("llama_base/io_grad.safetensors"));
  run_well(command(golden("llama_base").string(), input, {"--grad", "false", "--hidden-states", "1"}));
  const NamedTensors got = read_tensors(output());
  EXPECT_TRUE(got.count("hidden_states.0"));
  EXPECT_FALSE(got.count("grad.lm_head.weight"));
}

TEST_F(Forward, RefusesWhatItCannotDo) {
  const std::string llama = golden("llama_base").string();
  const fs::path plain = golden_file("llama_base/io_plain.safetensors");
  expect_refused_without_output(command(llama, inputs(plain), {"--grad"}), {1, 2}, {"labels"});
  expect_refused_without_output(command(golden("gguf_llama_q8_0").string(),
                                        inputs(golden_file("gguf_llama_q8_0/io_plain.safetensors"),
                                               [](NamedTensors& t) { t["labels"] = t.at("input_ids"); }),
                                        {"--grad"}),
                                {2});
  expect_refused_without_output(
      command(llama, inputs(plain, [](NamedTensors& t) { t.at("input_ids") = ids_tensor({1, 2, 67}); })), {1, 2},
      {"67"});
  expect_refused_without_output(
      command(llama, inputs(plain, [](NamedTensors& t) { t.at("input_ids") = ids_tensor({1, -1}); })), {1, 2}, {"-1"});
  expect_refused_without_output(
      command(llama, inputs(plain, [](NamedTensors& t) { t["labels"] = ids_tensor({1, 2}); })), {1, 2}, {"labels"});
  expect_refused_without_output(command(llama, inputs(plain,
                                                      [](NamedTensors& t) {
                                                        t["labels"] = Tensor::from(
                                                            std::span<const int64_t>(std::vector<int64_t>(27, 99)),
                                                            t.at("input_ids").shape());
                                                      })),
                                {1, 2}, {"99"});
  expect_refused_without_output(
      command(llama, inputs(plain, [](NamedTensors& t) { t["attention_mask"] = ids_tensor({1, 1}); })), {1, 2},
      {"attention_mask"});
  expect_refused_without_output(
      command(llama, inputs(plain, [](NamedTensors& t) { t["pixel_values"] = Tensor::zeros({1, 3}); })), {1, 2},
      {"pixel_values"});
  expect_refused_without_output(command(llama, inputs(plain,
                                                      [](NamedTensors& t) {
                                                        t.erase("input_ids");
                                                        t["position_ids"] = ids_tensor({1});
                                                      })),
                                {1, 2}, {"input_ids"});
  expect_refused_without_output(
      command(llama, inputs(plain, [](NamedTensors& t) { t.at("input_ids") = Tensor::zeros({1, 3}); })), {1, 2},
      {"input_ids"});
}

TEST_F(Forward, RefusesFilesThatAreNotThereOrDamaged) {
  const std::string llama = golden("llama_base").string();
  expect_refused_without_output(command(llama, file("missing.safetensors")), {1, 3}, {"missing.safetensors"});
  write_file(file("damaged.safetensors"), "these are not tensors");
  expect_refused_without_output(command(llama, file("damaged.safetensors")), {1, 5}, {"damaged.safetensors"});
  expect_refused({"forward", llama, "--output", output().string()}, {2}, {"--input"});
  expect_refused({"forward", llama, "--input", inputs(golden_file("llama_base/io_plain.safetensors")).string()}, {2},
                 {"--output"});
}

TEST_F(Forward, LeavesAnOlderOutputWhenItRefuses) {
  write_file(output(), "kept");
  expect_refused(
      command(golden("llama_base").string(), inputs(golden_file("llama_base/io_plain.safetensors")), {"--grad"}),
      {1, 2});
  EXPECT_EQ(read_file(output()), "kept");
}

TEST_F(Forward, CannotWriteIntoAFolderThatIsNotThere) {
  expect_refused({"forward", golden("llama_base").string(), "--input",
                  inputs(golden_file("llama_base/io_plain.safetensors")).string(), "--output",
                  file("no/such/y.safetensors").string()},
                 {1, 3}, {"no/such"});
}

TEST_F(Forward, ComputesInFewerBits) {
  const auto outputs = [&](const char* model, const std::vector<std::string>& more) {
    run_well(command(golden(model).string(), inputs(golden_file(std::string(model) + "/io_plain.safetensors")), more));
    return read_tensors(output()).at("logits");
  };
  for (const char* model : {"llama_base", "gpt2_base", "gguf_llama_f32", "gguf_llama_mix_32"}) {
    const Tensor exact = outputs(model, {}), rounded = outputs(model, {"--dtype", "bf16"});
    EXPECT_EQ(rounded.dtype(), DType::f32) << model;
    EXPECT_NE(rounded.to_vector(), exact.to_vector()) << model;
    expect_close(rounded, exact, 0.05, model);
  }
  for (const char* model : {"llama_base", "gpt2_base", "bert_base", "gguf_llama_mix_32"}) {
    if (!fs::exists(golden_file(std::string(model) + "/io_plain.safetensors"))) continue;
    const auto all = [&](const std::vector<std::string>& more) {
      run_well(command(golden(model).string(), inputs(golden_file(std::string(model) + "/io_plain.safetensors")), more));
      return read_tensors(output());
    };
    const NamedTensors exact = all({}), int8 = all({"--dtype", "int8"});
    for (const auto& [name, tensor] : exact) {
      EXPECT_NE(int8.at(name).to_vector(), tensor.to_vector()) << model;
      expect_close(int8.at(name), tensor, 0.1, model);
    }
  }
  expect_refused(command(golden("llama_base").string(), inputs(golden_file("llama_base/io_grad.safetensors")), {"--grad", "--dtype", "int8"}), {2}, {"int8"});
  // What a file of bf16 gives as it is.
  EXPECT_EQ(outputs("llama_bf16", {"--dtype", "bf16"}).to_vector(), outputs("llama_bf16", {"--dtype", "stored"}).to_vector());
  // Gradients of the rounded weights, in f32.
  const fs::path golden_io = golden_file("llama_base/io_grad.safetensors");
  run_well(command(golden("llama_base").string(), inputs(golden_io), {"--grad", "--dtype", "bf16"}));
  const NamedTensors got = read_tensors(output());
  for (const auto& [name, expected] : read_tensors(golden_io))
    if (name.rfind("out.grad.", 0) == 0) expect_close(got.at(name.substr(4)), expected, 0.05, name);
}

TEST_F(Forward, GivesTheSameBytesForAnyNumberOfThreads) {
  const auto input = inputs(golden_file("gguf_llama_mix_k/io_plain.safetensors"));
  run_well(command(golden("gguf_llama_mix_k").string(), input, {"--dtype", "stored"}));
  const std::string two = read_file(output());
  set_environment("MYNAH_THREADS", "1");
  run_well(command(golden("gguf_llama_mix_k").string(), input, {"--dtype", "stored"}));
  EXPECT_TRUE(read_file(output()) == two);
}

// One processor's settings as the golden pictures have them.
std::string settings_of(const char* file, const char* name) { return Json::parse(read_file(golden_file(std::string("../media/") + file)))[name].dump(); }

TEST_F(Forward, PicturesGoThroughTheModelsOwnProcessor) {
  const std::string picture = golden_file("../media/picture.png").string(), grey = golden_file("../media/grey.png").string();
  // A folder of processors alone gives what they make; an option given twice makes two rows.
  fs::create_directories(file("processor"));
  write_file(file("processor") / "preprocessor_config.json", settings_of("processed.json", "clip"));
  run_well({"forward", file("processor").string(), "--image", picture, "--image", grey, "--output", output().string()});
  const NamedTensors processed = read_tensors(output());
  ASSERT_EQ(processed.size(), 1u);
  expect_close(processed.at("input.pixel_values"), read_tensors(golden_file("../media/processed.safetensors")).at("clip.pixel_values"), 1e-4, "pixels");
  // With a model beside them the model sees the pixels.
  const fs::path vit = with_config("vit_classify", [](Json&) {});
  Json settings = Json::parse(settings_of("processed.json", "vit"));
  settings["size"] = {{"height", 8}, {"width", 8}};
  write_file(vit / "preprocessor_config.json", settings.dump());
  run_well({"forward", vit.string(), "--image", picture, "--output", output().string()});
  const NamedTensors seen = read_tensors(output());
  EXPECT_EQ(seen.at("input.pixel_values").shape(), (Shape{1, 3, 8, 8}));
  EXPECT_EQ(seen.at("logits").shape(), (Shape{1, 3}));
}

TEST_F(Forward, SoundsGoThroughTheModelsOwnProcessor) {
  fs::create_directories(file("processor"));
  write_file(file("processor") / "preprocessor_config.json", settings_of("sound.json", "whisper"));
  const std::string sound = golden_file("../media/sound.wav").string();
  run_well({"forward", file("processor").string(), "--audio", sound, "--output", output().string()});
  const Tensor expected = read_tensors(golden_file("../media/sound.safetensors")).at("whisper");
  expect_close(read_tensors(output()).at("input.input_features"), expected.as_strided({1, expected.size(1), expected.size(2)}, {expected.stride(0), expected.stride(1), 1}),
               1e-4, "features");
}

TEST_F(Forward, RefusesFilesThatAreNoPictures) {
  fs::create_directories(file("processor"));
  write_file(file("processor") / "preprocessor_config.json", settings_of("processed.json", "vit"));
  const auto with = [&](const std::string& path) { return std::vector<std::string>{"forward", file("processor").string(), "--image", path, "--output", output().string()}; };
  expect_refused_without_output(with(file("none.png").string()), {3}, {"none.png"});
  expect_refused_without_output(with(golden_file("../media/sound.wav").string()), {1}, {"sound.wav"});
  expect_refused_without_output({"forward", golden("vit_classify").string(), "--image", golden_file("../media/grey.png").string(), "--output", output().string()}, {3},
                                {"preprocessor_config.json"});
}

}  // namespace
}  // namespace mynah::e2e
