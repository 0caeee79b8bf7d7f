// Llama 1, 2, 3 and relatives that are the same network under other sizes (SmolLM, TinyLlama, Vicuna, Yi), and those that differ from
// it by one switch: Mistral (sliding window; arXiv:2310.06825), OLMo (layer norms without parameters, clamped projections;
// arXiv:2402.00838), OLMo 2 (norms after each part, normed queries and keys; arXiv:2501.00656), Granite (constant factors),
// SmolLM 3 (layers without rotation). Paper: arXiv:2302.13971. Checkpoints known to work: SmolLM2-135M-Instruct.

#include "base/require.h"
#include "models/decoder_gguf.h"
#include "models/llama.h"
#include "mynah/json.h"
#include "nn/config.h"

namespace mynah {
namespace {

constexpr DecoderDefaults kLlama{32000, 4096, 11008, 32, 32, 0, 0, 2048}, kMistral{32000, 4096, 14336, 32, 32, 8, 0, 131072},
    kOlmo{50304, 4096, 11008, 32, 32, 0, 0, 2048, 1e-5, 10000, "silu", false, 1},
    kSmolLM3{128256, 2048, 11008, 36, 16, 4, 0, 32768, 1e-6, 2000000, "silu", true, 128004};

DecoderConfig like_llama(const Json& json, const DecoderDefaults& defaults) {
  DecoderConfig c(json, defaults);
  c.qkv_bias = c.o_bias = nn::config_bool(json, "attention_bias", false);
  c.mlp_bias = nn::config_bool(json, "mlp_bias", false);
  return c;
}

DecoderConfig llama(const Json& json) {
  DecoderConfig c = like_llama(json, kLlama);
  c.names.base = decoder_base(json);
  return c;
}

DecoderConfig mistral(const Json& json) {
  DecoderConfig c(json, kMistral);
  if (const int64_t window = config_limit(json, "sliding_window", 4096)) c.windows.assign(static_cast<size_t>(c.num_hidden_layers), window);
  return c;
}

DecoderConfig olmo(const Json& json) {
  DecoderConfig c = like_llama(json, kOlmo);
  c.norm = nn::NormKind::plain;
  c.norm_eps = 1e-5f;
  c.clip_qkv = config_float(json, "clip_qkv", 0);
  return c;
}

DecoderConfig olmo2(const Json& json) {
  DecoderConfig c = like_llama(json, kOlmo);
  c.names.before_attention = c.names.before_mlp = "";
  c.names.after_attention = "post_attention_layernorm";
  c.names.after_mlp = "post_feedforward_layernorm";
  c.qk_norm = QkNorm::rows;
  return c;
}

DecoderConfig granite(const Json& json) {
  DecoderConfig c = like_llama(json, kLlama);
  c.attention.scale = config_float(json, "attention_multiplier", 1);
  c.embedding_scale = config_float(json, "embedding_multiplier", 1);
  c.residual_scale = config_float(json, "residual_multiplier", 1);
  c.logit_scale = 1 / config_float(json, "logits_scaling", 1);
  return c;
}

// no_rope_layers holds 1 for layers that do turn, whatever its name says.
bool turns(const Json& json, int64_t layer) {
  const auto listed = json.find("no_rope_layers");
  if (listed == json.end() || listed->is_null()) return (layer + 1) % nn::config_int(json, "no_rope_layer_interval", 4) != 0;
  require(listed->is_array() && static_cast<int64_t>(listed->size()) > layer && (*listed)[static_cast<size_t>(layer)].is_number_integer(),
          "config.json: no_rope_layers must hold 0 or 1 for every layer");
  return (*listed)[static_cast<size_t>(layer)] != 0;
}

DecoderConfig smollm3(const Json& json) {
  DecoderConfig c = like_llama(json, kSmolLM3);
  c.names.base = decoder_base(json);
  for (int64_t i = 0; i < c.num_hidden_layers; ++i) c.rope_of_layer.push_back(turns(json, i) ? 0 : -1);
  const int64_t window = nn::config_bool(json, "use_sliding_window", false) ? config_limit(json, "sliding_window", 0) : 0;
  c.windows = layer_windows(json, c.num_hidden_layers, window, [](const Json& config, int64_t layer) {
    return nn::config_bool(config, "use_sliding_window", false) && config_limit(config, "sliding_window", 0) > 0 && !turns(config, layer);
  });
  return c;
}

Json llama_metadata(const Json& json) { return decoder_metadata(json, llama(json), Activation::silu, kRmsEps); }

Json mistral_metadata(const Json& json) {
  Json m = decoder_metadata(json, mistral(json), Activation::silu, kRmsEps, true);
  if (const int64_t window = config_limit(json, "sliding_window", 4096)) m["attention.sliding_window"] = window;
  return m;
}

std::span<const GgufRule> llama_rules(const Json&) {
  static const std::vector<GgufRule> all = with_decoder_rules({}, true);
  return all;
}

}  // namespace

DecoderConfig llama_config(const Json& json) { return llama(json); }

extern const ModelEntry model_llama{
    "llama",
    {"LlamaForCausalLM", "LlamaModel", "LlamaForSequenceClassification", "LlamaForTokenClassification", "LlamaForQuestionAnswering"},
    make_decoder<llama>, "model.", kDecoderBuffers, {"llama", config_of_llama_gguf, llama_metadata, llama_rules, false, rope_lists}};
extern const ModelEntry model_mistral{
    "mistral",
    {"MistralForCausalLM", "MistralModel", "MistralForSequenceClassification", "MistralForTokenClassification", "MistralForQuestionAnswering"},
    make_decoder<mistral>, "model.", kDecoderBuffers, {"llama", config_of_llama_gguf, mistral_metadata, llama_rules, false, rope_lists}};
extern const ModelEntry model_olmo{"olmo", {"OlmoForCausalLM", "OlmoModel"}, make_decoder<olmo>, "model.", {"rotary_emb.inv_freq"}, {}};
extern const ModelEntry model_olmo2{"olmo2", {"Olmo2ForCausalLM", "Olmo2Model"}, make_decoder<olmo2>, "model.", {}, {}};
extern const ModelEntry model_granite{"granite", {"GraniteForCausalLM", "GraniteModel"}, make_decoder<granite>, "model.", {}, {}};
extern const ModelEntry model_smollm3{
    "smollm3",
    {"SmolLM3ForCausalLM", "SmolLM3Model", "SmolLM3ForSequenceClassification", "SmolLM3ForTokenClassification", "SmolLM3ForQuestionAnswering"},
    make_decoder<smollm3>, "model.", {}, {}};

}  // namespace mynah
