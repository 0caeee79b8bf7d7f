// Learning from preferences: DPO with TRL's loss types, KTO and ORPO.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "train/objective.h"
#include "train/subject.h"

namespace mynah::train {

struct PreferenceOptions {
  double beta = 0.1;
  std::vector<std::string> loss_type;   // DPO: sigmoid and others, summed with loss_weights; KTO: kto or apo_zero_unpaired
  std::vector<double> loss_weights;     // one per loss type; empty: 1 each
  double label_smoothing = 0;
  std::string f_divergence_type = "reverse_kl";  // forward_kl, js_divergence, alpha_divergence
  double f_alpha_divergence_coef = 0.5;
  double ld_alpha = 1;                  // weight of what a completion has beyond the shorter of the pair (LD-DPO)
  double discopop_tau = 0.05;
  bool use_weighting = false;           // pairs count by how likely the policy is to say them (WPO, arXiv:2406.11827)
  int64_t max_length = 1024;
  std::string truncation_mode = "keep_start";
  double desirable_weight = 1, undesirable_weight = 1;  // KTO
};

// Rows with prompt (or without: what chosen and rejected begin with), chosen and rejected. `reference` is not trained.
std::unique_ptr<Objective> make_dpo(const Arguments& arguments, const PreferenceOptions& options, const Subject& subject,
                                    std::shared_ptr<bundle::Bundle> reference, const std::filesystem::path& train_file,
                                    const std::filesystem::path& validation_file);
// Rows with prompt, completion and label; rows of pairs become two.
std::unique_ptr<Objective> make_kto(const Arguments& arguments, const PreferenceOptions& options, const Subject& subject,
                                    std::shared_ptr<bundle::Bundle> reference, const std::filesystem::path& train_file,
                                    const std::filesystem::path& validation_file);
std::unique_ptr<Objective> make_orpo(const Arguments& arguments, const PreferenceOptions& options, const Subject& subject,
                                     const std::filesystem::path& train_file, const std::filesystem::path& validation_file);

// The DPO losses of pairs, [B] each. `chosen` and `rejected` are summed log-probabilities of the policy, with gradients.
struct DpoScores {
  Tensor chosen, rejected, ref_chosen, ref_rejected;
  std::vector<int64_t> chosen_tokens, rejected_tokens;  // of the completions
  Tensor chosen_per_token;                              // of all chosen completions, for loss type sft
};
// One loss type of each pair [B], or [1] for type sft. Throws usage for an unknown one.
Tensor dpo_losses(const std::string& type, const PreferenceOptions& options, const DpoScores& scores);

// -log(1 + e^-x) without overflow.
Tensor log_sigmoid(const Tensor& x);

}  // namespace mynah::train
