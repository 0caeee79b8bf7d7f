// PPO (arXiv:1707.06347) with a value model and a KL penalty, as TRL's PPOTrainer 1.12 runs it.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "train/objective.h"
#include "train/rollouts.h"
#include "train/subject.h"

namespace mynah::train {

struct PpoOptions {
  int64_t num_ppo_epochs = 4, response_length = 53;
  double kl_coef = 0.05, cliprange = 0.2, vf_coef = 0.1, cliprange_value = 0.2, gamma = 1, lam = 0.95, temperature = 0.7;
  std::string kl_estimator = "k1";  // k3
  bool whiten_rewards = false;
};

// `value` is a trainable classifier with one output; its parameters are trained beside the policy's.
std::unique_ptr<Objective> make_ppo(const Arguments& arguments, const PpoOptions& options, const Subject& policy, std::shared_ptr<bundle::Bundle> value,
                                    std::shared_ptr<bundle::Bundle> reference, std::unique_ptr<Rollouts> rollouts);

// Generalised advantages of one row: rewards and values per token -> advantages.
std::vector<double> generalized_advantages(const std::vector<double>& rewards, const std::vector<double>& values, double gamma, double lam);

}  // namespace mynah::train
