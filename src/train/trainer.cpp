#include "train/trainer.h"

#include <fcntl.h>
#include <fmt/ranges.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cmath>
#include <memory>
#include <optional>
#include <regex>

#include "base/file.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/require.h"
#include "mynah/autograd.h"
#include "nn/recompute.h"
#include "ops/gemm.h"
#include "train/checkpoint.h"
#include "train/memory.h"
#include "train/run_log.h"
#include "train/schedule.h"

namespace mynah::train {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

// "momentum=0.9,nesterov=True", as TrainingArguments has optim_args.
SgdConfig sgd_config(const Arguments& a) {
  SgdConfig config{a.learning_rate, a.momentum, a.weight_decay, a.nesterov};
  std::string text = a.optim_args;
  std::erase(text, ' ');
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(',', at), text.size()), equals = std::min(text.find('=', at), end);
    const std::string name = text.substr(at, equals - at), value = text.substr(std::min(equals + 1, end), end - std::min(equals + 1, end));
    double number = 0;
    const auto read = std::from_chars(value.data(), value.data() + value.size(), number);
    const bool is_number = read.ec == std::errc() && read.ptr == value.data() + value.size();
    const bool yes = value == "True" || value == "true" || value == "1", no = value == "False" || value == "false" || value == "0";
    if (name == "momentum" && is_number) config.momentum = number;
    else if (name == "nesterov" && (yes || no)) config.nesterov = yes;
    else fail(ErrorCode::usage, "--optim-args: \"{}\", expected momentum=NUMBER or nesterov=True, with commas between them", text.substr(at, end - at));
    at = end + 1;
  }
  return config;
}

std::unique_ptr<Optimizer> make_optimizer(const Arguments& a, const NamedParameters& parameters) {
  if (a.optim == "adamw_torch" || a.optim == "adamw_torch_fused")
    return std::make_unique<AdamW>(
        parameters, AdamWConfig{a.learning_rate, a.adam_beta1, a.adam_beta2, a.adam_epsilon, a.weight_decay}, weight_decays);
  if (a.optim == "sgd") return std::make_unique<Sgd>(parameters, sgd_config(a), weight_decays);
  if (a.optim == "adafactor") return std::make_unique<Adafactor>(parameters, a.learning_rate, a.weight_decay, weight_decays);
  fail(ErrorCode::usage, "--optim: \"{}\", expected adamw_torch, adamw_torch_fused, adafactor or sgd", a.optim);
}

std::string new_run_id() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return fmt::format("{:x}", std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

// The run that a folder's checkpoints must be of. A run that starts afresh in a used folder gets a new name, so that checkpoints
// of the earlier run are never taken for its own.
struct RunName {
  explicit RunName(const fs::path& folder) : path(folder / "run.json") {
    if (fs::exists(path)) value = read_json_file(path).value("run", "");
  }
  void renew() {
    value = new_run_id();
    AtomicFile file(path);
    file.write(Json{{"run", value}}.dump() + "\n");
    file.commit();
  }
  fs::path path;
  std::string value;
};

// Two runs in one folder would mix their logs and checkpoints. The lock is on the folder itself and goes with the process; where a file
// system has none, nothing is locked.
class FolderLock {
 public:
  explicit FolderLock(const fs::path& folder) : descriptor_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    if (descriptor_ < 0 || ::flock(descriptor_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
    ::close(descriptor_);
    fail(ErrorCode::busy, "--output-dir {}: another run is writing there; wait for it, or take another folder", folder.string());
  }
  ~FolderLock() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int descriptor_;
};

class Run {
 public:
  Run(const Arguments& arguments, const Trained& trained, Objective& objective)
      : a_(arguments),
        trained_(trained),
        objective_(objective),
        per_epoch_(objective.steps_per_epoch()),
        total_(a_.max_steps > 0 ? a_.max_steps : static_cast<int64_t>(std::ceil(a_.num_train_epochs * static_cast<double>(per_epoch_)))),
        optimizer_(make_optimizer(a_, trained.parameters)),
        schedule_(a_, total_) {
    require(per_epoch_ > 0, "training: no rows to train on");
    if (a_.lr_scheduler_type == "reduce_lr_on_plateau" && (a_.eval_steps <= 0 || !objective.has_evaluation()))
      fail(ErrorCode::usage, "--lr-scheduler-type reduce_lr_on_plateau: needs --validation-file and --eval-steps");
    if (!objective.has_evaluation()) {
      const char* flag = a_.load_best_model_at_end ? "--load-best-model-at-end" : a_.early_stopping_patience > 0 ? "--early-stopping-patience" : a_.eval_steps > 0 && a_.sample_prompts.empty() ? "--eval-steps" : nullptr;
      if (flag) fail(ErrorCode::usage, "{}: there are no held-out rows to evaluate; give --validation-file, or leave the flag away", flag);
    }
    if (a_.early_stopping_patience > 0 && a_.eval_steps <= 0) fail(ErrorCode::usage, "--early-stopping-patience: needs --eval-steps, the updates between evaluations");
    if (!a_.sample_prompts.empty() && !trained.sample) fail(ErrorCode::usage, "--sample-prompt: this model continues no text; leave the flag away");
  }

  void go() {
    std::error_code error;
    fs::create_directories(a_.output_dir, error);
    if (error || !fs::is_directory(a_.output_dir)) fail(ErrorCode::failure, "--output-dir {}: cannot be made: {}", a_.output_dir.string(), error ? error.message() : "a file stands there");
    const FolderLock lock(a_.output_dir);
    remove_leftovers(a_.output_dir);
    start();
    const RunSize size{total_ - step_, objective_.tokens_of(step_), a_.gradient_accumulation_steps, a_.bf16, a_.gradient_checkpointing};
    const std::string expected = plan(trained_.parameters, optimizer_->state(), size, RunLog::on_terminal());
    log_.emplace(a_.output_dir, step_, total_, objective_.unit());
    if (!expected.empty()) log_->note(expected);
    started_ = Clock::now();
    while (step_ < total_) {
      step();
      if (ends_early()) break;
    }
    log_->finish();
    finish();
  }

 private:
  double seconds() const { return earlier_seconds_ + std::chrono::duration<double>(Clock::now() - started_).count(); }

  void start() {
    RunName name(a_.output_dir);
    std::optional<fs::path> from;
    if (a_.resume_from_checkpoint) {
      if (!a_.resume_from_checkpoint->empty()) {
        from = *a_.resume_from_checkpoint;
        verify_checkpoint(*from);
      } else {
        from = newest_checkpoint(a_.output_dir, name.value);
        if (!from) warn("--resume-from-checkpoint: no complete checkpoint in {}; starting afresh", a_.output_dir.string());
      }
    }
    if (!from) {
      name.renew();
      run_ = name.value;
      say_what_stays();
      return;
    }
    const Json state = read_state(*from);
    if (state.value("optim", a_.optim) != a_.optim)
      fail(ErrorCode::usage, "{}: was made with --optim {}, got {}", from->string(), state.value("optim", ""), a_.optim);
    trained_.restore(*from);
    NamedParameters tensors = optimizer_->state();
    if (state.contains("objective")) objective_.set_numbers(state["objective"]);
    for (const auto& extra : objective_.state()) tensors.push_back(extra);
    read_tensors(*from / "optimizer.safetensors", tensors);
    step_ = state.at("global_step").get<int64_t>();
    optimizer_->set_steps(state.at("optimizer_steps").get<int64_t>());
    tokens_ = state.at("tokens").get<int64_t>();
    earlier_seconds_ = state.at("seconds").get<double>();
    loss_sum_ = state.at("loss_sum").get<double>();
    loss_count_ = state.at("loss_count").get<int64_t>();
    metrics_.set_state(state.at("metrics"));
    schedule_.set_state(state.at("schedule"));
    best_loss_ = state.at("best_loss").is_null() ? std::nan("") : state.at("best_loss").get<double>();
    best_ = state.at("best").get<std::string>();
    without_gain_ = state.at("without_gain").get<int64_t>();
    run_ = state.value("run", "");
    if (run_ != name.value) {
      name.renew();
      run_ = name.value;
    }
    warn("going on from {}", from->string());
    say_what_changed(state, *from);
  }

  // What decides which rows a step sees; with the same, a resumed run ends with the bytes of one that was never stopped.
  Json order_of_rows() const {
    return {{"--seed", a_.seed},
            {"--per-device-train-batch-size", a_.per_device_train_batch_size},
            {"--gradient-accumulation-steps", a_.gradient_accumulation_steps},
            {"--no-shuffle", !a_.shuffle},
            {"steps of an epoch", per_epoch_}};
  }
  void say_what_changed(const Json& state, const fs::path& from) const {
    std::vector<std::string> changes;
    const Json now = order_of_rows();
    if (const auto before = state.find("order_of_rows"); before != state.end() && before->is_object())
      for (const auto& [name, value] : before->items())
        if (now.contains(name) && now[name] != value) changes.push_back(fmt::format("{} was {} and is {}", name, value.dump(), now[name].dump()));
    if (!changes.empty()) warn("{}: {}; the steps to come see other rows than they would have", from.string(), fmt::join(changes, ", "));
    if (step_ >= total_) warn("{}: made after step {}, and the run ends after step {}; nothing is left to train", from.string(), step_, total_);
  }

  // What an earlier run left beside this one's checkpoints, which are told apart by the run that their state names.
  void say_what_stays() {
    const std::vector<std::string> others = checkpoints_of_others(a_.output_dir, run_);
    if (others.empty()) return;
    warn("{}: holds {} of an earlier run; what this run does not replace stays: remove it, or take another --output-dir", a_.output_dir.string(),
         others.size() == 1 ? others[0] : fmt::format("{} checkpoints ({} to {})", others.size(), others.front(), others.back()));
  }

  void step() {
    const double rate = schedule_.rate(step_);
    optimizer_->set_learning_rate(rate);
    double norm = 0;
    const auto update = [&] {
      norm = optimizer_->clip(a_.max_grad_norm);
      if (!std::isfinite(norm)) stop_for_gradient(norm);
      optimizer_->step();
      optimizer_->zero_grad();
    };
    const StepResult result = [&] {
      const ops::ProductScope products(a_.bf16);
      return objective_.accumulate(step_, &metrics_, update);
    }();
    if (!std::isfinite(result.loss)) stop_for_loss(result.loss);
    update();
    ++step_;
    tokens_ += result.tokens;
    loss_sum_ += result.loss;
    ++loss_count_;
    log_->progress(step_, result.loss, rate, tokens_, seconds());
    // A run too short for a row has its last step logged.
    if (step_ % a_.logging_steps == 0 || (step_ == total_ && total_ < a_.logging_steps)) log_row(norm, rate);
    const bool evaluates = objective_.has_evaluation() && ((a_.eval_steps > 0 && step_ % a_.eval_steps == 0) || step_ == total_);
    if (evaluates) evaluate();
    if (!a_.sample_prompts.empty() && ((a_.eval_steps > 0 && step_ % a_.eval_steps == 0) || step_ == total_)) show_samples();
    const bool stops = a_.should_stop && a_.should_stop();
    if (stops || (a_.save_steps > 0 && (step_ % a_.save_steps == 0 || step_ == total_))) save_checkpoint();
    if (stops) {
      log_->finish();
      fail(ErrorCode::interrupted, "stopped after step {} of {}; checkpoint-{} is written, go on with --resume-from-checkpoint", step_, total_, step_);
    }
  }

  double epoch() const { return objective_.epoch(step_); }

  void log_row(double norm, double rate) {
    Json row = {{"step", step_},       {"loss", loss_sum_ / static_cast<double>(loss_count_)},
                {"grad_norm", norm},   {"learning_rate", rate},
                {"epoch", epoch()},    {"tokens", tokens_},
                {"seconds", seconds()}};
    row["num_tokens"] = tokens_;  // TRL's name for the same
    metrics_.flush_into(&row);
    log_->row(row);
    loss_sum_ = 0;
    loss_count_ = 0;
  }

  void evaluate() {
    Json row = {{"step", step_}};
    const ops::ProductScope products(a_.bf16);
    const Json results = objective_.evaluate();
    row.update(results);
    row["eval_num_tokens"] = tokens_;
    row["epoch"] = epoch();
    row["seconds"] = seconds();
    log_->row(row);
    const double loss = results.at("eval_loss").get<double>();
    log_->note(fmt::format("step {}: eval_loss {:.4f}", step_, loss));
    schedule_.evaluated(loss);
    if (std::isnan(best_loss_) || loss < best_loss_) {
      best_loss_ = loss;
      without_gain_ = 0;
      if (a_.load_best_model_at_end) {
        best_ = fmt::format("checkpoint-{}", step_);
        save_checkpoint();
      }
    } else {
      ++without_gain_;
    }
  }

  void show_samples() {
    const Json samples = trained_.sample(a_);
    log_->row({{"step", step_}, {"samples", samples}, {"epoch", epoch()}, {"seconds", seconds()}});
    for (const Json& s : samples) log_->note(fmt::format("step {}: {} -> {}", step_, s.at("prompt").dump(), s.at("text").dump()));
  }

  bool ends_early() {
    if (a_.early_stopping_patience <= 0 || without_gain_ < a_.early_stopping_patience || step_ >= total_) return false;
    log_->note(fmt::format("step {}: no better eval_loss in {} evaluations, stopping", step_, without_gain_));
    return true;
  }

  void save_checkpoint() {
    if (saved_ == step_) return;
    CheckpointContent content;
    content.save_model = trained_.save;
    content.tensors = optimizer_->state();
    for (const auto& extra : objective_.state()) content.tensors.push_back(extra);
    content.state = {{"global_step", step_},
                     {"max_steps", total_},
                     {"epoch", epoch()},
                     {"optim", a_.optim},
                     {"optimizer_steps", optimizer_->steps()},
                     {"tokens", tokens_},
                     {"seconds", seconds()},
                     {"seed", a_.seed},
                     {"order_of_rows", order_of_rows()},
                     {"loss_sum", loss_sum_},
                     {"loss_count", loss_count_},
                     {"metrics", metrics_.state()},
                     {"schedule", schedule_.state()},
                     {"best_loss", std::isnan(best_loss_) ? Json() : Json(best_loss_)},
                     {"best", best_},
                     {"without_gain", without_gain_},
                     {"objective", objective_.numbers()},
                     {"run", run_}};
    write_checkpoint(a_.output_dir, content);
    saved_ = step_;
    prune_checkpoints(a_.output_dir, a_.save_total_limit, best_.empty() ? fs::path() : a_.output_dir / best_, run_);
  }

  void finish() {
    if (a_.load_best_model_at_end && !best_.empty()) {
      trained_.restore(a_.output_dir / best_);
      log_->note(fmt::format("the best is {} with eval_loss {:.4f}", best_, best_loss_));
    }
    trained_.save(a_.output_dir);
  }

  [[noreturn]] void stop_for(const std::string& what) {
    log_->finish();
    const std::string rows = objective_.rows_of(step_);
    fail(ErrorCode::failure, "training: step {}: {}{}; lower the learning rate or look at these rows", step_ + 1, what, rows.empty() ? "" : " on " + rows);
  }
  // What is at fault: a weight, or else the layer whose output is the first that is not finite.
  [[noreturn]] void stop_for_loss(double loss) {
    const std::string what = fmt::format("the loss is {}", std::abs(loss));  // a NaN has a sign, which says nothing
    for (const auto& [name, parameter] : trained_.parameters)
      if (!all_finite(parameter)) stop_for(fmt::format("{}, for {} is not finite", what, name));
    if (objective_.tokens_of(step_) == 0) stop_for(what);
    const NoGrad no_grad;
    const ops::ProductScope products(a_.bf16);
    nn::LayerWatch watch;
    Metrics unused;
    objective_.accumulate(step_, &unused, [] {});
    stop_for(watch.first_bad() < 0 ? fmt::format("{}, though all {} layers give finite numbers", what, watch.layers())
                                   : fmt::format("{}; the first numbers that are not finite leave layer {} (of {}, counted from 0)", what, watch.first_bad(), watch.layers()));
  }
  static bool all_finite(const Tensor& t) {
    const float* p = t.data<float>();
    return std::all_of(p, p + t.numel(), [](float x) { return std::isfinite(x); });
  }
  [[noreturn]] void stop_for_gradient(double norm) {
    for (const auto& [name, parameter] : trained_.parameters)
      if (const Tensor g = grad(parameter); g.defined() && !all_finite(g)) stop_for(fmt::format("the gradient of {} is not finite", name));
    stop_for(fmt::format("the gradient norm is {}", norm));
  }

  const Arguments& a_;
  const Trained& trained_;
  Objective& objective_;
  const int64_t per_epoch_, total_;
  std::unique_ptr<Optimizer> optimizer_;
  Schedule schedule_;
  std::optional<RunLog> log_;
  Metrics metrics_;
  std::string run_, best_;
  Clock::time_point started_;
  int64_t step_ = 0, saved_ = -1, tokens_ = 0, loss_count_ = 0, without_gain_ = 0;
  double earlier_seconds_ = 0, loss_sum_ = 0, best_loss_ = std::nan("");
};

}  // namespace

bool weight_decays(const std::string& name, const Tensor& parameter) {
  static const std::regex excluded("bias|layernorm|rmsnorm|(^|\\.)norm($|\\.)|_norm($|\\.)", std::regex::optimize);
  std::string lower = name;
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  // Norm modules by any other name have vectors as weights.
  return !std::regex_search(lower, excluded) && !(parameter.rank() == 1 && name.ends_with(".weight"));
}

void check(const Arguments& a) {
  const auto positive = [](const char* flag, auto value) {
    if (!(value > 0)) fail(ErrorCode::usage, "--{}: {}, expected more than 0", flag, value);
  };
  const auto not_negative = [](const char* flag, auto value) {
    if (!(value >= 0)) fail(ErrorCode::usage, "--{}: {}, expected 0 or more", flag, value);
  };
  if (a.output_dir.empty()) fail(ErrorCode::usage, "--output-dir is needed");
  if (a.max_steps <= 0) positive("num-train-epochs", a.num_train_epochs);
  positive("per-device-train-batch-size", a.per_device_train_batch_size);
  positive("per-device-eval-batch-size", a.per_device_eval_batch_size);
  positive("gradient-accumulation-steps", a.gradient_accumulation_steps);
  positive("logging-steps", a.logging_steps);
  positive("sample-max-new-tokens", a.sample_max_new_tokens);
  if (std::find(a.sample_prompts.begin(), a.sample_prompts.end(), "") != a.sample_prompts.end()) fail(ErrorCode::usage, "--sample-prompt: \"\", expected a text");
  const auto finite = [&](const char* flag, double value) {
    not_negative(flag, value);
    if (!std::isfinite(value)) fail(ErrorCode::usage, "--{}: {}, expected a finite number", flag, value);
  };
  finite("learning-rate", a.learning_rate);
  not_negative("warmup-steps", a.warmup_steps);
  if (!(a.warmup_ratio >= 0 && a.warmup_ratio <= 1)) fail(ErrorCode::usage, "--warmup-ratio: {}, expected 0 to 1", a.warmup_ratio);
  finite("weight-decay", a.weight_decay);
  not_negative("adam-epsilon", a.adam_epsilon);
  not_negative("max-grad-norm", a.max_grad_norm);
  not_negative("save-total-limit", a.save_total_limit);
  not_negative("save-steps", a.save_steps);
  not_negative("eval-steps", a.eval_steps);
  not_negative("early-stopping-patience", a.early_stopping_patience);
  if (a.optim != "sgd" && (!a.optim_args.empty() || a.momentum != 0 || a.nesterov))
    fail(ErrorCode::usage, "--optim {}: --optim-args, --momentum and --nesterov are of sgd; leave them away", a.optim);
  for (const auto& [flag, value] : {std::pair{"adam-beta1", a.adam_beta1}, {"adam-beta2", a.adam_beta2}, {"momentum", a.momentum}})
    if (!(value >= 0 && value < 1)) fail(ErrorCode::usage, "--{}: {}, expected 0 or more and below 1", flag, value);
}

void run(const Arguments& arguments, const Trained& trained, Objective& objective) {
  check(arguments);
  Run(arguments, trained, objective).go();
}

}  // namespace mynah::train
