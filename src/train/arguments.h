// The settings of a training run: names and defaults of transformers' TrainingArguments.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"

namespace mynah::train {

struct Arguments {
  std::filesystem::path output_dir;
  int64_t max_steps = -1;  // updates; -1: num_train_epochs says how many
  double num_train_epochs = 3;
  int64_t per_device_train_batch_size = 8, per_device_eval_batch_size = 8, gradient_accumulation_steps = 1;
  bool shuffle = true;
  uint64_t seed = 42;

  std::string optim = "adamw_torch_fused";  // adamw_torch, adamw_torch_fused, adafactor, sgd
  std::string optim_args;  // of sgd, as torch.optim.SGD names them: "momentum=0.9,nesterov=True"
  double momentum = 0;     // of sgd; optim_args win
  bool nesterov = false;
  double learning_rate = 5e-5, weight_decay = 0, adam_beta1 = 0.9, adam_beta2 = 0.999, adam_epsilon = 1e-8, max_grad_norm = 1;
  std::string lr_scheduler_type = "linear";
  Json lr_scheduler_kwargs = Json::object();
  double warmup_steps = 0;  // below 1: a share of all steps
  double warmup_ratio = 0;
  std::optional<double> min_lr;
  bool bf16 = false;
  bool gradient_checkpointing = false;  // layers are computed again in the backward pass
  bool disable_dropout = false;         // whatever the model's config and the adapter say

  int64_t logging_steps = 500;
  int64_t eval_steps = 0;   // 0: no evaluation during training
  int64_t save_steps = 500;  // 0: no checkpoints
  int64_t save_total_limit = 0;  // 0: keep all
  bool load_best_model_at_end = false;
  int64_t early_stopping_patience = 0;  // evaluations without a better eval_loss; 0: never
  std::vector<std::string> sample_prompts;  // answered at every evaluation
  int64_t sample_max_new_tokens = 64;
  std::optional<std::string> resume_from_checkpoint;  // empty text: the newest complete one

  // Where the tokens of training files are kept (token_file.h); empty: in output_dir.
  std::filesystem::path tokens_folder;

  // Asked after every step; true saves a checkpoint and ends the run as interrupted.
  std::function<bool()> should_stop;
};

// Throws usage for values that cannot be meant.
void check(const Arguments& arguments);

}  // namespace mynah::train
