// Every golden checkpoint gives the reference's logits, hidden states, loss and gradients (1e-4, times the largest magnitude of
// the tensor where that exceeds 1) and its greedy ids exactly.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>

#include "bundle/bundle.h"
#include "formats/safetensors.h"
#include "mynah/autograd.h"
#include "mynah/generate.h"

namespace mynah {
namespace {

namespace fs = std::filesystem;

const fs::path kModels = fs::path(MYNAH_TEST_DATA) / "golden" / "models";

std::vector<fs::path> entries(const fs::path& folder, const std::string& prefix) {
  std::vector<fs::path> all;
  if (fs::exists(folder))
    for (const auto& e : fs::directory_iterator(folder))
      if (e.path().filename().string().rfind(prefix, 0) == 0) all.push_back(e.path());
  std::sort(all.begin(), all.end());
  return all;
}

std::string test_name(const testing::TestParamInfo<fs::path>& info) {
  std::string name = info.param.filename().string();
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
}

struct Io {
  nn::NamedTensors inputs, outputs;
};
Io read(const fs::path& path) {
  Io io;
  const auto file = formats::SafetensorsFile::open(path);
  for (const auto& info : file->tensors()) {
    if (info.name.rfind("out.", 0) == 0) io.outputs[info.name.substr(4)] = file->tensor(info.name);
    else io.inputs[info.name] = file->tensor(info.name);
  }
  return io;
}

// `mask`: rows (all but the last dimension) to compare; empty compares all.
void expect_close(const Tensor& got, const Tensor& expected, const std::vector<float>& mask, const std::string& what) {
  ASSERT_TRUE(got.defined()) << what;
  ASSERT_EQ(got.shape().str(), expected.shape().str()) << what;
  const auto a = got.to_vector(), b = expected.to_vector();
  float scale = 1;
  for (const float v : b) scale = std::max(scale, std::abs(v));
  const size_t width = mask.empty() ? 1 : b.size() / mask.size();
  for (size_t i = 0; i < b.size(); ++i) {
    if (!mask.empty() && mask[i / width] == 0) continue;
    ASSERT_NEAR(a[i], b[i], 1e-4f * scale) << what << ", element " << i;
  }
}

// The mask of the tokens that an output has a row for: values at hidden tokens are unspecified. Empty if it has none.
std::vector<float> seen(const Io& io, const std::string& output, const Tensor& expected) {
  const bool decoder = io.inputs.count("decoder_input_ids") && output.rfind("encoder_", 0) != 0;
  const auto mask = io.inputs.find(decoder ? "decoder_attention_mask" : "attention_mask");
  if (mask == io.inputs.end()) return {};
  const Shape shape = mask->second.shape();
  for (int i = 0; i < shape.rank(); ++i)
    if (i >= expected.rank() || expected.size(i) != shape[i]) return {};
  return mask->second.to_vector();
}

// A folder in Hugging Face layout, or the .gguf file inside it.
fs::path model_of(const fs::path& folder) {
  for (const auto& e : fs::directory_iterator(folder))
    if (e.path().extension() == ".gguf") return e.path();
  return folder;
}

class GoldenModels : public testing::TestWithParam<fs::path> {};

TEST_P(GoldenModels, ForwardAndGradients) {
  for (const fs::path& path : entries(GetParam(), "io_")) {
    if (path.filename() == "io_generate.safetensors") continue;
    const Io io = read(path);
    const bool trains = io.outputs.count("loss") != 0;
    LoadOptions options;
    options.precision = Precision::f32;
    options.trainable = trains;
    const auto b = bundle::open(model_of(GetParam()), options, {.network = true, .tokenizer = false});
    bool states = false;
    for (const auto& [name, tensor] : io.outputs) states = states || name.find("hidden_states.") != std::string::npos;
    std::optional<NoGrad> answers;
    if (!trains) answers.emplace();
    const nn::NamedTensors got = b->network->forward(io.inputs, {states});
    if (trains) backward(got.at("loss"));
    std::map<std::string, Tensor> grads;
    for (const auto& [name, g] : nn::disk_gradients(b->weights)) grads["grad." + name] = g;
    for (const auto& [name, expected] : io.outputs) {
      const std::string what = path.filename().string() + " " + name;
      if (name.rfind("grad.", 0) == 0) expect_close(grads[name], expected, {}, what);
      else if (name == "loss") expect_close(got.at("loss"), expected.as_strided({}, {}), {}, what);
      else expect_close(got.count(name) ? got.at(name) : Tensor(), expected, seen(io, name, expected), what);
    }
    if (!states) continue;
    // Nobody asks for every layer's rows in earnest, and a model may then leave some out: what it answers stays the same, and so does what it learns.
    for (const auto& parameter : b->weights.parameters) zero_grad(parameter.value);
    const nn::NamedTensors plain = b->network->forward(io.inputs, {});
    if (trains) backward(plain.at("loss"));
    for (const auto& [name, value] : plain) {
      ASSERT_EQ(value.shape().str(), got.at(name).shape().str()) << name;
      EXPECT_EQ(value.to_vector(), got.at(name).to_vector()) << path.filename() << " " << name;
    }
    if (trains)
      for (const auto& [name, g] : nn::disk_gradients(b->weights)) expect_close(g, grads["grad." + name], {}, path.filename().string() + " " + name + " without states");
  }
}

// Convolutions in 8 bits keep to the reference within some hundredths of the largest number.
TEST(GoldenConvolutions, InInt8) {
  NoGrad no_grad;
  for (const char* name : {"resnet_basic", "resnet_bottleneck", "convnext_classify", "yolo_v5", "yolo_v8"}) {
    const Io io = read(kModels / name / "io_plain.safetensors");
    LoadOptions options;
    options.precision = Precision::int8;
    const auto got = bundle::open(kModels / name, options, {.network = true, .tokenizer = false})->network->forward(io.inputs, {});
    for (const char* output : {"logits", "pred_boxes", "scores"}) {
      if (!io.outputs.count(output)) continue;
      const auto a = got.at(output).to_vector(), b = io.outputs.at(output).to_vector();
      float largest = 0, error = 0;
      for (size_t i = 0; i < b.size(); ++i) largest = std::max(largest, std::abs(b[i])), error = std::max(error, std::abs(a[i] - b[i]));
      EXPECT_LT(error, 0.04f * largest) << name << " " << output;
      EXPECT_GT(error, 0.0f) << name << " " << output;
    }
  }
}

class GoldenGeneration : public testing::TestWithParam<fs::path> {};

TEST_P(GoldenGeneration, GreedyIds) {
  const fs::path path = GetParam() / "io_generate.safetensors";
  const Io io = read(path);
  LoadOptions options;
  options.precision = Precision::f32;
  const Model model(bundle::open(model_of(GetParam()), options, {.network = true, .tokenizer = false}));
  const auto ids = io.inputs.at("input_ids").to_vector(), mask = io.inputs.at("attention_mask").to_vector();
  const int64_t rows = io.inputs.at("input_ids").size(0), length = io.inputs.at("input_ids").size(1);
  std::vector<std::vector<int32_t>> prompts(static_cast<size_t>(rows));
  for (size_t i = 0; i < ids.size(); ++i)
    if (mask[i] != 0) prompts[i / static_cast<size_t>(length)].push_back(static_cast<int32_t>(ids[i]));
  for (const auto& [output, eos] : {std::pair{"sequences", "unused_token_id"}, {"sequences_eos", "eos_token_id"}}) {
    const Tensor expected = io.outputs.at(output);
    GenerationConfig config;
    config.max_new_tokens = expected.size(1) - length;
    config.eos_token_id = {static_cast<int32_t>(io.inputs.at(eos).to_vector()[0])};
    const auto results = generate(model, prompts, config);
    const auto values = expected.to_vector();
    for (int64_t b = 0; b < rows; ++b) {
      const auto& got = results[static_cast<size_t>(b)].ids;
      for (int64_t t = length; t < expected.size(1); ++t) {
        const size_t step = static_cast<size_t>(t - length);
        const float wanted = values[static_cast<size_t>(b * expected.size(1) + t)];
        const float given = step < got.size() ? static_cast<float>(got[step]) : io.inputs.at("pad_token_id").to_vector()[0];
        ASSERT_EQ(given, wanted) << output << ", row " << b << ", token " << step;
      }
      // Alone, a row gives the same.
      ASSERT_EQ(generate(model, {prompts[static_cast<size_t>(b)]}, config)[0].ids, got);
    }
  }
}

std::vector<fs::path> cases(const char* file = nullptr) {
  std::vector<fs::path> all;
  for (const auto& p : entries(kModels, ""))
    if (!file || fs::exists(p / file)) all.push_back(p);
  return all;
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, GoldenModels, testing::ValuesIn(cases()), test_name);
INSTANTIATE_TEST_SUITE_P(Checkpoints, GoldenGeneration, testing::ValuesIn(cases("io_generate.safetensors")), test_name);

TEST(Golden, ThereAreMany) {
  EXPECT_GT(cases().size(), 40u);
  EXPECT_GT(cases("io_generate.safetensors").size(), 15u);
}

}  // namespace
}  // namespace mynah
