// Training mode of every family: dropout acts where the reference's does (the golden runs have the masks that are drawn here), and layers
// that are computed again in the backward pass change nothing but the memory that waits for it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/json.h"
#include "bundle/bundle.h"
#include "formats/safetensors.h"
#include "mynah/autograd.h"
#include "nn/dropout.h"
#include "tensor/storage.h"

namespace mynah {
namespace {

namespace fs = std::filesystem;

const fs::path kGolden = fs::path(MYNAH_TEST_DATA) / "golden";

struct Step {
  double loss = 0, norm = 0;
  std::vector<std::vector<float>> gradients;
  size_t waiting = 0;  // bytes that the forward pass leaves for the backward pass
  bool recomputed = false;
};

struct Case {
  explicit Case(const std::string& name, const Json& expected) {
    const fs::path folder = kGolden / "models" / name.substr(0, name.find(' '));
    bundle::TrainOptions train;
    train.edit_config = [&expected](Json* config) { config->update(expected.at("config")); };
    model = bundle::open(folder, {.precision = Precision::f32, .trainable = true}, {.network = true, .tokenizer = false}, train);
    const auto file = formats::SafetensorsFile::open(folder / "io_grad.safetensors");
    for (const Json& input : expected.at("inputs")) {
      const auto key = input.get<std::string>();
      const Tensor all = file->tensor(key);
      inputs[key] = key.starts_with("labels.") ? all : contiguous(narrow(all, 0, 0, 1));  // objects belong to one picture already
    }
  }

  Step run(bool recomputes) const {
    Step step;
    const nn::Training training(7, 3, recomputes);
    const size_t before = Storage::live_bytes();
    const Tensor loss = model->network->forward(inputs, {}).at("loss");
    step.waiting = Storage::live_bytes() - before;
    step.recomputed = training.recomputed_any();
    step.loss = loss.item();
    backward(loss);
    double squares = 0;
    for (const nn::Parameter& p : model->weights.parameters) {
      step.gradients.push_back(grad(p.value).defined() ? grad(p.value).to_vector() : std::vector<float>());
      for (const float g : step.gradients.back()) squares += static_cast<double>(g) * g;
      zero_grad(p.value);
    }
    step.norm = std::sqrt(squares);
    return step;
  }

  std::shared_ptr<bundle::Bundle> model;
  nn::NamedTensors inputs;
};

Json cases() { return read_json_file(kGolden / "dropout.json"); }

std::vector<std::string> names() {
  std::vector<std::string> all;
  const Json file = cases();
  for (const auto& [name, expected] : file.items()) all.push_back(name);
  return all;
}

class TrainingMode : public testing::TestWithParam<std::string> {};

TEST_P(TrainingMode, DropsWhatTheReferenceDrops) {
  const Json expected = cases().at(GetParam());
  const Step step = Case(GetParam(), expected).run(false);
  const double loss = expected.at("loss").get<double>(), norm = expected.at("grad_norm").get<double>();
  EXPECT_NEAR(step.loss, loss, 1e-4 * std::max(1.0, loss));
  EXPECT_NEAR(step.norm, norm, 1e-4 * std::max(1.0, norm));
}

TEST_P(TrainingMode, LayersThatAreComputedAgainChangeNothing) {
  const Case one(GetParam(), cases().at(GetParam()));
  const Step kept = one.run(false), again = one.run(true);
  EXPECT_FALSE(kept.recomputed);
  const bool convolutional = GetParam() == "efficientnet_classify";  // whose norms count what passes through them
  ASSERT_EQ(again.recomputed, !convolutional);
  EXPECT_EQ(kept.loss, again.loss);
  // What a layer shares with others besides its rows gets a layer's gradients as one sum, so the last bit may differ.
  ASSERT_EQ(kept.gradients.size(), again.gradients.size());
  for (size_t p = 0; p < kept.gradients.size(); ++p) {
    const std::vector<float>&a = kept.gradients[p], &b = again.gradients[p];
    ASSERT_EQ(a.size(), b.size()) << one.model->weights.parameters[p].name;
    float largest = 1;
    for (const float g : a) largest = std::max(largest, std::abs(g));
    for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-6f * largest) << one.model->weights.parameters[p].name << ", element " << i;
  }
  if (!convolutional) {
    EXPECT_LT(again.waiting, kept.waiting);
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, TrainingMode, testing::ValuesIn(names()), [](const auto& test) {
  std::string name = test.param;
  std::replace(name.begin(), name.end(), ' ', '_');
  return name;
});

}  // namespace
}  // namespace mynah
