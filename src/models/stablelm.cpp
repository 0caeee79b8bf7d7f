// StableLM (arXiv:2402.17834): Llama with layer norms, part of each head turns, optionally both parts of a layer in parallel and each
// head's own norm of queries and keys. Starcoder 2 (arXiv:2402.19173): layer norms, biases, a plain feed-forward part. Cohere Command
// R: layer norms without bias, parallel parts, neighbouring elements of heads turn together, scaled logits.

#include "models/decoder_gguf.h"
#include "mynah/json.h"
#include "nn/config.h"
#include "nn/dropout.h"

namespace mynah {
namespace {

constexpr DecoderDefaults kStableLm{50304, 2560, 6912, 32, 32, 32, 0, 4096, 1e-5, 10000, "silu", false, -1, "layer_norm_eps"},
    kStarcoder2{49152, 3072, 12288, 30, 24, 2, 0, 4096, 1e-5, 10000, "gelu_pytorch_tanh", true, -1, "norm_epsilon"},
    kCohere{256000, 8192, 22528, 40, 64, 0, 0, 8192, 1e-5, 10000, "silu", true, 0, "layer_norm_eps"};

DecoderConfig stablelm(const Json& json) {
  Json full = json;
  if (!json.contains("partial_rotary_factor")) full["partial_rotary_factor"] = 0.25;
  DecoderConfig c(full, kStableLm);
  c.norm = nn::NormKind::layer;
  c.parallel = nn::config_bool(json, "use_parallel_residual", false);
  if (c.parallel) c.names.before_mlp = "";
  c.qkv_bias = nn::config_bool(json, "use_qkv_bias", false);
  c.mlp_dropout = nn::dropout_rate(json, "hidden_dropout", 0);
  c.names.q_norm = "q_layernorm";
  c.names.k_norm = "k_layernorm";
  if (nn::config_bool(json, "qk_layernorm", false)) c.qk_norm = QkNorm::each_head_apart;
  return c;
}

DecoderConfig starcoder2(const Json& json) {
  DecoderConfig c(json, kStarcoder2);
  c.norm = nn::NormKind::layer;
  c.qkv_bias = c.o_bias = c.mlp_bias = nn::config_bool(json, "use_bias", true);
  c.gated = false;
  c.residual_dropout = nn::dropout_rate(json, "residual_dropout", 0);
  c.embedding_dropout = nn::dropout_rate(json, "embedding_dropout", 0);
  c.names.up = "c_fc";
  c.names.down = "c_proj";
  if (const int64_t window = config_limit(json, "sliding_window", 0)) c.windows.assign(static_cast<size_t>(c.num_hidden_layers), window);
  return c;
}

DecoderConfig cohere(const Json& json) {
  DecoderConfig c(json, kCohere);
  c.norm = nn::NormKind::layer_without_bias;
  c.parallel = c.interleaved_rope = true;
  c.names.before_mlp = "";
  c.qkv_bias = c.o_bias = nn::config_bool(json, "attention_bias", false);
  if (nn::config_bool(json, "use_qk_norm", false)) c.qk_norm = QkNorm::each_head;
  c.logit_scale = static_cast<float>(nn::config_number(json, "logit_scale", 0.0625));
  return c;
}

Json stablelm_from_gguf(const Json& m) {
  Json c = decoder_config_from_gguf(m, "stablelm", "StableLmForCausalLM");
  c.update({{"hidden_act", "silu"}, {"use_parallel_residual", m.value("use_parallel_residual", false)}, {"use_qkv_bias", gguf_has(m, "blk.0.attn_q.bias")},
            {"qk_layernorm", gguf_has(m, "blk.0.attn_q_norm.weight")}});
  if (!c.contains("partial_rotary_factor")) c["partial_rotary_factor"] = 1.0;
  return c;
}

Json stablelm_metadata(const Json& json) {
  const DecoderConfig c = stablelm(json);
  Json m = decoder_metadata(json, c, Activation::silu, kNormEps);
  m["use_parallel_residual"] = c.parallel;
  return m;
}

std::span<const GgufRule> stablelm_rules(const Json&) {
  static const std::vector<GgufRule> all = with_decoder_rules({{"model.layers.{}.self_attn.q_layernorm.norms.{}", "blk.{}.attn_q_norm", GgufRule::stacked},
                                                               {"model.layers.{}.self_attn.k_layernorm.norms.{}", "blk.{}.attn_k_norm", GgufRule::stacked}});
  return all;
}

Json starcoder2_from_gguf(const Json& m) {
  Json c = decoder_config_from_gguf(m, "starcoder2", "Starcoder2ForCausalLM");
  c["norm_epsilon"] = c["layer_norm_eps"];
  c.update({{"hidden_act", "gelu_pytorch_tanh"}, {"use_bias", gguf_has(m, "blk.0.attn_q.bias")}});
  return c;
}
Json starcoder2_metadata(const Json& json) { return decoder_metadata(json, starcoder2(json), Activation::gelu_tanh, kNormEps); }

std::span<const GgufRule> starcoder2_rules(const Json&) {
  static const std::vector<GgufRule> all = with_decoder_rules({{"model.layers.{}.mlp.c_fc", "blk.{}.ffn_up"}, {"model.layers.{}.mlp.c_proj", "blk.{}.ffn_down"}});
  return all;
}

}  // namespace

extern const ModelEntry model_stablelm{
    "stablelm", {"StableLmForCausalLM", "StableLmModel", "StableLmForSequenceClassification", "StableLmForTokenClassification"}, make_decoder<stablelm>, "model.", kDecoderBuffers, {"stablelm", stablelm_from_gguf, stablelm_metadata, stablelm_rules}};
extern const ModelEntry model_starcoder2{
    "starcoder2", {"Starcoder2ForCausalLM", "Starcoder2Model", "Starcoder2ForSequenceClassification", "Starcoder2ForTokenClassification"}, make_decoder<starcoder2>, "model.", kDecoderBuffers, {"starcoder2", starcoder2_from_gguf, starcoder2_metadata, starcoder2_rules, true}};
extern const ModelEntry model_cohere{"cohere", {"CohereForCausalLM", "CohereModel"}, make_decoder<cohere>, "model.", {}, {}};

}  // namespace mynah
