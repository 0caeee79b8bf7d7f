#include "training_options.h"

#include <csignal>

#include "base/require.h"
#include "mynah/json.h"
#include "store/store.h"

namespace mynah::app {
namespace {

volatile std::sig_atomic_t stop_asked = 0;

// The first signal asks for an orderly end, the second ends the program.
void ask_to_stop(int signal) {
  if (stop_asked) std::_Exit(128 + signal);
  stop_asked = 1;
}

constexpr const char* kGroup = "Training";

}  // namespace

void TrainingOptions::add(cli::App& c) {
  train::Arguments& a = arguments_;
  const auto option = [&](const char* name, auto& value, const char* help) { return c.add_option(name, value, help)->capture_default_str()->take_last()->group(kGroup); };
  option("--max-steps", a.max_steps, "updates (-1: --num-train-epochs)");
  option("--num-train-epochs", a.num_train_epochs, "passes over the data");
  option("--per-device-train-batch-size", a.per_device_train_batch_size, "rows of a micro-batch");
  option("--per-device-eval-batch-size", a.per_device_eval_batch_size, "rows of an evaluation batch");
  option("--gradient-accumulation-steps", a.gradient_accumulation_steps, "micro-batches of an update");
  option("--optim", a.optim, "adamw_torch, adamw_torch_fused, adafactor or sgd");
  c.add_option("--optim-args", a.optim_args, "of sgd: \"momentum=0.9,nesterov=True\"")->type_name("NAME=VALUE,...")->group(kGroup);
  option("--momentum", a.momentum, "of sgd");
  c.add_flag("--nesterov{true}", a.nesterov, "of sgd: Nesterov's momentum")->group(kGroup);
  rate_option_ = c.add_option("--learning-rate", a.learning_rate, "the highest learning rate (by trainer, as in TRL)")->group(kGroup);
  option("--lr-scheduler-type", a.lr_scheduler_type, "linear, cosine, cosine_with_min_lr, constant_with_warmup, warmup_stable_decay ...");
  c.add_option("--lr-scheduler-kwargs", kwargs_, "settings of the schedule")->type_name("JSON")->group(kGroup);
  option("--warmup-steps", a.warmup_steps, "updates until the full rate; below 1 a share of all updates");
  option("--warmup-ratio", a.warmup_ratio, "the same as a share, if --warmup-steps is 0");
  min_lr_option_ = c.add_option("--min-lr", min_lr_, "where cosine_with_min_lr ends")->group(kGroup);
  option("--weight-decay", a.weight_decay, "not on biases and norms");
  option("--adam-beta1", a.adam_beta1, "how long the mean of gradients remembers");
  option("--adam-beta2", a.adam_beta2, "how long the mean of their squares does");
  option("--adam-epsilon", a.adam_epsilon, "keeps Adam from dividing by zero");
  norm_option_ = c.add_option("--max-grad-norm", a.max_grad_norm, "gradients are scaled down to this norm (0: never)")->group(kGroup);
  option("--seed", a.seed, "of initial weights, the order of rows and dropout");
  c.add_flag("--bf16{true}", a.bf16, "compute products in bfloat16")->group(kGroup);
  c.add_flag("--gradient-checkpointing{true}", a.gradient_checkpointing, "keep only what enters each layer and compute it again in the backward pass: less memory, more time")
      ->group(kGroup);
  c.add_flag("--no-shuffle{true}", no_shuffle_, "rows in the order of the file")->group(kGroup);
  logging_option_ = c.add_option("--logging-steps", a.logging_steps, "updates between rows of log.jsonl (by trainer: 500 or 10)")->group(kGroup);
  option("--eval-steps", a.eval_steps, "updates between evaluations (0: at the end)");
  c.add_option("--sample-prompt", a.sample_prompts, "at every evaluation show and log what the model answers (may be repeated)")->type_name("TEXT")->allow_extra_args(false)->group(kGroup);
  option("--sample-max-new-tokens", a.sample_max_new_tokens, "tokens of such an answer");
  option("--save-steps", a.save_steps, "updates between checkpoints (0: none)");
  option("--save-total-limit", a.save_total_limit, "checkpoints to keep (0: all)");
  c.add_flag("--load-best-model-at-end{true}", a.load_best_model_at_end, "keep the weights with the best eval_loss")->group(kGroup);
  option("--early-stopping-patience", a.early_stopping_patience, "evaluations without a better eval_loss before the end (0: never)");
  resume_option_ = c.add_option("--resume-from-checkpoint", resume_, "go on from this checkpoint, or the newest in --output-dir")->expected(0, 1)->type_name("[DIR]")->group(kGroup);
  c.add_option_function("--output-dir", [&a](const std::string& dir) { a.output_dir = dir; }, "where the model, log.jsonl and checkpoints go")
      ->type_name("DIR")
      ->required()
      ->group(kGroup);
}

train::Arguments TrainingOptions::arguments(const TrainingDefaults& defaults) const {
  train::Arguments a = arguments_;
  if (!rate_option_->count()) a.learning_rate = defaults.learning_rate;
  if (!norm_option_->count()) a.max_grad_norm = defaults.max_grad_norm;
  if (!logging_option_->count()) a.logging_steps = defaults.logging_steps;
  a.shuffle = !no_shuffle_;
  a.tokens_folder = store::Settings::from_environment().home / "tokens";
  if (min_lr_option_->count()) a.min_lr = min_lr_;
  if (resume_option_->count()) {
    a.resume_from_checkpoint = resume_.empty() ? "" : resume_[0];
    if (*a.resume_from_checkpoint == "true" || *a.resume_from_checkpoint == "True") a.resume_from_checkpoint = "";
    if (*a.resume_from_checkpoint == "false" || *a.resume_from_checkpoint == "False") a.resume_from_checkpoint.reset();
  }
  if (!kwargs_.empty()) {
    a.lr_scheduler_kwargs = Json::parse(kwargs_, nullptr, false);
    if (!a.lr_scheduler_kwargs.is_object()) fail(ErrorCode::usage, "--lr-scheduler-kwargs: \"{}\" is not a JSON object", kwargs_);
  }
  std::signal(SIGINT, ask_to_stop);
  std::signal(SIGTERM, ask_to_stop);
  a.should_stop = [] { return stop_asked != 0; };
  train::check(a);
  return a;
}

const std::vector<std::string>& training_flags() {
  static const std::vector<std::string> flags = {"--bf16", "--nesterov", "--gradient-checkpointing", "--disable-dropout", "--no-shuffle", "--packing", "--load-best-model-at-end", "--use-rslora", "--use-dora", "--load-in-4bit", "--completion-only-loss",
                                                 "--assistant-only-loss", "--whole-word", "--permute-sentences", "--byte-level", "--lowercase", "--normalize-advantages", "--mask-truncated-completions",
                                                 "--use-bias-correction-kl", "--whiten-rewards", "--use-weighting"};
  return flags;
}

}  // namespace mynah::app
