// Activation checkpointing (arXiv:1604.06174) of a stack's layers: between the two passes only what enters a layer is kept.
#pragma once
#include <utility>

#include "nn/dropout.h"
#include "nn/token_batch.h"

namespace mynah::nn {

// How a layer is called: with its rows, with what all layers share beside parameters and the batch (a position bias; or undefined), and with the batch.
using LayerCall = std::function<Tensor(const Tensor& x, const Tensor& shared, const TokenBatch& batch)>;
Tensor recomputed_layer(LayerCall f, const Tensor& x, const Tensor& shared, const TokenBatch& batch);

// f(x, shared, batch) -> rows of x's width. While layers are recomputed, f outlives the call: it may refer to the model, and must own all else.
template <class F>
Tensor layer(const Tensor& x, const Tensor& shared, const TokenBatch& batch, F&& f) {
  return recomputes() ? recomputed_layer(std::forward<F>(f), x, shared, batch) : f(x, shared, batch);
}

}  // namespace mynah::nn
