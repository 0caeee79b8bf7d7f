#include "train/schedule.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <map>
#include <numbers>
#include <vector>

#include "base/require.h"

namespace mynah::train {
namespace {

constexpr double kPi = std::numbers::pi;

// The types and the settings that each takes.
const std::map<std::string, std::vector<std::string>>& types() {
  static const std::map<std::string, std::vector<std::string>> all = {
      {"linear", {}},
      {"cosine", {"num_cycles"}},
      {"cosine_with_restarts", {"num_cycles"}},
      {"polynomial", {"lr_end", "power"}},
      {"constant", {}},
      {"constant_with_warmup", {}},
      {"inverse_sqrt", {"timescale"}},
      {"cosine_with_min_lr", {"num_cycles", "min_lr", "min_lr_rate"}},
      {"cosine_warmup_with_min_lr", {"num_cycles", "min_lr", "min_lr_rate", "warmup_lr_rate"}},
      {"warmup_stable_decay",
       {"num_decay_steps", "num_stable_steps", "warmup_type", "decay_type", "min_lr_ratio", "num_cycles"}},
      {"reduce_lr_on_plateau", {"factor", "patience", "threshold", "cooldown", "min_lr", "eps"}},
  };
  return all;
}

}  // namespace

double Schedule::kwarg(const char* name, double fallback) const {
  const auto it = kwargs_.find(name);
  if (it == kwargs_.end() || it->is_null()) return fallback;
  if (!it->is_number()) fail(ErrorCode::usage, "--lr-scheduler-kwargs: {} is {}, expected a number", name, it->dump());
  return it->get<double>();
}

Schedule::Schedule(const Arguments& a, int64_t total_steps)
    : type_(a.lr_scheduler_type),
      kwargs_(a.lr_scheduler_kwargs),
      base_(a.learning_rate),
      total_(static_cast<double>(total_steps)),
      plateau_rate_(a.learning_rate),
      best_(std::numeric_limits<double>::infinity()) {
  if (type_ == "cosine" && a.min_lr) type_ = "cosine_with_min_lr";
  const auto it = types().find(type_);
  if (it == types().end()) {
    std::vector<std::string> names;
    for (const auto& [name, settings] : types()) names.push_back(name);
    fail(ErrorCode::usage, "--lr-scheduler-type: \"{}\", expected one of {}", type_, fmt::join(names, ", "));
  }
  if (a.min_lr && std::find(it->second.begin(), it->second.end(), "min_lr") == it->second.end())
    fail(ErrorCode::usage, "--min-lr: --lr-scheduler-type {} has none; cosine_with_min_lr does", type_);
  if (a.min_lr) kwargs_["min_lr"] = *a.min_lr;
  for (const auto& [name, value] : kwargs_.items())
    if (std::find(it->second.begin(), it->second.end(), name) == it->second.end())
      fail(ErrorCode::usage, "--lr-scheduler-kwargs: {} is not a setting of {}; it takes {}", name, type_,
           it->second.empty() ? "none" : fmt::format("{}", fmt::join(it->second, ", ")));
  warmup_ = a.warmup_steps >= 1 ? std::floor(a.warmup_steps) : std::ceil(total_ * (a.warmup_steps > 0 ? a.warmup_steps : a.warmup_ratio));
  if (type_.ends_with("min_lr")) {
    if (kwargs_.contains("min_lr") == kwargs_.contains("min_lr_rate"))
      fail(ErrorCode::usage, "--lr-scheduler-type {}: give --min-lr, or min_lr_rate in --lr-scheduler-kwargs", type_);
    min_rate_ = kwargs_.contains("min_lr") ? kwarg("min_lr", 0) / base_ : kwarg("min_lr_rate", 0);
  }
}

double Schedule::factor(double step) const {
  const double warm = step / std::max(1.0, warmup_);
  const double progress = (step - warmup_) / std::max(1.0, total_ - warmup_);
  if (type_ == "constant") return 1;
  if (type_ == "inverse_sqrt") {
    if (step < warmup_) return warm;
    const double timescale = kwarg("timescale", warmup_ > 0 ? warmup_ : 10000), shift = timescale - warmup_;
    return 1 / std::sqrt((step + shift) / timescale);
  }
  if (type_ == "warmup_stable_decay") {
    const double decay_steps = kwarg("num_decay_steps", std::nan(""));
    if (std::isnan(decay_steps)) fail(ErrorCode::usage, "--lr-scheduler-type warmup_stable_decay: num_decay_steps is needed in --lr-scheduler-kwargs");
    const double stable = kwarg("num_stable_steps", total_ - warmup_ - decay_steps), least = kwarg("min_lr_ratio", 0);
    const double cycles = kwarg("num_cycles", 0.5);
    const auto shape = [&](const char* name, double p) {
      const std::string kind = kwargs_.value(name, std::string(name) == "warmup_type" ? "linear" : "cosine");
      const bool up = std::string(name) == "warmup_type";
      double f;
      if (kind == "linear") f = up ? p : 1 - p;
      else if (kind == "cosine") f = up ? 0.5 * (1 - std::cos(kPi * p)) : 0.5 * (1 + std::cos(kPi * cycles * 2 * p));
      else if (kind == "1-sqrt") f = up ? 1 - std::sqrt(1 - p) : 1 - std::sqrt(p);
      else fail(ErrorCode::usage, "--lr-scheduler-kwargs: {} is \"{}\", expected linear, cosine or 1-sqrt", name, kind);
      return std::max(0.0, f * (1 - least) + least);
    };
    if (step < warmup_) return shape("warmup_type", warm);
    if (step < warmup_ + stable) return 1;
    if (step < warmup_ + stable + decay_steps) return shape("decay_type", (step - warmup_ - stable) / std::max(1.0, decay_steps));
    return least;
  }
  if (step < warmup_) {
    if (type_ != "cosine_warmup_with_min_lr") return warm;
    const double start = kwarg("warmup_lr_rate", -1);
    return start < 0 ? (step + 1) / std::max(1.0, warmup_) : start + (1 - start) * step / std::max(1.0, warmup_ - 1);
  }
  if (type_ == "constant_with_warmup") return 1;
  if (type_ == "linear") return std::max(0.0, (total_ - step) / std::max(1.0, total_ - warmup_));
  if (type_ == "cosine_with_restarts")
    return progress >= 1 ? 0 : std::max(0.0, 0.5 * (1 + std::cos(kPi * std::fmod(kwarg("num_cycles", 1) * progress, 1.0))));
  if (type_ == "polynomial") {
    const double end = kwarg("lr_end", 1e-7);
    if (step > total_) return end / base_;
    const double left = 1 - (step - warmup_) / (total_ - warmup_);
    return ((base_ - end) * std::pow(left, kwarg("power", 1)) + end) / base_;
  }
  double at = progress;
  if (type_ == "cosine_warmup_with_min_lr") at = (step - warmup_ + 1) / std::max(1.0, total_ - warmup_);
  const double cosine = 0.5 * (1 + std::cos(kPi * kwarg("num_cycles", 0.5) * 2 * at));
  return std::max(0.0, cosine * (1 - min_rate_) + min_rate_);
}

double Schedule::rate(int64_t updates) const {
  return type_ == "reduce_lr_on_plateau" ? plateau_rate_ : base_ * factor(static_cast<double>(updates));
}

void Schedule::evaluated(double eval_loss) {
  if (type_ != "reduce_lr_on_plateau") return;
  if (eval_loss < best_ * (1 - kwarg("threshold", 1e-4))) {
    best_ = eval_loss;
    bad_ = 0;
  } else {
    ++bad_;
  }
  if (cooldown_ > 0) {
    --cooldown_;
    bad_ = 0;
  }
  if (static_cast<double>(bad_) <= kwarg("patience", 10)) return;
  const double next = std::max(plateau_rate_ * kwarg("factor", 0.1), kwarg("min_lr", 0));
  if (plateau_rate_ - next > kwarg("eps", 1e-8)) plateau_rate_ = next;
  cooldown_ = static_cast<int64_t>(kwarg("cooldown", 0));
  bad_ = 0;
}

Json Schedule::state() const {
  if (type_ != "reduce_lr_on_plateau") return nullptr;
  return {{"rate", plateau_rate_}, {"best", std::isinf(best_) ? Json() : Json(best_)}, {"bad", bad_}, {"cooldown", cooldown_}};
}

void Schedule::set_state(const Json& state) {
  if (!state.is_object()) return;
  plateau_rate_ = state.at("rate").get<double>();
  best_ = state.at("best").is_null() ? std::numeric_limits<double>::infinity() : state.at("best").get<double>();
  bad_ = state.at("bad").get<int64_t>();
  cooldown_ = state.at("cooldown").get<int64_t>();
}

}  // namespace mynah::train
