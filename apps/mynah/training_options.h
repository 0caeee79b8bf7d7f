// The options of TrainingArguments as command-line flags, shared by pretrain, finetune and align.
#pragma once
#include <string>
#include <vector>

#include "cli.h"
#include "train/arguments.h"

namespace mynah::app {

// Defaults that differ between trainers.
struct TrainingDefaults {
  double learning_rate = 5e-5, max_grad_norm = 1;
  int64_t logging_steps = 500;
};

class TrainingOptions {
 public:
  // Adds the flags; this object must outlive the parse.
  void add(cli::App& command);
  // What was given, over the defaults; Ctrl-C and SIGTERM then end the run after the step at hand. Throws usage.
  train::Arguments arguments(const TrainingDefaults& defaults = {}) const;

  const std::filesystem::path& output_dir() const { return arguments_.output_dir; }

 private:
  train::Arguments arguments_;
  std::string kwargs_;
  std::vector<std::string> resume_;
  double min_lr_ = 0;
  bool no_shuffle_ = false;
  cli::Option *resume_option_ = nullptr, *min_lr_option_ = nullptr, *rate_option_ = nullptr, *norm_option_ = nullptr, *logging_option_ = nullptr;
};

// Flags of the training commands that may carry true or false as the next word.
const std::vector<std::string>& training_flags();

}  // namespace mynah::app
