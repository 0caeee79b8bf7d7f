// Replays a PyTorch run of the same model on the same batches: losses and gradient norms agree for 50 steps.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/json.h"
#include "bundle/bundle.h"
#include "formats/safetensors.h"
#include "mynah/autograd.h"
#include "mynah/train.h"

namespace mynah {
namespace {

namespace fs = std::filesystem;

const fs::path kRun = fs::path(MYNAH_TEST_DATA) / "golden" / "train_char";

struct Curve {
  std::vector<double> losses, norms;
};

Curve replay(int steps, const std::string& save_to = "") {
  const Json expected = read_json_file(kRun / "losses.json");
  const auto batches = formats::SafetensorsFile::open(kRun / "batches.safetensors");
  const Tensor ids = batches->tensor("input_ids");
  const Model model = Model::open((kRun / "init").string(), {.precision = Precision::f32, .trainable = true});
  const auto parameters = model.parameters();
  AdamW optimizer(parameters, {.learning_rate = 1e-3, .beta1 = 0.9, .beta2 = 0.95, .weight_decay = 0.1});
  Curve run;
  for (int64_t step = 0; step < steps; ++step) {
    const Tensor batch = to(contiguous(narrow(ids, 0, step, 1)).as_strided({ids.size(1), ids.size(2)}, {ids.size(2), 1}), DType::i64);
    const Tensor loss = model.forward({{"input_ids", batch}, {"labels", batch}}).at("loss");
    backward(loss);
    run.norms.push_back(clip_grad_norm(parameters, 0));
    run.losses.push_back(loss.item());
    optimizer.step();
    optimizer.zero_grad();
  }
  if (!save_to.empty()) model.save(save_to);
  return run;
}

TEST(TrainChar, LossesFollowTheReferenceFor50Steps) {
  const Json expected = read_json_file(kRun / "losses.json");
  const Curve run = replay(50);
  for (size_t i = 0; i < run.losses.size(); ++i) {
    EXPECT_NEAR(run.losses[i], expected["loss"][i].get<double>(), 1e-3) << "step " << i;
    EXPECT_NEAR(run.norms[i], expected["grad_norm"][i].get<double>(), 1e-2) << "step " << i;
  }
  EXPECT_LT(run.losses.back(), run.losses.front() - 1);
}

TEST(TrainChar, ARunIsReproducibleToTheBit) { EXPECT_EQ(replay(5).losses, replay(5).losses); }

TEST(TrainChar, ASavedCheckpointOpensWithTheSameWeights) {
  const fs::path folder = fs::temp_directory_path() / ("mynah-train-" + std::to_string(::getpid()));
  replay(2, folder.string());
  const double expected = replay(3).losses[2];
  const Model again = Model::open(folder.string());
  const auto batches = formats::SafetensorsFile::open(kRun / "batches.safetensors");
  NoGrad no_grad;
  const Tensor ids = to(contiguous(narrow(batches->tensor("input_ids"), 0, 2, 1)).as_strided({8, 32}, {32, 1}), DType::i64);
  EXPECT_NEAR(again.forward({{"input_ids", ids}, {"labels", ids}}).at("loss").item(), expected, 1e-6);
  fs::remove_all(folder);
}

}  // namespace
}  // namespace mynah
