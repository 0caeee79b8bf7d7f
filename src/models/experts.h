// Feed-forward parts of which each token uses a few (mixture of experts, arXiv:1701.06538, arXiv:2401.04088), and the loss that
// balances them (arXiv:2101.03961).
#pragma once
#include <string>
#include <vector>

#include "nn/layers.h"
#include "nn/token_batch.h"

namespace mynah {

struct ExpertsConfig {
  int64_t count = 0, per_token = 0, hidden_size = 0, intermediate_size = 0;
  Activation hidden_act = Activation::silu;
  const char* name = "block_sparse_moe";  // of the part in its layer
  bool normalise = true;            // weights of the chosen experts are made to sum to 1
  const char* gate_name = "w1";     // of an expert: activated, ...
  const char* up_name = "w3";       // ... multiplied with this, ...
  const char* down_name = "w2";     // ... and brought back
  bool balance = false;             // whether forward gives aux_loss
  float balance_weight = 0.001f;    // its part in the loss
};

class Experts {
 public:
  // `w` holds "gate" (the router) and "experts.N".
  Experts(const ExpertsConfig& config, const nn::Weights& w, nn::Init init);
  // x [N, C] -> [N, C]. Appends the router's logits [N, E] to batch.router_logits if that is there.
  Tensor forward(const Tensor& x, const nn::TokenBatch& batch) const;

 private:
  struct Expert {
    nn::JoinedLinear gate_up;
    nn::Linear down;
  };
  ExpertsConfig c_;
  nn::Linear router_;
  std::vector<Expert> experts_;
};

// The balancing loss [] of router logits [N, E] of all layers; tokens that key_mask hides count nowhere.
Tensor balance_loss(const std::vector<Tensor>& router_logits, int64_t per_token, const std::vector<uint8_t>& key_mask);

}  // namespace mynah
