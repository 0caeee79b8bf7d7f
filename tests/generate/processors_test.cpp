// What the settings that are not the reference's own do to the scores of the next token; the others are held by golden runs.
#include "generate/scores.h"

#include <gtest/gtest.h>

namespace mynah::generation {
namespace {

constexpr int32_t kEnd = 2;

// Scores of five tokens after `tokens`, of which the first is the prompt.
std::vector<float> processed(const GenerationConfig& config, std::vector<int32_t> tokens) {
  std::vector<float> scores = {1, 2, -1, 4, 5};
  Progress progress;
  progress.tokens = tokens;
  progress.prompt_length = 1;
  progress.max_length = 100;
  process(config, progress, scores);
  return scores;
}

TEST(Processors, TheEndIsFavouredOnlyAfterTheSequencesThatAreNamed) {
  GenerationConfig config;
  config.eos_token_id = {kEnd};
  config.exponential_decay_length_penalty = {1, 2.0f};
  EXPECT_EQ(processed(config, {0, 3, 4})[kEnd], -1 + 1 * (2 - 1));
  config.decay_after = {{1, 4}, {3}};
  EXPECT_EQ(processed(config, {0, 3, 4})[kEnd], -1);
  EXPECT_EQ(processed(config, {0, 4, 3})[kEnd], -1 + 1 * (2 - 1));
  EXPECT_EQ(processed(config, {0, 1, 4})[kEnd], -1 + 1 * (2 - 1));
  EXPECT_EQ(processed(config, {0, 3})[kEnd], -1);  // not yet that long
}

TEST(Processors, ExemptTokensMayComeAgain) {
  GenerationConfig config;
  config.repetition_penalty = 2.0f;
  EXPECT_EQ(processed(config, {0, 3, 4}), (std::vector<float>{0.5f, 2, -1, 2, 2.5f}));
  config.repetition_exempt = {3};
  EXPECT_EQ(processed(config, {0, 3, 4}), (std::vector<float>{0.5f, 2, -1, 4, 2.5f}));
}

}  // namespace
}  // namespace mynah::generation
