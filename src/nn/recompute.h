// Activation checkpointing (arXiv:1604.06174) of a stack's layers: between the two passes only what enters a layer is kept.
#pragma once
#include <utility>

#include "nn/dropout.h"
#include "nn/token_batch.h"

namespace mynah::nn {

// How a layer is called: with its rows, with what all layers share beside parameters and the batch (a position bias; or undefined), and with the batch.
using LayerCall = std::function<Tensor(const Tensor& x, const Tensor& shared, const TokenBatch& batch)>;
Tensor recomputed_layer(LayerCall f, const Tensor& x, const Tensor& shared, const TokenBatch& batch);

// While one exists on this thread, the outputs of layers are looked at: which layer, in the order of calls, gave the first numbers that are
// not finite. For complaints about a run that went wrong; it reads everything once more.
class LayerWatch {
 public:
  LayerWatch();
  ~LayerWatch();
  LayerWatch(const LayerWatch&) = delete;
  LayerWatch& operator=(const LayerWatch&) = delete;
  int64_t layers() const { return layers_; }
  int64_t first_bad() const { return first_bad_; }  // -1: none
  static void see(const Tensor& y);

 private:
  int64_t layers_ = 0, first_bad_ = -1;
  LayerWatch* before_;
};

// f(x, shared, batch) -> rows of x's width. While layers are recomputed, f outlives the call: it may refer to the model, and must own all else.
template <class F>
Tensor layer(const Tensor& x, const Tensor& shared, const TokenBatch& batch, F&& f) {
  Tensor y = recomputes() ? recomputed_layer(std::forward<F>(f), x, shared, batch) : f(x, shared, batch);
  LayerWatch::see(y);
  return y;
}

}  // namespace mynah::nn
