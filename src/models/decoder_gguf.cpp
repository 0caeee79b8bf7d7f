#include "models/decoder_gguf.h"

#include <algorithm>

#include "base/require.h"
#include "mynah/json.h"
#include "nn/config.h"
#include "nn/rope_gguf.h"

namespace mynah {
namespace {

constexpr std::pair<const char*, const char*> kKeys[] = {
    {"embedding_length", "hidden_size"},       {"block_count", "num_hidden_layers"},
    {"feed_forward_length", "intermediate_size"}, {"attention.head_count", "num_attention_heads"},
    {"attention.head_count_kv", "num_key_value_heads"}, {"attention.key_length", "head_dim"},
    {kRmsEps, "rms_norm_eps"},                 {kNormEps, "layer_norm_eps"},
    {"rope.freq_base", "rope_theta"},          {"context_length", "max_position_embeddings"},
};

}  // namespace

bool gguf_has(const Json& m, const char* tensor) { return m.contains("tensors") && m["tensors"].contains(tensor); }

void no_gguf_field(const char* what) { fail(ErrorCode::failure, "convert: GGUF has no field for this model's {}; keep the model as safetensors", what); }

Json decoder_config_from_gguf(const Json& m, const char* model_type, const char* architecture) {
  Json c = {{"model_type", model_type}, {"architectures", {architecture}}};
  for (const auto& [from, to] : kKeys)
    if (m.contains(from)) c[to] = m[from];
  if (Json scaling = nn::rope_scaling_of(m); !scaling.is_null()) c["rope_scaling"] = scaling;
  const int64_t heads = nn::config_int(m, "attention.head_count", 1);
  const int64_t head_dim = nn::config_int(m, "attention.key_length", std::max<int64_t>(1, nn::config_int(m, "embedding_length", heads) / heads));
  if (const int64_t turned = nn::config_int(m, "rope.dimension_count", head_dim, 0); turned != head_dim)
    c["partial_rotary_factor"] = static_cast<double>(turned) / static_cast<double>(head_dim);
  if (gguf_has(m, "rope_freqs.weight")) {
    require(!c.contains("rope_scaling"), "gguf: both rope_freqs.weight and rope.scaling.type are given, expected one");
    c["rope_scaling"] = nn::rope_scaling_of(m["tensors"]["rope_freqs.weight"].get<std::vector<float>>(), c, head_dim);
  }
  return c;
}

Json config_of_llama_gguf(const Json& m) {
  const bool experts = nn::config_int(m, "expert_count", 0, 0) > 0, window = m.contains("attention.sliding_window");
  Json c = experts ? decoder_config_from_gguf(m, "mixtral", "MixtralForCausalLM")
                   : window ? decoder_config_from_gguf(m, "mistral", "MistralForCausalLM") : decoder_config_from_gguf(m, "llama", "LlamaForCausalLM");
  c["hidden_act"] = "silu";
  if (experts) {
    c["num_local_experts"] = m["expert_count"];
    c["num_experts_per_tok"] = nn::config_int(m, "expert_used_count", 2);
  }
  if (window) c["sliding_window"] = m["attention.sliding_window"];
  c["attention_bias"] = gguf_has(m, "blk.0.attn_q.bias");
  c["mlp_bias"] = gguf_has(m, "blk.0.ffn_down.bias");
  return c;
}

Json decoder_metadata(const Json& json, const DecoderConfig& c, Activation expected, const char* eps_key, bool windows) {
  if (c.hidden_act != expected) no_gguf_field("activation function");
  if (!windows && std::any_of(c.windows.begin(), c.windows.end(), [](int64_t w) { return w > 0; })) no_gguf_field("sliding windows");
  Json m = {{"context_length", c.max_position_embeddings},
            {"embedding_length", c.hidden_size},
            {"block_count", c.num_hidden_layers},
            {"feed_forward_length", c.intermediate_size},
            {"attention.head_count", c.num_attention_heads},
            {"attention.head_count_kv", c.num_key_value_heads},
            {"attention.key_length", c.head_dim},
            {"attention.value_length", c.head_dim},
            {eps_key, c.norm_eps},
            {"vocab_size", c.vocab_size}};
  if (c.ropes.empty()) return m;
  m["rope.freq_base"] = c.ropes[0].theta();
  m["rope.dimension_count"] = c.ropes[0].rotary_dim();
  m.update(nn::rope_metadata(json, c.head_dim));
  return m;
}

NamedLists rope_lists(const Json& config) {
  const int64_t heads = nn::config_int(config, "num_attention_heads", 32), hidden = nn::config_int(config, "hidden_size", 4096);
  const std::vector<float> divisors = nn::rope_divisors(config, nn::config_int(config, "head_dim", std::max<int64_t>(1, hidden / heads)));
  return divisors.empty() ? NamedLists{} : NamedLists{{"rope_freqs.weight", divisors}};
}

std::vector<GgufRule> with_decoder_rules(std::vector<GgufRule> own, bool pairs) {
  const GgufRule shared[] = {
      {"model.embed_tokens", "token_embd"},
      {"model.layers.{}.input_layernorm", "blk.{}.attn_norm"},
      {"model.layers.{}.self_attn.q_proj", "blk.{}.attn_q", pairs ? GgufRule::rope_q : GgufRule::same},
      {"model.layers.{}.self_attn.k_proj", "blk.{}.attn_k", pairs ? GgufRule::rope_k : GgufRule::same},
      {"model.layers.{}.self_attn.v_proj", "blk.{}.attn_v"},
      {"model.layers.{}.self_attn.o_proj", "blk.{}.attn_output"},
      {"model.layers.{}.self_attn.q_norm", "blk.{}.attn_q_norm"},
      {"model.layers.{}.self_attn.k_norm", "blk.{}.attn_k_norm"},
      {"model.layers.{}.post_attention_layernorm", "blk.{}.ffn_norm"},
      {"model.layers.{}.mlp.gate_proj", "blk.{}.ffn_gate"},
      {"model.layers.{}.mlp.up_proj", "blk.{}.ffn_up"},
      {"model.layers.{}.mlp.down_proj", "blk.{}.ffn_down"},
      {"model.norm", "output_norm"},
      {"lm_head", "output"},
  };
  own.insert(own.end(), std::begin(shared), std::end(shared));
  return own;
}

}  // namespace mynah
