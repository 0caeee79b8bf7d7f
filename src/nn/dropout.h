// Dropout acts only while a Training scope exists on the thread, so evaluation and serving have none. Masks come from
// counter-based random numbers: (seed, step, number of the call within the scope, element).
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "mynah/json.h"
#include "mynah/ops.h"

namespace mynah::nn {

class Training {
 public:
  // `recomputes`: layers keep their inputs alone and are computed again in the backward pass (recompute.h). `drops`: whether dropout acts.
  Training(uint64_t seed, uint64_t step, bool recomputes = false, bool drops = true);
  ~Training();
  Training(const Training&) = delete;
  Training& operator=(const Training&) = delete;
  // Whether a layer was there to be computed again.
  bool recomputed_any() const { return recomputed_any_; }

 private:
  friend Tensor dropout(const Tensor& x, float p);
  friend bool training();
  friend bool drops(float p);
  friend bool skips_layer(float p);
  friend std::function<double()> draws();
  friend bool recomputes();
  friend Tensor recomputed(std::function<Tensor(const std::vector<Tensor>&)> f, const std::vector<Tensor>& inputs);
  friend Tensor attention_with_dropout(const Tensor& q, const Tensor& k, const Tensor& v, std::span<const Sequence> sequences, const AttentionConfig& config, float p);
  // The random numbers of the next call.
  uint64_t next_stream() { return step_ << 20 | calls_++; }
  uint64_t seed_, step_, calls_ = 0;
  bool recomputes_, drops_, recomputed_any_ = false;
  Training* before_;
};

// A probability of config.json, `otherwise` where it is missing or null. Throws failure for one that is not in 0 to below 1.
float dropout_rate(const Json& config, const char* key, double otherwise);

// Whether a Training scope exists.
bool training();
// Whether dropout of probability p acts now.
bool drops(float p);
// x with each element zeroed with probability p and the others divided by 1 - p; x itself outside training or for p = 0.
Tensor dropout(const Tensor& x, float p);
// Rows [N,...] of `samples` samples, N / samples each: each sample whole zeroed with probability p, the others divided by 1 - p (stochastic
// depth, arXiv:1603.09382).
Tensor drop_path(const Tensor& x, int64_t samples, float p);
// Whether a layer is left out this time, with probability p (LayerDrop, arXiv:1909.11556).
bool skips_layer(float p);
// Numbers in 0 to below 1, one after another, for other random choices of a forward pass. Only where something drops().
std::function<double()> draws();

// Whether what is computed now is a layer's part of a forward pass that will be computed again.
bool recomputes();
// f(inputs), in the backward pass computed again from the inputs with the same masks; f itself where nothing recomputes(). `f` must be a
// pure function of `inputs` and of parameters.
Tensor recomputed(std::function<Tensor(const std::vector<Tensor>&)> f, const std::vector<Tensor>& inputs);

// scaled_dot_product_attention with each weight dropped with probability p.
Tensor attention_with_dropout(const Tensor& q, const Tensor& k, const Tensor& v, std::span<const Sequence> sequences, const AttentionConfig& config, float p);

}  // namespace mynah::nn
