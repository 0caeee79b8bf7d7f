// Training: optimisers and what surrounds a step. The forward pass is Model::forward, the backward pass autograd.h.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "mynah/model.h"

namespace mynah {

using NamedParameters = std::vector<std::pair<std::string, Tensor>>;
// Says which parameters weight decay acts on.
using Decays = std::function<bool(const std::string& name, const Tensor& parameter)>;

// Updates parameters from their gradients. Those without a gradient are left alone.
class Optimizer {
 public:
  virtual ~Optimizer() = default;

  virtual void step() = 0;
  void zero_grad();
  // Before step(): clip_grad_norm() of its parameters. What scales the gradients may be the step.
  virtual double clip(double max_norm);
  void set_learning_rate(double value) { learning_rate_ = value; }

  // What a checkpoint must hold beside the weights: tensors under "<parameter>.<what>" that share memory with the
  // optimiser, and the number of steps made. Writing into the tensors and setting the number restores it.
  virtual NamedParameters state() const = 0;
  int64_t steps() const { return steps_; }
  void set_steps(int64_t steps) { steps_ = steps; }

 protected:
  // Throws failure for a parameter that is not trainable.
  Optimizer(NamedParameters parameters, double learning_rate);
  const NamedParameters parameters_;
  double learning_rate_;
  int64_t steps_ = 0;
};

struct AdamWConfig {
  double learning_rate = 1e-3, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0.01;
};

// AdamW with decoupled weight decay (arXiv:1711.05101), in the arithmetic of torch.optim.AdamW. Without `decays`, weight
// decay acts on matrices (rank 2 and more).
class AdamW : public Optimizer {
 public:
  AdamW(NamedParameters parameters, const AdamWConfig& config, const Decays& decays = {});
  ~AdamW() override;

  void step() override;
  double clip(double max_norm) override;  // leaves the scaling to the next step()
  NamedParameters state() const override;

 private:
  struct Slot;
  AdamWConfig config_;
  double gradient_scale_ = 1;  // of the next step
  std::vector<Slot> slots_;
};

struct SgdConfig {
  double learning_rate = 1e-3, momentum = 0, weight_decay = 0;
  bool nesterov = false;  // the gradient a step of momentum ahead; needs momentum
};

// Gradient descent with momentum and L2 weight decay, in the arithmetic of torch.optim.SGD. `decays` as for AdamW.
class Sgd : public Optimizer {
 public:
  // Throws usage for momentum outside 0..1, or nesterov without momentum.
  Sgd(NamedParameters parameters, const SgdConfig& config, const Decays& decays = {});
  ~Sgd() override;

  void step() override;
  NamedParameters state() const override;

 private:
  struct Slot;
  SgdConfig config_;
  std::vector<Slot> slots_;
};

// Adafactor (arXiv:1804.04235) as transformers uses it for --optim adafactor: the given learning rate, no relative steps,
// no first moment, updates clipped at root mean square 1.
class Adafactor : public Optimizer {
 public:
  Adafactor(NamedParameters parameters, double learning_rate, double weight_decay, const Decays& decays = {});
  ~Adafactor() override;

  void step() override;
  NamedParameters state() const override;

 private:
  struct Slot;
  double weight_decay_;
  std::vector<Slot> slots_;
};

// Scales all gradients so that their joint L2 norm is at most `max_norm`, as torch.nn.utils.clip_grad_norm_. Returns the norm
// before scaling. `max_norm` <= 0 only measures.
double clip_grad_norm(const NamedParameters& parameters, double max_norm);

}  // namespace mynah
