// Rewards of completions: checked by a rule, given by a program, or by a reward model.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "bundle/bundle.h"

namespace mynah::train {

struct Completed {
  const Json* row;         // of the training file
  std::string prompt, text;
  std::vector<int32_t> ids;  // prompt and completion
};

class RewardFunction {
 public:
  virtual ~RewardFunction() = default;
  virtual std::string name() const = 0;
  // One number per completion.
  virtual std::vector<double> score(const std::vector<Completed>& completions) = 0;
};

// "exact": 1 if the completion, without blanks around it, is the row's "answer". "regex:PATTERN": 1 if the pattern is found. "json": 1 for a
// JSON value. "length:N": 1 at N characters, falling to 0 at none and at 2N. "cmd:COMMAND": one process, one JSON line {"prompt",
// "completion"} in per completion, one number per line out. Throws usage for anything else.
std::unique_ptr<RewardFunction> make_reward_function(const std::string& spec);
// The score of a reward model for prompt and completion.
std::unique_ptr<RewardFunction> make_model_reward(std::shared_ptr<bundle::Bundle> model);

}  // namespace mynah::train
