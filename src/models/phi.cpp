// Phi-1, 1.5 and 2 (arXiv:2309.05463): parallel parts, biases everywhere, part of each head turns, plain feed-forward. Phi-3 and 4
// (arXiv:2404.14219): Llama with joined projections, and rope that knows short and long contexts.

#include "models/decoder_gguf.h"
#include "mynah/json.h"
#include "nn/config.h"
#include "nn/dropout.h"

namespace mynah {
namespace {

constexpr DecoderDefaults kPhi{51200, 2048, 8192, 24, 32, 0, 0, 2048, 1e-5, 10000, "gelu_new", false, -1, "layer_norm_eps"},
    kPhi3{32064, 3072, 8192, 32, 32, 0, 0, 4096, 1e-5, 10000, "silu", false, 32000};

DecoderConfig phi(const Json& json) {
  Json full = json;
  if (!json.contains("partial_rotary_factor")) full["partial_rotary_factor"] = 0.5;
  DecoderConfig c(full, kPhi);
  c.norm = c.qk_norm_kind = nn::NormKind::layer;
  c.names.before_mlp = "";
  c.names.final_norm = "final_layernorm";
  c.parallel = true;
  c.qkv_bias = c.o_bias = c.mlp_bias = c.head_bias = true;
  c.names.o = "dense";
  c.names.q_norm = "q_layernorm";
  c.names.k_norm = "k_layernorm";
  if (nn::config_bool(json, "qk_layernorm", false)) c.qk_norm = QkNorm::heads;
  c.gated = false;
  c.residual_dropout = nn::dropout_rate(json, "resid_pdrop", 0);
  c.embedding_dropout = nn::dropout_rate(json, "embd_pdrop", 0);
  c.names.up = "fc1";
  c.names.down = "fc2";
  return c;
}

DecoderConfig phi3(const Json& json) {
  Json full = json;
  // "su" and "yarn" are old names of this family for longrope.
  if (const auto scaling = full.find("rope_scaling"); scaling != full.end() && scaling->is_object() && (*scaling)["type"].is_string() && !scaling->contains("rope_type"))
    if ((*scaling)["type"] == "yarn") (*scaling)["type"] = "longrope";
  if (!full.contains("original_max_position_embeddings")) full["original_max_position_embeddings"] = 4096;
  DecoderConfig c(full, kPhi3);
  c.projection = Projection::joined;
  c.joined_gate_up = true;
  c.residual_dropout = nn::dropout_rate(json, "resid_pdrop", 0);
  c.reads_anew = true;
  if (const int64_t window = config_limit(json, "sliding_window", 0)) c.windows.assign(static_cast<size_t>(c.num_hidden_layers), window);
  return c;
}

Json phi_from_gguf(const Json& m) {
  Json c = decoder_config_from_gguf(m, "phi", "PhiForCausalLM");
  c["hidden_act"] = "gelu_new";
  if (!c.contains("partial_rotary_factor")) c["partial_rotary_factor"] = 1.0;
  return c;
}

Json phi_metadata(const Json& json) {
  const DecoderConfig c = phi(json);
  if (c.qk_norm != QkNorm::none) no_gguf_field("qk_layernorm");
  return decoder_metadata(json, c, Activation::gelu_tanh, kNormEps);
}

std::span<const GgufRule> phi_rules(const Json&) {
  static const std::vector<GgufRule> all = with_decoder_rules({{"model.layers.{}.self_attn.dense", "blk.{}.attn_output"},
                                                               {"model.layers.{}.mlp.fc1", "blk.{}.ffn_up"},
                                                               {"model.layers.{}.mlp.fc2", "blk.{}.ffn_down"},
                                                               {"model.final_layernorm", "output_norm"}});
  return all;
}

Json phi3_from_gguf(const Json& m) {
  Json c = decoder_config_from_gguf(m, "phi3", "Phi3ForCausalLM");
  c["hidden_act"] = "silu";
  if (nn::config_int(m, "attention.sliding_window", 0, 0) > 0) c["sliding_window"] = m["attention.sliding_window"];
  if (!gguf_has(m, "rope_factors_long.weight")) return c;
  c["original_max_position_embeddings"] = m.at("rope.scaling.original_context_length");
  c["rope_scaling"] = {{"rope_type", "longrope"}, {"type", "longrope"}, {"long_factor", m["tensors"]["rope_factors_long.weight"]}, {"short_factor", m["tensors"]["rope_factors_short.weight"]}};
  if (m.contains("rope.scaling.attn_factor")) c["rope_scaling"]["attention_factor"] = m["rope.scaling.attn_factor"];
  return c;
}

Json phi3_metadata(const Json& json) {
  const DecoderConfig c = phi3(json);
  Json m = decoder_metadata({{"max_position_embeddings", c.max_position_embeddings}}, c, Activation::silu, kRmsEps, true);
  if (!c.windows.empty()) m["attention.sliding_window"] = c.windows[0];
  const std::string type = nn::rope_type(nn::rope_settings(json));
  if (type == "default") return m;
  m["rope.scaling.original_context_length"] = nn::config_int(json, "original_max_position_embeddings", 4096);
  m["rope.scaling.attn_factor"] = c.ropes[0].attention_factor();
  return m;
}

NamedLists phi3_lists(const Json& json) {
  const Json scaling = nn::rope_settings(json);
  if (!scaling.contains("long_factor")) return {};
  return {{"rope_factors_long.weight", scaling["long_factor"].get<std::vector<float>>()}, {"rope_factors_short.weight", scaling["short_factor"].get<std::vector<float>>()}};
}

std::span<const GgufRule> phi3_rules(const Json&) {
  static const std::vector<GgufRule> all = with_decoder_rules({{"model.layers.{}.self_attn.qkv_proj", "blk.{}.attn_qkv"}, {"model.layers.{}.mlp.gate_up_proj", "blk.{}.ffn_up"}});
  return all;
}

}  // namespace

extern const ModelEntry model_phi{
    "phi", {"PhiForCausalLM", "PhiModel", "PhiForSequenceClassification", "PhiForTokenClassification"}, make_decoder<phi>, "model.", kDecoderBuffers, {"phi2", phi_from_gguf, phi_metadata, phi_rules}};
extern const ModelEntry model_phi3{
    "phi3", {"Phi3ForCausalLM", "Phi3Model", "Phi3ForSequenceClassification", "Phi3ForTokenClassification"}, make_decoder<phi3>, "model.", kDecoderBuffers, {"phi3", phi3_from_gguf, phi3_metadata, phi3_rules, false, phi3_lists}};

}  // namespace mynah
