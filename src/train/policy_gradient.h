// GRPO (arXiv:2402.03300) with the loss types of TRL, and RLOO (arXiv:2402.14740).
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "train/objective.h"
#include "train/rollouts.h"
#include "train/subject.h"

namespace mynah::train {

struct PolicyGradientOptions {
  bool leave_one_out = false;                     // RLOO
  int64_t num_generations = 8, num_iterations = 1, max_completion_length = 512;
  double beta = 0, epsilon = 0.2, temperature = 1;
  std::optional<double> epsilon_high, delta;
  std::optional<std::pair<double, double>> reward_clip_range;  // RLOO
  std::string loss_type = "dapo";                 // grpo, bnpo, dr_grpo, dapo, cispo, sapo, luspo, vespo
  std::string scale_rewards = "group";            // batch, none
  std::string importance_sampling_level = "token";  // sequence
  bool normalize_advantages = false;              // RLOO
  bool mask_truncated_completions = false;
  bool use_bias_correction_kl = true;
};

// `reference` may be null when beta is 0.
std::unique_ptr<Objective> make_policy_gradient(const Arguments& arguments, const PolicyGradientOptions& options, const Subject& subject,
                                                std::shared_ptr<bundle::Bundle> reference, std::unique_ptr<Rollouts> rollouts);

// Advantages of rewards whose groups are neighbours. A reward that is not a number has advantage 0 and counts nowhere.
std::vector<double> group_advantages(const std::vector<double>& rewards, const PolicyGradientOptions& options, double* zero_spread);

}  // namespace mynah::train
