// Qwen2 and Qwen2.5 (arXiv:2407.10671): Llama with biases on queries, keys and values. Qwen3 (arXiv:2505.09388): no biases, queries
// and keys normed before they turn; Qwen3-MoE: experts in place of the feed-forward part. Late layers may slide.
#include <algorithm>

#include "base/require.h"
#include "models/decoder_gguf.h"
#include "models/qwen.h"
#include "mynah/json.h"
#include "nn/config.h"

namespace mynah {
namespace {

constexpr DecoderDefaults kQwen2{151936, 4096, 22016, 32, 32, 32, 0, 32768}, kQwen3{151936, 4096, 22016, 32, 32, 32, 128, 32768},
    kQwen3Moe{151936, 2048, 6144, 24, 32, 4, 0, 32768};

bool qwen_slides(const Json& json, int64_t layer) {
  return nn::config_bool(json, "use_sliding_window", false) && config_limit(json, "sliding_window", 4096) > 0 &&
         layer >= nn::config_int(json, "max_window_layers", 28, 0);
}
int64_t window_of(const Json& json) { return nn::config_bool(json, "use_sliding_window", false) ? config_limit(json, "sliding_window", 4096) : 0; }

DecoderConfig qwen2(const Json& json) { return qwen2_config(json, kQwen2); }

DecoderConfig qwen3_attention(const Json& json, const DecoderDefaults& defaults) {
  DecoderConfig c(json, defaults);
  c.names.base = decoder_base(json);
  c.qkv_bias = c.o_bias = nn::config_bool(json, "attention_bias", false);
  c.qk_norm = QkNorm::heads;
  return c;
}

DecoderConfig qwen3(const Json& json) {
  DecoderConfig c = qwen3_attention(json, kQwen3);
  c.windows = layer_windows(json, c.num_hidden_layers, window_of(json), qwen_slides);
  return c;
}

DecoderConfig qwen3_moe(const Json& json) {
  DecoderConfig c = qwen3_attention(json, kQwen3Moe);
  if (const int64_t window = window_of(json)) c.windows.assign(static_cast<size_t>(c.num_hidden_layers), window);
  c.experts = ExpertsConfig{.count = nn::config_int(json, "num_experts", 128, 0, 100000),
                            .per_token = nn::config_int(json, "num_experts_per_tok", 8, 1, 100000),
                            .hidden_size = c.hidden_size,
                            .intermediate_size = nn::config_int(json, "moe_intermediate_size", 768),
                            .hidden_act = c.hidden_act,
                            .name = "mlp",
                            .normalise = nn::config_bool(json, "norm_topk_prob", false),
                            .gate_name = "gate_proj",
                            .up_name = "up_proj",
                            .down_name = "down_proj",
                            .balance = nn::config_bool(json, "output_router_logits", false),
                            .balance_weight = static_cast<float>(nn::config_number(json, "router_aux_loss_coef", 0.001))};
  const int64_t step = nn::config_int(json, "decoder_sparse_step", 1);
  const Json dense = json.value("mlp_only_layers", Json());
  for (int64_t i = 0; i < c.num_hidden_layers; ++i)
    c.sparse_layers.push_back(c.experts->count > 0 && (i + 1) % step == 0 && std::find(dense.begin(), dense.end(), Json(i)) == dense.end());
  return c;
}

Json qwen_config_from_gguf(const Json& m, const char* type, const char* architecture) {
  Json c = decoder_config_from_gguf(m, type, architecture);
  c["hidden_act"] = "silu";
  c["attention_bias"] = gguf_has(m, "blk.0.attn_q.bias");
  return c;
}
Json qwen2_from_gguf(const Json& m) { return qwen_config_from_gguf(m, "qwen2", "Qwen2ForCausalLM"); }
Json qwen3_from_gguf(const Json& m) { return qwen_config_from_gguf(m, "qwen3", "Qwen3ForCausalLM"); }
Json qwen3_moe_from_gguf(const Json& m) {
  Json c = qwen_config_from_gguf(m, "qwen3_moe", "Qwen3MoeForCausalLM");
  c.update({{"num_experts", m.at("expert_count")}, {"num_experts_per_tok", m.at("expert_used_count")}, {"moe_intermediate_size", m.at("expert_feed_forward_length")},
            {"norm_topk_prob", true}});
  return c;
}

template <DecoderConfig (*config)(const Json&)>
Json metadata(const Json& json) {
  return decoder_metadata(json, config(json), Activation::silu, kRmsEps);
}
Json qwen3_moe_metadata(const Json& json) {
  const DecoderConfig c = qwen3_moe(json);
  if (!c.experts->normalise) no_gguf_field("norm_topk_prob false");
  if (std::find(c.sparse_layers.begin(), c.sparse_layers.end(), false) != c.sparse_layers.end()) no_gguf_field("layers without experts");
  Json m = decoder_metadata(json, c, Activation::silu, kRmsEps);
  m.update({{"expert_count", c.experts->count}, {"expert_used_count", c.experts->per_token}, {"expert_feed_forward_length", c.experts->intermediate_size}});
  return m;
}

std::span<const GgufRule> qwen_rules(const Json&) {
  static const std::vector<GgufRule> all = with_decoder_rules({{"model.layers.{}.mlp.gate", "blk.{}.ffn_gate_inp"},
                                                               {"model.layers.{}.mlp.experts.{}.gate_proj", "blk.{}.ffn_gate_exps", GgufRule::stacked},
                                                               {"model.layers.{}.mlp.experts.{}.up_proj", "blk.{}.ffn_up_exps", GgufRule::stacked},
                                                               {"model.layers.{}.mlp.experts.{}.down_proj", "blk.{}.ffn_down_exps", GgufRule::stacked}});
  return all;
}

}  // namespace

DecoderConfig qwen2_config(const Json& json, const DecoderDefaults& defaults) {
  DecoderConfig c(json, defaults);
  c.names.base = decoder_base(json);
  c.qkv_bias = true;
  c.windows = layer_windows(json, c.num_hidden_layers, window_of(json), qwen_slides);
  return c;
}

extern const ModelEntry model_qwen2{
    "qwen2",
    {"Qwen2ForCausalLM", "Qwen2Model", "Qwen2ForSequenceClassification", "Qwen2ForTokenClassification", "Qwen2ForQuestionAnswering"},
    make_decoder<qwen2>, "model.", kDecoderBuffers, {"qwen2", qwen2_from_gguf, metadata<qwen2>, qwen_rules, false, rope_lists}};
extern const ModelEntry model_qwen3{
    "qwen3",
    {"Qwen3ForCausalLM", "Qwen3Model", "Qwen3ForSequenceClassification", "Qwen3ForTokenClassification", "Qwen3ForQuestionAnswering"},
    make_decoder<qwen3>, "model.", kDecoderBuffers, {"qwen3", qwen3_from_gguf, metadata<qwen3>, qwen_rules, false, rope_lists}};
extern const ModelEntry model_qwen3_moe{
    "qwen3_moe",
    {"Qwen3MoeForCausalLM", "Qwen3MoeModel", "Qwen3MoeForSequenceClassification", "Qwen3MoeForTokenClassification", "Qwen3MoeForQuestionAnswering"},
    make_decoder<qwen3_moe>, "model.", kDecoderBuffers, {"qwen3moe", qwen3_moe_from_gguf, qwen3_moe_metadata, qwen_rules}};

}  // namespace mynah
