// Learning-rate schedules by transformers' names.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "train/arguments.h"

namespace mynah::train {

class Schedule {
 public:
  // Throws usage for an unknown type and for missing or unknown lr_scheduler_kwargs.
  Schedule(const Arguments& arguments, int64_t total_steps);
  // The rate of the update that follows `updates` earlier ones: with warm-up the first update has rate 0.
  double rate(int64_t updates) const;

  // reduce_lr_on_plateau alone depends on the past: tell it each eval_loss. Its memory is part of a checkpoint.
  void evaluated(double eval_loss);
  Json state() const;
  void set_state(const Json& state);

 private:
  double factor(double step) const;
  double kwarg(const char* name, double fallback) const;

  std::string type_;
  Json kwargs_;
  double base_, total_, warmup_, min_rate_ = 0;
  // reduce_lr_on_plateau
  double plateau_rate_, best_;
  int64_t bad_ = 0, cooldown_ = 0;
};

}  // namespace mynah::train
