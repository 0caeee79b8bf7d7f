// Reward models (Bradley-Terry) as TRL's RewardTrainer trains them: a classifier with one output.
#pragma once
#include <filesystem>
#include <memory>
#include <optional>

#include "train/objective.h"
#include "train/subject.h"

namespace mynah::train {

struct RewardOptions {
  int64_t max_length = 1024;
  std::optional<double> center_rewards_coefficient;
};

std::unique_ptr<Objective> make_reward(const Arguments& arguments, const RewardOptions& options, const Subject& subject,
                                       const std::filesystem::path& train_file, const std::filesystem::path& validation_file);

}  // namespace mynah::train
