// Mixtral (arXiv:2401.04088): Mistral with experts in place of the feed-forward part, two of eight for each token.

#include "models/decoder_gguf.h"
#include "mynah/json.h"
#include "nn/config.h"

namespace mynah {
namespace {

constexpr DecoderDefaults kMixtral{32000, 4096, 14336, 32, 32, 8, 0, 131072, 1e-5, 1e6};

DecoderConfig mixtral(const Json& json) {
  DecoderConfig c(json, kMixtral);
  if (const int64_t window = config_limit(json, "sliding_window", 0)) c.windows.assign(static_cast<size_t>(c.num_hidden_layers), window);
  c.experts = ExpertsConfig{.count = nn::config_int(json, "num_local_experts", 8, 1, 100000),
                            .per_token = nn::config_int(json, "num_experts_per_tok", 2, 1, 100000),
                            .hidden_size = c.hidden_size,
                            .intermediate_size = c.intermediate_size,
                            .hidden_act = c.hidden_act,
                            .balance = nn::config_bool(json, "output_router_logits", false),
                            .balance_weight = static_cast<float>(nn::config_number(json, "router_aux_loss_coef", 0.001))};
  return c;
}

Json metadata(const Json& json) {
  const DecoderConfig c = mixtral(json);
  Json m = decoder_metadata(json, c, Activation::silu, kRmsEps, true);
  m.update({{"expert_count", c.experts->count}, {"expert_used_count", c.experts->per_token}});
  if (!c.windows.empty()) m["attention.sliding_window"] = c.windows[0];
  return m;
}

std::span<const GgufRule> mixtral_rules(const Json&) {
  static const std::vector<GgufRule> all = with_decoder_rules({{"model.layers.{}.block_sparse_moe.gate", "blk.{}.ffn_gate_inp"},
                                                               {"model.layers.{}.block_sparse_moe.experts.{}.w1", "blk.{}.ffn_gate_exps", GgufRule::stacked},
                                                               {"model.layers.{}.block_sparse_moe.experts.{}.w3", "blk.{}.ffn_up_exps", GgufRule::stacked},
                                                               {"model.layers.{}.block_sparse_moe.experts.{}.w2", "blk.{}.ffn_down_exps", GgufRule::stacked}},
                                                              true);
  return all;
}

}  // namespace

extern const ModelEntry model_mixtral{
    "mixtral",
    {"MixtralForCausalLM", "MixtralModel", "MixtralForSequenceClassification", "MixtralForTokenClassification", "MixtralForQuestionAnswering"},
    make_decoder<mixtral>, "model.", kDecoderBuffers, {"llama", config_of_llama_gguf, metadata, mixtral_rules, false, rope_lists}};

}  // namespace mynah
