// Falcon (arXiv:2311.16867): parallel parts; queries, keys and values in one matrix of one of three layouts: one kv head for all
// (7B), groups (40B, 180B, 11B), a key and a value for each query (RW, which has slopes in place of rotation). BLOOM
// (arXiv:2211.05100): slopes, a norm after the embedding. GPT-NeoX and Pythia (arXiv:2204.06745): part of each head turns, each part
// has its norm. GPT-J: neighbouring elements turn together, separate matrices.

#include "base/require.h"
#include "models/decoder_gguf.h"
#include "mynah/json.h"
#include "nn/config.h"
#include "nn/dropout.h"

namespace mynah {
namespace {

constexpr DecoderDefaults kFalcon{65024, 4544, 0, 32, 71, 0, 0, 2048, 1e-5, 10000, "gelu", true, -1, "layer_norm_epsilon"},
    kNeoX{50432, 6144, 24576, 44, 64, 0, 0, 2048, 1e-5, 10000, "gelu", false, -1, "layer_norm_eps"};

// Layer norms, a plain feed-forward part, no padding row among the words, and the names of Megatron's descendants.
void from_megatron(DecoderConfig* c) {
  c->norm = nn::NormKind::layer;
  c->gated = false;
  c->pad_token_id = -1;
  c->projection = Projection::grouped;
  c->names = {.base = "transformer", .embed = "word_embeddings", .layers = "h", .final_norm = "ln_f", .attention = "self_attention", .qkv = "query_key_value",
              .o = "dense", .up = "dense_h_to_4h", .down = "dense_4h_to_h", .token_classifier = "classifier"};
}

DecoderConfig falcon(const Json& json) {
  Json full = json;
  if (json.contains("n_embed")) full["hidden_size"] = json["n_embed"];
  const int64_t hidden = nn::config_int(full, "hidden_size", kFalcon.hidden), heads = nn::config_int(json, "num_attention_heads", kFalcon.heads, 1, 100000);
  const bool grouped = nn::config_bool(json, "new_decoder_architecture", false), one_key = nn::config_bool(json, "multi_query", true);
  full["intermediate_size"] = nn::config_int(json, "ffn_hidden_size", 4 * hidden);
  full["num_key_value_heads"] = grouped ? nn::config_int(json, "num_kv_heads", heads) : one_key ? 1 : heads;
  full["hidden_act"] = nn::config_string(json, "activation", "gelu");
  const bool slopes = nn::config_bool(json, "alibi", false);
  DecoderDefaults defaults = kFalcon;
  if (slopes) defaults.theta = 0;
  DecoderConfig c(full, defaults);
  from_megatron(&c);
  c.qkv_bias = c.o_bias = c.mlp_bias = nn::config_bool(json, "bias", false);
  c.parallel = nn::config_bool(json, "parallel_attn", true);
  require(!grouped || c.parallel, "config.json: new_decoder_architecture without parallel_attn is not a Falcon that exists");
  if (c.parallel) {
    const int64_t norms = nn::config_int(json, "num_ln_in_parallel_attn", grouped ? 2 : 1, 1, 2);
    require(norms == 1 || grouped, "config.json: num_ln_in_parallel_attn is 2, which needs new_decoder_architecture");
    c.names.before_attention = norms == 2 ? "ln_attn" : "input_layernorm";
    c.names.before_mlp = norms == 2 ? "ln_mlp" : "";
  }
  if (slopes) c.slopes = DecoderConfig::Slopes::bf16;
  // Parallel parts are dropped as one sum.
  c.mlp_dropout = nn::dropout_rate(json, "hidden_dropout", 0);
  if (c.parallel) c.drops_sum = true;
  else c.residual_dropout = c.attention_dropout;
  if (!slopes) c.attention_dropout = 0;  // the reference's attention without slopes drops nothing
  c.packs = false;
  return c;
}

DecoderConfig bloom(const Json& json) {
  Json full = json;
  for (const auto& [old, now] : {std::pair{"n_embed", "hidden_size"}, {"n_layer", "num_hidden_layers"}, {"n_head", "num_attention_heads"}})
    if (json.contains(old) && !json[old].is_null()) full[now] = json[old];
  full["intermediate_size"] = 4 * nn::config_int(full, "hidden_size", 64);
  full["hidden_act"] = "gelu_new";
  DecoderConfig c(full, {250880, 64, 0, 2, 8, 0, 0, 2048, 1e-5, 0, "gelu_new", true, -1, "layer_norm_epsilon"});
  from_megatron(&c);
  c.max_position_embeddings = 0;
  c.names.embed_norm = "word_embeddings_layernorm";
  c.residual_dropout = nn::dropout_rate(json, "hidden_dropout", 0);
  c.qkv_bias = c.o_bias = c.mlp_bias = true;
  c.residual_is_normed = nn::config_bool(json, "apply_residual_connection_post_layernorm", false);
  c.slopes = DecoderConfig::Slopes::exact;
  c.packs = false;
  return c;
}

DecoderConfig gpt_neox(const Json& json) {
  Json full = json;
  full["partial_rotary_factor"] = nn::config_number(json, "rotary_pct", nn::config_number(json, "partial_rotary_factor", 0.25));
  full["rope_theta"] = nn::config_number(json, "rotary_emb_base", nn::config_number(json, "rope_theta", 10000));
  DecoderConfig c(full, kNeoX);
  from_megatron(&c);
  c.names.base = "gpt_neox";
  c.names.embed = "embed_in";
  c.names.layers = "layers";
  c.names.final_norm = "final_layer_norm";
  c.names.attention = "attention";
  c.names.head = "embed_out";
  c.qkv_bias = c.o_bias = nn::config_bool(json, "attention_bias", true);
  c.mlp_bias = true;
  c.parallel = nn::config_bool(json, "use_parallel_residual", true);
  c.residual_dropout = c.embedding_dropout = nn::dropout_rate(json, "hidden_dropout", 0);
  return c;
}

DecoderConfig gptj(const Json& json) {
  Json full = json;
  for (const auto& [old, now] : {std::pair{"n_embd", "hidden_size"}, {"n_layer", "num_hidden_layers"}, {"n_head", "num_attention_heads"}, {"n_positions", "max_position_embeddings"},
                                 {"n_inner", "intermediate_size"}, {"activation_function", "hidden_act"}})
    if (json.contains(old) && !json[old].is_null()) full[now] = json[old];
  const int64_t hidden = nn::config_int(full, "hidden_size", 4096);
  DecoderConfig c(full, {50400, 4096, 4 * hidden, 28, 16, 0, 0, 2048, 1e-5, 0, "gelu_new", false, -1, "layer_norm_epsilon"});
  from_megatron(&c);
  const int64_t turned = nn::config_int(json, "rotary_dim", json.contains("rotary_dim") ? c.head_dim : 64);
  require(turned <= c.head_dim, "config.json: rotary_dim is {}, heads have {} elements", turned, c.head_dim);
  c.ropes = {nn::Rope({{"max_position_embeddings", c.max_position_embeddings}}, turned)};
  c.names = {.base = "transformer", .embed = "wte", .layers = "h", .final_norm = "ln_f", .attention = "attn", .o = "out_proj", .up = "fc_in", .down = "fc_out",
             .before_attention = "ln_1", .before_mlp = ""};
  c.projection = Projection::apart;
  c.interleaved_rope = c.parallel = c.mlp_bias = c.head_bias = true;
  c.attention_dropout = nn::dropout_rate(json, "attn_pdrop", 0);
  c.residual_dropout = nn::dropout_rate(json, "resid_pdrop", 0);
  c.embedding_dropout = nn::dropout_rate(json, "embd_pdrop", 0);
  c.packs = false;
  return c;
}

// GGUF: BLOOM and GPT-NeoX share Megatron's names; groups of queries, keys and values are taken apart there.
std::vector<GgufRule> megatron_rules(std::vector<GgufRule> own) {
  const GgufRule shared[] = {{"transformer.word_embeddings", "token_embd"},
                             {"transformer.h.{}.input_layernorm", "blk.{}.attn_norm"},
                             {"transformer.h.{}.post_attention_layernorm", "blk.{}.ffn_norm"},
                             {"transformer.h.{}.self_attention.query_key_value", "blk.{}.attn_qkv", GgufRule::grouped},
                             {"transformer.h.{}.self_attention.dense", "blk.{}.attn_output"},
                             {"transformer.h.{}.mlp.dense_h_to_4h", "blk.{}.ffn_up"},
                             {"transformer.h.{}.mlp.dense_4h_to_h", "blk.{}.ffn_down"},
                             {"transformer.ln_f", "output_norm"},
                             {"lm_head", "output"}};
  own.insert(own.end(), std::begin(shared), std::end(shared));
  return own;
}

std::span<const GgufRule> falcon_rules(const Json& config) {
  static const std::vector<GgufRule> one_norm = megatron_rules({}),
                                     two_norms = megatron_rules({{"transformer.h.{}.ln_mlp", "blk.{}.attn_norm"}, {"transformer.h.{}.ln_attn", "blk.{}.attn_norm_2"}});
  return falcon(config).names.before_mlp == "ln_mlp" ? two_norms : one_norm;
}
std::span<const GgufRule> bloom_rules(const Json&) {
  static const std::vector<GgufRule> all = megatron_rules({{"transformer.word_embeddings_layernorm", "token_embd_norm"}});
  return all;
}
std::span<const GgufRule> neox_rules(const Json&) {
  static const GgufRule all[] = {{"gpt_neox.embed_in", "token_embd"},
                                 {"gpt_neox.layers.{}.input_layernorm", "blk.{}.attn_norm"},
                                 {"gpt_neox.layers.{}.post_attention_layernorm", "blk.{}.ffn_norm"},
                                 {"gpt_neox.layers.{}.attention.query_key_value", "blk.{}.attn_qkv", GgufRule::grouped},
                                 {"gpt_neox.layers.{}.attention.dense", "blk.{}.attn_output"},
                                 {"gpt_neox.layers.{}.mlp.dense_h_to_4h", "blk.{}.ffn_up"},
                                 {"gpt_neox.layers.{}.mlp.dense_4h_to_h", "blk.{}.ffn_down"},
                                 {"gpt_neox.final_layer_norm", "output_norm"},
                                 {"embed_out", "output"}};
  return all;
}

Json falcon_from_gguf(const Json& m) {
  Json c = decoder_config_from_gguf(m, "falcon", "FalconForCausalLM");
  const int64_t heads = nn::config_int(m, "attention.head_count"), keys = nn::config_int(m, "attention.head_count_kv", heads);
  const bool two = gguf_has(m, "blk.0.attn_norm_2.weight");
  c.update({{"layer_norm_epsilon", m.at(kNormEps)}, {"ffn_hidden_size", nn::config_int(m, "feed_forward_length", 4 * nn::config_int(m, "embedding_length"))},
            {"bias", gguf_has(m, "blk.0.attn_qkv.bias")}, {"activation", "gelu"}, {"parallel_attn", true}, {"alibi", false}, {"new_decoder_architecture", two || keys > 1},
            {"multi_query", true}, {"num_kv_heads", keys}});
  if (two || keys > 1) c["num_ln_in_parallel_attn"] = two ? 2 : 1;
  return c;
}

Json falcon_metadata(const Json& json) {
  const DecoderConfig c = falcon(json);
  if (c.slopes != DecoderConfig::Slopes::none || !c.parallel) no_gguf_field("alibi or parallel_attn");
  if (c.num_key_value_heads == c.num_attention_heads && !nn::config_bool(json, "new_decoder_architecture", false)) no_gguf_field("multi_query false");
  return decoder_metadata(json, c, Activation::gelu, kNormEps);
}

Json bloom_from_gguf(const Json& m) {
  return {{"model_type", "bloom"},     {"architectures", {"BloomForCausalLM"}},       {"hidden_size", m.at("embedding_length")},
          {"n_layer", m.at("block_count")}, {"n_head", m.at("attention.head_count")}, {"layer_norm_epsilon", m.at(kNormEps)}};
}

Json bloom_metadata(const Json& json) {
  const DecoderConfig c = bloom(json);
  if (c.residual_is_normed) no_gguf_field("apply_residual_connection_post_layernorm");
  Json m = decoder_metadata(json, c, Activation::gelu_tanh, kNormEps);
  m["context_length"] = nn::config_int(json, "seq_length", 2048);
  return m;
}

Json neox_from_gguf(const Json& m) {
  Json c = decoder_config_from_gguf(m, "gpt_neox", "GPTNeoXForCausalLM");
  c.update({{"hidden_act", "gelu"}, {"use_parallel_residual", m.value("use_parallel_residual", true)}, {"rotary_pct", c.value("partial_rotary_factor", 1.0)},
            {"rotary_emb_base", c.value("rope_theta", 10000.0)}, {"attention_bias", gguf_has(m, "blk.0.attn_qkv.bias")}});
  return c;
}

Json neox_metadata(const Json& json) {
  const DecoderConfig c = gpt_neox(json);
  Json m = decoder_metadata(json, c, Activation::gelu, kNormEps);
  m["use_parallel_residual"] = c.parallel;
  return m;
}

}  // namespace

extern const ModelEntry model_falcon{
    "falcon",
    {"FalconForCausalLM", "FalconModel", "FalconForSequenceClassification", "FalconForTokenClassification", "FalconForQuestionAnswering"},
    make_decoder<falcon>, "transformer.", {"rotary_emb.inv_freq", "rope_freqs.weight"}, {"falcon", falcon_from_gguf, falcon_metadata, falcon_rules, true}};
extern const ModelEntry model_bloom{
    "bloom",
    {"BloomForCausalLM", "BloomModel", "BloomForSequenceClassification", "BloomForTokenClassification", "BloomForQuestionAnswering"},
    make_decoder<bloom>, "transformer.", {}, {"bloom", bloom_from_gguf, bloom_metadata, bloom_rules, true}};
extern const ModelEntry model_gpt_neox{
    "gpt_neox",
    {"GPTNeoXForCausalLM", "GPTNeoXModel", "GPTNeoXForSequenceClassification", "GPTNeoXForTokenClassification", "GPTNeoXForQuestionAnswering"},
    make_decoder<gpt_neox>, "gpt_neox.", {"rotary_emb.inv_freq", ".attention.bias", ".attention.masked_bias"}, {"gptneox", neox_from_gguf, neox_metadata, neox_rules}};
extern const ModelEntry model_gptj{
    "gptj", {"GPTJForCausalLM", "GPTJModel", "GPTJForSequenceClassification", "GPTJForQuestionAnswering"}, make_decoder<gptj>, "transformer.", {".attn.bias", ".attn.masked_bias"}, {}};

}  // namespace mynah
