#include <cmath>

#include "base/require.h"
#include "base/thread_pool.h"
#include "kernels/rows.h"
#include "mynah/autograd.h"
#include "mynah/train.h"

namespace mynah {

struct AdamW::Slot {
  Tensor parameter, m, v;
  bool decays;
};

AdamW::AdamW(std::vector<std::pair<std::string, Tensor>> parameters, const AdamWConfig& config,
             const std::function<bool(const std::string&, const Tensor&)>& decays)
    : config_(config) {
  for (auto& [name, tensor] : parameters) {
    require(tensor.requires_grad(), "AdamW: {} is not trainable; open the model with trainable = true", name);
    slots_.push_back({tensor, Tensor::zeros(tensor.shape()), Tensor::zeros(tensor.shape()), decays ? decays(name, tensor) : tensor.rank() >= 2});
  }
}
AdamW::~AdamW() = default;

void AdamW::step() {
  ++steps_;
  kernels::AdamWStep s{};
  s.lr = config_.learning_rate;
  s.beta1 = config_.beta1;
  s.beta2 = config_.beta2;
  s.eps = config_.epsilon;
  s.bias1 = 1 - std::pow(config_.beta1, static_cast<double>(steps_));
  s.bias2 = 1 - std::pow(config_.beta2, static_cast<double>(steps_));
  for (Slot& slot : slots_) {
    const Tensor g = grad(slot.parameter);
    if (!g.defined()) continue;
    s.weight_decay = slot.decays ? config_.weight_decay : 0;
    float *p = slot.parameter.data<float>(), *m = slot.m.data<float>(), *v = slot.v.data<float>();
    parallel_for(g.numel(), 1 << 14, [&](int64_t i, int64_t end) { kernels::rows().adamw(s, p + i, g.data<float>() + i, m + i, v + i, end - i); });
  }
}

void AdamW::zero_grad() {
  for (Slot& slot : slots_) mynah::zero_grad(slot.parameter);
}

double clip_grad_norm(const std::vector<std::pair<std::string, Tensor>>& parameters, double max_norm) {
  double squares = 0;
  for (const auto& [name, parameter] : parameters)
    if (const Tensor g = grad(parameter); g.defined()) squares += kernels::rows().sum_squares(g.data<float>(), g.numel());
  const double norm = std::sqrt(squares), scale = max_norm / (norm + 1e-6);
  if (max_norm > 0 && scale < 1)
    for (const auto& [name, parameter] : parameters)
      if (Tensor g = grad(parameter); g.defined()) kernels::rows().scale(static_cast<float>(scale), g.data<float>(), g.data<float>(), g.numel());
  return norm;
}

}  // namespace mynah
