// Training: the optimiser step and what surrounds it. The forward pass is Model::forward, the backward pass autograd.h.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "mynah/model.h"

namespace mynah {

struct AdamWConfig {
  double learning_rate = 1e-3, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0.01;
};

// AdamW with decoupled weight decay (arXiv:1711.05101), in the arithmetic of torch.optim.AdamW. Parameters without a gradient are
// left alone.
class AdamW {
 public:
  // `decays(name, parameter)` says which parameters weight decay acts on; without it, matrices (rank 2 and more).
  AdamW(std::vector<std::pair<std::string, Tensor>> parameters, const AdamWConfig& config,
        const std::function<bool(const std::string&, const Tensor&)>& decays = {});
  ~AdamW();

  void step();
  void zero_grad();
  void set_learning_rate(double value) { config_.learning_rate = value; }

 private:
  struct Slot;
  AdamWConfig config_;
  std::vector<Slot> slots_;
  int64_t steps_ = 0;
};

// Scales all gradients so that their joint L2 norm is at most `max_norm`, as torch.nn.utils.clip_grad_norm_. Returns the norm
// before scaling. `max_norm` <= 0 only measures.
double clip_grad_norm(const std::vector<std::pair<std::string, Tensor>>& parameters, double max_norm);

}  // namespace mynah
