// The parts of a decoder's layer, made from its DecoderConfig.
#pragma once
#include <utility>

#include "models/decoder.h"

namespace mynah {

// What positions do to all layers of one forward pass.
struct DecoderTables {
  std::vector<std::pair<Tensor, Tensor>> turns;  // cosines and sines of each rope
  Tensor slopes;                                 // bias of the keys [S or 1, H, 1, T]; or undefined
};

// What all layers share.
struct DecoderContext {
  const nn::TokenBatch& batch;
  const DecoderTables& tables;
  bool is_last = false;  // of the layers, whose rows are read as the batch says

  // The rows of x that are needed behind the layer's attention.
  Tensor needed(const Tensor& x) const { return nn::read_rows(x, batch, is_last); }
};

// The bias that slopes give to the keys of a batch: [S, H, 1, T] for rows, [H, 1, T] for caches, whose keys have no mask.
Tensor slope_bias(const DecoderConfig& c, const nn::TokenBatch& batch);

// The norm of all query or all key heads: rows [N, H * D], or heads [N, H, D] already, -> [N, H, D].
class HeadNorm {
 public:
  HeadNorm(const DecoderConfig& c, const nn::Weights& w, const std::string& name, int64_t heads);
  Tensor forward(const Tensor& x) const;

 private:
  QkNorm kind_;
  int64_t heads_, head_dim_;
  float eps_;
  nn::Norm norm_;
  std::vector<Tensor> weights_;
};

class DecoderAttention {
 public:
  DecoderAttention(const DecoderConfig& c, const nn::Weights& w, int layer);
  // x [N, C] -> [N, C], or the rows of it that are needed
  Tensor forward(const DecoderConfig& c, const Tensor& x, const DecoderContext& context) const;

 private:
  nn::JoinedLinear qkv_;
  nn::Linear o_;
  HeadNorm q_norm_, k_norm_;
  AttentionConfig config_;
  int layer_, rope_;
};

// Attention to an encoder's rows.
class DecoderCross {
 public:
  DecoderCross(const DecoderConfig& c, const nn::Weights& w, int layer);
  static bool has_memory(const DecoderContext& context) { return context.batch.memory.defined() || !context.batch.memory_caches.empty(); }
  std::pair<Tensor, Tensor> keys_values(const Tensor& rows) const;  // [M,C] -> [M,H,D] each
  // x [N, C] -> [N, C]
  Tensor forward(const DecoderConfig& c, const Tensor& x, const DecoderContext& context) const;

 private:
  nn::JoinedLinear q_, kv_;
  nn::Linear o_;
  AttentionConfig config_;
  int64_t heads_, head_dim_;
  int layer_;
};

class DecoderMlp {
 public:
  DecoderMlp(const DecoderConfig& c, const nn::Weights& w);
  Tensor forward(const DecoderConfig& c, const Tensor& x) const;

 private:
  nn::JoinedLinear up_;  // gate and up
  nn::Linear down_;
};

}  // namespace mynah
