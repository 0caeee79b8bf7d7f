// Completions that a policy is judged by: sampled from it, or replayed from a file.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mynah/model.h"
#include "train/arguments.h"
#include "train/metrics.h"
#include "train/reward_function.h"

namespace mynah::train {

struct Rollout {
  std::vector<int32_t> prompt, completion;
  int32_t first_position = 0;  // of the prompt: what padding stood before it when it was replayed
  double reward = 0;
  bool ended = true;           // by an end token, not by the limit
  int64_t width = 0;           // tokens that a completion of its batch may have
};

class Rollouts {
 public:
  virtual ~Rollouts() = default;
  // Generation batch `k`; completions of one prompt are neighbours. Adds what is worth telling to `metrics`.
  virtual std::vector<Rollout> batch(int64_t k, Metrics* metrics) = 0;
  virtual int64_t batches() const = 0;  // in one pass over the data
};

// A safetensors file with prompt_ids.k, prompt_mask.k, completion_ids.k, completion_mask.k and rewards.k for k = 0, 1, ...
// Throws integrity or failure for what does not fit, naming it.
std::unique_ptr<Rollouts> replay_rollouts(const std::filesystem::path& file, int64_t rows);

struct SamplingOptions {
  int64_t rows = 8, num_generations = 8, max_completion_length = 512, top_k = 0;
  double temperature = 1, top_p = 1, min_p = 0, repetition_penalty = 1;
  std::optional<double> missing_eos_penalty;
};

// Prompts of a file of rows, completed by the policy as it then is and judged by the functions, whose scores are added.
std::unique_ptr<Rollouts> sampled_rollouts(const Arguments& arguments, const SamplingOptions& options, std::shared_ptr<bundle::Bundle> policy,
                                           std::vector<std::unique_ptr<RewardFunction>> rewards, const std::filesystem::path& file);

}  // namespace mynah::train
