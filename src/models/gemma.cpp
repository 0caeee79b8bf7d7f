// Gemma (arXiv:2403.08295): Llama with scaled embeddings, norms whose factor is 1 + weight, and a tanh gelu. Gemma 2
// (arXiv:2408.00118): norms around both parts of a layer, capped scores and logits, every other layer slides. Gemma 3
// (arXiv:2503.19786; its text part, and EmbeddingGemma, which looks both ways): normed queries and keys, five layers of six slide and
// turn by another base. The output head is the embedding.
#include <cmath>

#include "models/decoder_gguf.h"
#include "mynah/json.h"
#include "nn/config.h"

namespace mynah {
namespace {

constexpr DecoderDefaults kGemma{256000, 3072, 24576, 28, 16, 16, 256, 8192, 1e-6, 10000, "gelu_pytorch_tanh", true, 0},
    kGemma2{256000, 2304, 9216, 26, 8, 4, 256, 8192, 1e-6, 10000, "gelu_pytorch_tanh", true, 0},
    kGemma3{262208, 2304, 9216, 26, 8, 4, 256, 131072, 1e-6, 1e6, "gelu_pytorch_tanh", true, 0};

DecoderConfig gemma(const Json& json, const DecoderDefaults& defaults) {
  DecoderConfig c(json, defaults);
  c.norm = c.qk_norm_kind = nn::NormKind::rms_plus_one;
  c.qkv_bias = c.o_bias = nn::config_bool(json, "attention_bias", false);
  c.embedding_scale = std::sqrt(static_cast<float>(c.hidden_size));
  return c;
}

DecoderConfig gemma1(const Json& json) { return gemma(json, kGemma); }

// What Gemma 2 and 3 share.
DecoderConfig later(const Json& json, const DecoderDefaults& defaults, float attention_cap, float logit_cap) {
  DecoderConfig c = gemma(json, defaults);
  c.names.after_attention = "post_attention_layernorm";
  c.names.before_mlp = "pre_feedforward_layernorm";
  c.names.after_mlp = "post_feedforward_layernorm";
  c.hidden_act = activation(nn::config_string(json, "hidden_activation", "gelu_pytorch_tanh"));
  c.attention.scale = 1 / std::sqrt(static_cast<float>(nn::config_number(json, "query_pre_attn_scalar", 256)));
  c.attention.softcap = config_cap(json, "attn_logit_softcapping", attention_cap);
  c.logit_softcap = config_cap(json, "final_logit_softcapping", logit_cap);
  return c;
}

DecoderConfig gemma2(const Json& json) {
  DecoderConfig c = later(json, kGemma2, 50, 30);
  c.windows = layer_windows(json, c.num_hidden_layers, config_limit(json, "sliding_window", 4096),
                            [](const Json&, int64_t layer) { return layer % 2 == 0; });
  return c;
}

DecoderConfig gemma3(const Json& json) {
  DecoderConfig c = later(json, kGemma3, 0, 0);
  c.attention.softcap = 0;  // the reference reads the cap and does not apply it
  c.qk_norm = QkNorm::heads;
  int64_t window = config_limit(json, "sliding_window", 4096);
  if (nn::config_bool(json, "use_bidirectional_attention", false)) {
    c.attention.causal = false;
    window = window / 2 + 1;
  }
  c.windows = layer_windows(json, c.num_hidden_layers, window,
                            [](const Json& config, int64_t layer) { return (layer + 1) % nn::config_int(config, "sliding_window_pattern", 6) != 0; });
  const Json local = {{"rope_theta", nn::config_number(json, "rope_local_base_freq", 10000)}, {"max_position_embeddings", c.max_position_embeddings}};
  c.ropes.emplace_back(local, c.head_dim);
  for (const int64_t w : c.windows) c.rope_of_layer.push_back(w > 0 ? 1 : 0);
  return c;
}

// Readers of GGUF know the scale of scores from the size of heads, or in the largest models from hidden / heads.
double score_scale(int64_t layers, int64_t largest, int64_t hidden, int64_t heads, int64_t head_dim) {
  return static_cast<double>(layers == largest ? hidden / heads : head_dim);
}

Json gemma_config_from_gguf(const Json& m, const char* type, const char* architecture, int64_t largest) {
  Json c = decoder_config_from_gguf(m, type, architecture);
  c["hidden_act"] = c["hidden_activation"] = "gelu_pytorch_tanh";
  if (largest == 0) return c;
  const int64_t layers = nn::config_int(c, "num_hidden_layers"), hidden = nn::config_int(c, "hidden_size"), heads = nn::config_int(c, "num_attention_heads");
  c["query_pre_attn_scalar"] = score_scale(layers, largest, hidden, heads, nn::config_int(c, "head_dim", 256));
  c["sliding_window"] = m.at("attention.sliding_window");
  for (const auto& [from, to] : {std::pair{"attn_logit_softcapping", "attn_logit_softcapping"}, {"final_logit_softcapping", "final_logit_softcapping"}})
    c[to] = m.value(from, Json());
  return c;
}
constexpr int64_t kGemma2Largest = 46, kGemma3Largest = 62;
Json gemma1_from_gguf(const Json& m) { return gemma_config_from_gguf(m, "gemma", "GemmaForCausalLM", 0); }
Json gemma2_from_gguf(const Json& m) { return gemma_config_from_gguf(m, "gemma2", "Gemma2ForCausalLM", kGemma2Largest); }
Json gemma3_from_gguf(const Json& m) { return gemma_config_from_gguf(m, "gemma3_text", "Gemma3ForCausalLM", kGemma3Largest); }

Json gemma1_metadata(const Json& json) { return decoder_metadata(json, gemma1(json), Activation::gelu_tanh, kRmsEps); }

Json later_metadata(const Json& json, const DecoderConfig& c, int64_t largest) {
  const double scale = nn::config_number(json, "query_pre_attn_scalar", 256);
  if (scale != score_scale(c.num_hidden_layers, largest, c.hidden_size, c.num_attention_heads, c.head_dim)) no_gguf_field("query_pre_attn_scalar");
  Json m = decoder_metadata(json, c, Activation::gelu_tanh, kRmsEps, true);
  m["attention.sliding_window"] = config_limit(json, "sliding_window", 4096);
  return m;
}

Json gemma2_metadata(const Json& json) {
  const DecoderConfig c = gemma2(json);
  for (size_t i = 0; i < c.windows.size(); ++i)
    if ((c.windows[i] > 0) != (i % 2 == 0)) no_gguf_field("layer_types");
  Json m = later_metadata(json, c, kGemma2Largest);
  m.update({{"attn_logit_softcapping", c.attention.softcap}, {"final_logit_softcapping", c.logit_softcap}});
  return m;
}

Json gemma3_metadata(const Json& json) {
  const DecoderConfig c = gemma3(json);
  for (size_t i = 0; i < c.windows.size(); ++i)
    if ((c.windows[i] > 0) != ((i + 1) % 6 != 0)) no_gguf_field("layer_types");
  if (!c.attention.causal || c.logit_softcap > 0 || c.ropes[1].theta() != 10000) no_gguf_field("attention direction, logit cap or local rope base");
  return later_metadata(json, c, kGemma3Largest);
}

std::span<const GgufRule> gemma_rules(const Json&) {
  static const std::vector<GgufRule> all = with_decoder_rules({{"model.layers.{}.input_layernorm", "blk.{}.attn_norm", GgufRule::plus_one},
                                                               {"model.layers.{}.post_attention_layernorm", "blk.{}.ffn_norm", GgufRule::plus_one},
                                                               {"model.norm", "output_norm", GgufRule::plus_one}});
  return all;
}
std::span<const GgufRule> later_rules(const Json&) {
  static const std::vector<GgufRule> all = with_decoder_rules({{"model.layers.{}.input_layernorm", "blk.{}.attn_norm", GgufRule::plus_one},
                                                               {"model.layers.{}.post_attention_layernorm", "blk.{}.post_attention_norm", GgufRule::plus_one},
                                                               {"model.layers.{}.pre_feedforward_layernorm", "blk.{}.ffn_norm", GgufRule::plus_one},
                                                               {"model.layers.{}.post_feedforward_layernorm", "blk.{}.post_ffw_norm", GgufRule::plus_one},
                                                               {"model.layers.{}.self_attn.q_norm", "blk.{}.attn_q_norm", GgufRule::plus_one},
                                                               {"model.layers.{}.self_attn.k_norm", "blk.{}.attn_k_norm", GgufRule::plus_one},
                                                               {"model.norm", "output_norm", GgufRule::plus_one}});
  return all;
}

}  // namespace

extern const ModelEntry model_gemma{
    "gemma", {"GemmaForCausalLM", "GemmaModel", "GemmaForSequenceClassification", "GemmaForTokenClassification"}, make_decoder<gemma1>, "model.", kDecoderBuffers, {"gemma", gemma1_from_gguf, gemma1_metadata, gemma_rules, true}};
extern const ModelEntry model_gemma2{
    "gemma2", {"Gemma2ForCausalLM", "Gemma2Model", "Gemma2ForSequenceClassification", "Gemma2ForTokenClassification"}, make_decoder<gemma2>, "model.", kDecoderBuffers, {"gemma2", gemma2_from_gguf, gemma2_metadata, later_rules, true}};
extern const ModelEntry model_gemma3{
    "gemma3_text", {"Gemma3ForCausalLM", "Gemma3TextModel", "Gemma3TextForSequenceClassification"}, make_decoder<gemma3>, "model.", kDecoderBuffers, {"gemma3", gemma3_from_gguf, gemma3_metadata, later_rules, true}};

}  // namespace mynah
