// GPT-2 and DistilGPT2 ("Language models are unsupervised multitask learners", Radford et al., 2019): learned positions, layer norms
// before each part, matrices stored as [in, out]. GPT ("Improving language understanding by generative pre-training", Radford et al.,
// 2018): norms after each sum. GPT-Neo (GPT-3's alternating local attention, arXiv:2005.14165): ordinary matrices, unscaled attention.
#include <cmath>

#include "base/require.h"
#include "models/decoder.h"
#include "mynah/json.h"
#include "nn/config.h"

namespace mynah {
namespace {

// What the three share: a table of positions, ordinary heads, biases, a plain feed-forward part, no padding row among the words.
DecoderConfig base(const Json& json, int64_t vocab, int64_t hidden, int64_t layers, int64_t heads, int64_t positions) {
  require(hidden % heads == 0, "config.json: hidden size {} is not a multiple of {} heads", hidden, heads);
  DecoderConfig c;
  c.vocab_size = nn::config_int(json, "vocab_size", vocab);
  c.hidden_size = hidden;
  c.intermediate_size = 4 * hidden;
  c.num_hidden_layers = layers;
  c.num_attention_heads = c.num_key_value_heads = heads;
  c.head_dim = hidden / heads;
  c.max_position_embeddings = c.position_rows = positions;
  c.initializer_range = config_float(json, "initializer_range", 0.02);
  c.tie_word_embeddings = nn::config_bool(json, "tie_word_embeddings", true);
  c.norm = nn::NormKind::layer;
  c.norm_eps = config_float(json, "layer_norm_epsilon", 1e-5);
  c.gated = false;
  c.qkv_bias = c.o_bias = c.mlp_bias = true;
  c.names = {.base = "transformer", .embed = "wte", .positions = "wpe", .layers = "h", .final_norm = "ln_f", .attention = "attn", .qkv = "c_attn", .o = "c_proj",
             .up = "c_fc", .down = "c_proj", .before_attention = "ln_1", .before_mlp = "ln_2", .token_classifier = "classifier"};
  return c;
}

DecoderConfig gpt(const Json& json, int64_t vocab, int64_t positions) {
  DecoderConfig c = base(json, vocab, nn::config_int(json, "n_embd", 768), nn::config_int(json, "n_layer", 12, 1, 10000),
                         nn::config_int(json, "n_head", 12, 1, 100000), nn::config_int(json, "n_positions", positions));
  c.transposed = true;
  c.projection = Projection::joined;
  c.attention_dropout = config_float(json, "attn_pdrop", 0.1);
  c.residual_dropout = config_float(json, "resid_pdrop", 0.1);
  c.embedding_dropout = config_float(json, "embd_pdrop", 0.1);
  return c;
}

bool scales(const Json& json) { return nn::config_bool(json, "scale_attn_weights", true); }
bool scales_by_layer(const Json& json) { return nn::config_bool(json, "scale_attn_by_inverse_layer_idx", false); }

DecoderConfig gpt2(const Json& json) {
  DecoderConfig c = gpt(json, 50257, 1024);
  c.crosses = nn::config_bool(json, "add_cross_attention", false);
  c.intermediate_size = nn::config_int(json, "n_inner", 4 * c.hidden_size);
  c.hidden_act = activation(nn::config_string(json, "activation_function", "gelu_new"));
  c.residual_init = c.initializer_range / std::sqrt(2.0f * static_cast<float>(c.num_hidden_layers));
  c.attention.scale = scales(json) ? 1.0f / std::sqrt(static_cast<float>(c.head_dim)) : 1.0f;
  c.scale_by_layer = scales_by_layer(json);
  return c;
}

DecoderConfig gpt1(const Json& json) {
  DecoderConfig c = gpt(json, 40478, 512);
  const std::string name = nn::config_string(json, "afn", "gelu");
  c.hidden_act = activation(name == "gelu" ? "gelu_new" : name);
  c.names.embed = "tokens_embed";
  c.names.positions = "positions_embed";
  c.names.before_attention = c.names.before_mlp = c.names.final_norm = "";
  c.names.after_attention = "ln_1";
  c.names.after_mlp = "ln_2";
  c.norm_after_sum = true;
  return c;
}

// attention_types [[["global", "local"], 12], ...] spelled out, one for each layer.
std::vector<int64_t> neo_windows(const Json& json, int64_t layers, int64_t window) {
  const Json types = json.value("attention_types", Json::parse(R"([[["global", "local"], 12]])"));
  std::vector<int64_t> all;
  require(types.is_array(), "config.json: attention_types must be [[[TYPE, ...], TIMES], ...]");
  for (const Json& part : types) {
    require(part.is_array() && part.size() == 2 && part[0].is_array() && part[1].is_number_integer() && part[1].get<int64_t>() <= layers,
            "config.json: attention_types holds {}, expected [[TYPE, ...], TIMES]", part.dump());
    for (int64_t i = 0; i < part[1].get<int64_t>(); ++i)
      for (const Json& type : part[0]) {
        require(type == "global" || type == "local", "config.json: attention type {} is not known; known: global, local", type.dump());
        all.push_back(type == "local" ? window : 0);
      }
  }
  require(static_cast<int64_t>(all.size()) == layers, "config.json: attention_types names {} layers, there are {}", all.size(), layers);
  return all;
}

DecoderConfig gpt_neo(const Json& json) {
  DecoderConfig c = base(json, 50257, nn::config_int(json, "hidden_size", 2048), nn::config_int(json, "num_layers", 24, 1, 10000),
                         nn::config_int(json, "num_heads", 16, 1, 100000), nn::config_int(json, "max_position_embeddings", 2048));
  c.intermediate_size = nn::config_int(json, "intermediate_size", 4 * c.hidden_size);
  c.hidden_act = activation(nn::config_string(json, "activation_function", "gelu_new"));
  c.names.attention = "attn.attention";
  c.names.o = "out_proj";
  c.qkv_bias = false;
  c.attention.scale = 1;
  c.windows = neo_windows(json, c.num_hidden_layers, nn::config_int(json, "window_size", 256));
  c.packs = false;
  c.attention_dropout = config_float(json, "attention_dropout", 0);
  c.residual_dropout = config_float(json, "resid_dropout", 0);
  c.embedding_dropout = config_float(json, "embed_dropout", 0);
  return c;
}

constexpr GgufRule kGpt2Rules[] = {
    {"transformer.wte", "token_embd"},
    {"transformer.wpe", "position_embd"},
    {"transformer.h.{}.ln_1", "blk.{}.attn_norm"},
    {"transformer.h.{}.attn.c_attn", "blk.{}.attn_qkv", GgufRule::transposed},
    {"transformer.h.{}.attn.c_proj", "blk.{}.attn_output", GgufRule::transposed},
    {"transformer.h.{}.ln_2", "blk.{}.ffn_norm"},
    {"transformer.h.{}.mlp.c_fc", "blk.{}.ffn_up", GgufRule::transposed},
    {"transformer.h.{}.mlp.c_proj", "blk.{}.ffn_down", GgufRule::transposed},
    {"transformer.ln_f", "output_norm"},
    {"lm_head", "output"},
};

Json gpt2_config_from_gguf(const Json& m) {
  Json c = {{"model_type", "gpt2"}, {"architectures", {"GPT2LMHeadModel"}}};
  const auto copy = [&](const char* from, const char* to) {
    if (m.contains(from)) c[to] = m[from];
  };
  copy("context_length", "n_positions");
  copy("embedding_length", "n_embd");
  copy("block_count", "n_layer");
  copy("feed_forward_length", "n_inner");
  copy("attention.head_count", "n_head");
  copy("attention.layer_norm_epsilon", "layer_norm_epsilon");
  copy("vocab_size", "vocab_size");
  return c;
}

Json gpt2_metadata_for_gguf(const Json& json) {
  const DecoderConfig c = gpt2(json);
  require(c.hidden_act == Activation::gelu_tanh && scales(json) && !scales_by_layer(json),
          "convert: GGUF's gpt2 has no field for this activation_function or attention scale; keep the model as safetensors");
  return {{"context_length", c.max_position_embeddings},
          {"embedding_length", c.hidden_size},
          {"block_count", c.num_hidden_layers},
          {"feed_forward_length", c.intermediate_size},
          {"attention.head_count", c.num_attention_heads},
          {"attention.layer_norm_epsilon", c.norm_eps}};
}

}  // namespace

extern const ModelEntry model_gpt2{
    "gpt2",
    {"GPT2LMHeadModel", "GPT2Model", "GPT2ForSequenceClassification", "GPT2ForTokenClassification", "GPT2ForQuestionAnswering"},
    make_decoder<gpt2>, "transformer.", {".attn.bias", ".attn.masked_bias"}, {"gpt2", gpt2_config_from_gguf, gpt2_metadata_for_gguf, always<kGpt2Rules>, true}};
extern const ModelEntry model_openai_gpt{
    "openai-gpt", {"OpenAIGPTLMHeadModel", "OpenAIGPTModel", "OpenAIGPTForSequenceClassification"}, make_decoder<gpt1>, "transformer.", {".attn.bias", "position_ids"}, {}};
extern const ModelEntry model_gpt_neo{
    "gpt_neo",
    {"GPTNeoForCausalLM", "GPTNeoModel", "GPTNeoForSequenceClassification", "GPTNeoForTokenClassification", "GPTNeoForQuestionAnswering"},
    make_decoder<gpt_neo>, "transformer.", {".attention.bias", ".attention.masked_bias"}, {}};

}  // namespace mynah
