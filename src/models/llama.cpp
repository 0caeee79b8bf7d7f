// Llama 1, 2, 3 and relatives that are the same network under other sizes (SmolLM, TinyLlama, Vicuna, Yi).
// Paper: arXiv:2302.13971. Checkpoints known to work: SmolLM2-135M-Instruct.
// Shapes: N tokens of all sequences, C hidden, H heads, K kv heads, D head size, V vocabulary.
#include <nlohmann/json.hpp>

#include "base/require.h"
#include "models/model_entry.h"
#include "nn/causal_lm.h"
#include "nn/config.h"
#include "nn/rope.h"
#include "nn/rope_gguf.h"

namespace mynah {
namespace {

using nn::Init;
using nn::Matrix;
using nn::Weights;

struct Config {
  int64_t vocab_size, hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, num_key_value_heads, head_dim,
      max_position_embeddings;
  int32_t pad_token_id;
  float rms_norm_eps, initializer_range;
  bool attention_bias, mlp_bias, tie_word_embeddings;
  Activation hidden_act;

  explicit Config(const Json& c)
      : vocab_size(nn::config_int(c, "vocab_size", 32000)),
        hidden_size(nn::config_int(c, "hidden_size", 4096)),
        intermediate_size(nn::config_int(c, "intermediate_size", 11008)),
        num_hidden_layers(nn::config_int(c, "num_hidden_layers", 32, 1, 10000)),
        num_attention_heads(nn::config_int(c, "num_attention_heads", 32, 1, 100000)),
        num_key_value_heads(nn::config_int(c, "num_key_value_heads", num_attention_heads, 1, 100000)),
        head_dim(nn::config_int(c, "head_dim", std::max<int64_t>(1, hidden_size / num_attention_heads))),
        max_position_embeddings(nn::config_int(c, "max_position_embeddings", 2048)),
        pad_token_id(static_cast<int32_t>(nn::config_int(c, "pad_token_id", -1, -1))),
        rms_norm_eps(static_cast<float>(nn::config_number(c, "rms_norm_eps", 1e-6))),
        initializer_range(static_cast<float>(nn::config_number(c, "initializer_range", 0.02))),
        attention_bias(nn::config_bool(c, "attention_bias", false)),
        mlp_bias(nn::config_bool(c, "mlp_bias", false)),
        tie_word_embeddings(nn::config_bool(c, "tie_word_embeddings", false)),
        hidden_act(activation(nn::config_string(c, "hidden_act", "silu"))) {
    require(num_attention_heads % num_key_value_heads == 0, "config.json: {} heads cannot share {} key-value heads", num_attention_heads,
            num_key_value_heads);
  }
};

std::vector<Tensor> biases(const Weights& w, bool present, const std::vector<std::string>& names, const std::vector<int64_t>& sizes) {
  std::vector<Tensor> out;
  for (size_t i = 0; present && i < names.size(); ++i) out.push_back((w / names[i]).tensor("bias", {sizes[i]}, Init::zeros()));
  return out;
}

struct Attention {
  Attention(const Config& c, const Weights& w)
      : q_size(c.num_attention_heads * c.head_dim),
        kv_size(c.num_key_value_heads * c.head_dim),
        qkv(w.join({"q_proj", "k_proj", "v_proj"}, {q_size, kv_size, kv_size}, c.hidden_size, Init::with_std(c.initializer_range))),
        qkv_bias(biases(w, c.attention_bias, {"q_proj", "k_proj", "v_proj"}, {q_size, kv_size, kv_size})),
        o(w.matrix("o_proj", c.hidden_size, q_size, Init::with_std(c.initializer_range))),
        o_bias(biases(w, c.attention_bias, {"o_proj"}, {c.hidden_size})) {}

  Tensor forward(const Config& c, const Tensor& x, const Tensor& cos, const Tensor& sin, const nn::TokenBatch& batch, int layer) const {
    const int64_t n = x.size(0), d = c.head_dim;
    const Tensor all = qkv(x, qkv_bias);
    const auto heads = [&](int64_t start, int64_t count) { return nn::split_heads(narrow(all, 1, start, count * d), n, count, d); };
    const Tensor q = rope(heads(0, c.num_attention_heads), cos, sin);
    const Tensor k = rope(heads(q_size, c.num_key_value_heads), cos, sin);
    const Tensor v = heads(q_size + kv_size, c.num_key_value_heads);
    return o(reshape(nn::attend(q, k, v, batch, layer, {}), {n, q_size}), o_bias);
  }

  int64_t q_size, kv_size;
  Matrix qkv;
  std::vector<Tensor> qkv_bias;
  Matrix o;
  std::vector<Tensor> o_bias;
};

struct MLP {
  MLP(const Config& c, const Weights& w)
      : gate_up(w.join({"gate_proj", "up_proj"}, {c.intermediate_size, c.intermediate_size}, c.hidden_size, Init::with_std(c.initializer_range))),
        gate_up_bias(biases(w, c.mlp_bias, {"gate_proj", "up_proj"}, {c.intermediate_size, c.intermediate_size})),
        down(w.matrix("down_proj", c.hidden_size, c.intermediate_size, Init::with_std(c.initializer_range))),
        down_bias(biases(w, c.mlp_bias, {"down_proj"}, {c.hidden_size})) {}

  Tensor forward(const Config& c, const Tensor& x) const { return down(glu(gate_up(x, gate_up_bias), c.hidden_act), down_bias); }

  Matrix gate_up;
  std::vector<Tensor> gate_up_bias;
  Matrix down;
  std::vector<Tensor> down_bias;
};

struct Layer {
  Layer(const Config& c, const Weights& w)
      : input_norm((w / "input_layernorm").tensor("weight", {c.hidden_size}, Init::ones())),
        attention(c, w / "self_attn"),
        post_norm((w / "post_attention_layernorm").tensor("weight", {c.hidden_size}, Init::ones())),
        mlp(c, w / "mlp") {}

  Tensor input_norm;
  Attention attention;
  Tensor post_norm;
  MLP mlp;
};

class Llama : public nn::CausalLM {
 public:
  Llama(const Json& json, const Weights& w)
      : CausalLM(json),
        c_(json),
        rope_(json, c_.head_dim),
        embed_((w / "model").matrix("embed_tokens", c_.vocab_size, c_.hidden_size, Init::with_std(c_.initializer_range))) {
    for (int64_t i = 0; i < c_.num_hidden_layers; ++i) layers_.emplace_back(c_, w / "model" / "layers" / i);
    norm_ = (w / "model" / "norm").tensor("weight", {c_.hidden_size}, Init::ones());
    // A checkpoint without an output head uses the embedding, whatever the config says.
    const bool tied = c_.tie_word_embeddings || !w.has("lm_head.weight");
    head_ = tied ? embed_ : w.matrix("lm_head", c_.vocab_size, c_.hidden_size, Init::with_std(c_.initializer_range));
    if (w.has("rope_freqs.weight")) rope_.apply_factors(w.tensor("rope_freqs.weight", {rope_.rotary_dim() / 2}).to_vector());
  }

  Tensor body(const nn::TokenBatch& batch, std::vector<Tensor>* states) const override {
    Tensor x = embed_.lookup(batch.ids, c_.pad_token_id);
    const auto [cos, sin] = rope_.tables(batch.positions, batch.lengths);
    for (size_t i = 0; i < layers_.size(); ++i) {
      const Layer& layer = layers_[i];
      if (states) states->push_back(x);
      x = x + layer.attention.forward(c_, rms_norm(x, layer.input_norm, c_.rms_norm_eps), cos, sin, batch, static_cast<int>(i));
      x = x + layer.mlp.forward(c_, rms_norm(x, layer.post_norm, c_.rms_norm_eps));
    }
    x = rms_norm(x, norm_, c_.rms_norm_eps);
    if (states) states->push_back(x);
    return x;
  }

  Tensor head(const Tensor& hidden) const override { return head_(hidden); }
  nn::CacheShape cache_shape() const override {
    return {static_cast<int>(c_.num_hidden_layers), c_.num_key_value_heads, c_.head_dim};
  }
  int64_t vocabulary_size() const override { return c_.vocab_size; }
  int64_t max_positions() const override { return c_.max_position_embeddings; }

 private:
  Config c_;
  nn::Rope rope_;
  Matrix embed_, head_;
  std::vector<Layer> layers_;
  Tensor norm_;
};

std::unique_ptr<nn::Model> make(const Json& config, const Weights& weights) { return std::make_unique<Llama>(config, weights); }

constexpr GgufRule kRules[] = {
    {"model.embed_tokens", "token_embd"},
    {"model.layers.{}.input_layernorm", "blk.{}.attn_norm"},
    {"model.layers.{}.self_attn.q_proj", "blk.{}.attn_q", GgufRule::rope_q},
    {"model.layers.{}.self_attn.k_proj", "blk.{}.attn_k", GgufRule::rope_k},
    {"model.layers.{}.self_attn.v_proj", "blk.{}.attn_v"},
    {"model.layers.{}.self_attn.o_proj", "blk.{}.attn_output"},
    {"model.layers.{}.post_attention_layernorm", "blk.{}.ffn_norm"},
    {"model.layers.{}.mlp.gate_proj", "blk.{}.ffn_gate"},
    {"model.layers.{}.mlp.up_proj", "blk.{}.ffn_up"},
    {"model.layers.{}.mlp.down_proj", "blk.{}.ffn_down"},
    {"model.norm", "output_norm"},
    {"lm_head", "output"},
    {"rope_freqs", "rope_freqs"},
};

// GGUF metadata (keys without "llama.") -> config.json. The biases are found by their presence in the file (bundle says so).
Json config_from_gguf(const Json& m) {
  Json c = {{"model_type", "llama"}, {"architectures", {"LlamaForCausalLM"}}, {"hidden_act", "silu"}};
  const auto copy = [&](const char* from, const char* to) {
    if (m.contains(from)) c[to] = m[from];
  };
  copy("embedding_length", "hidden_size");
  copy("block_count", "num_hidden_layers");
  copy("feed_forward_length", "intermediate_size");
  copy("attention.head_count", "num_attention_heads");
  copy("attention.head_count_kv", "num_key_value_heads");
  copy("attention.key_length", "head_dim");
  copy("attention.layer_norm_rms_epsilon", "rms_norm_eps");
  copy("rope.freq_base", "rope_theta");
  copy("context_length", "max_position_embeddings");
  copy("vocab_size", "vocab_size");
  if (Json scaling = nn::rope_scaling_of(m); !scaling.is_null()) c["rope_scaling"] = scaling;
  return c;
}

Json metadata_for_gguf(const Json& json) {
  const Config c(json);
  const nn::Rope rope(json, c.head_dim);
  require(c.hidden_act == Activation::silu, "convert: GGUF's llama has no field for hidden_act; keep the model as safetensors");
  Json m = {{"context_length", c.max_position_embeddings},
          {"embedding_length", c.hidden_size},
          {"block_count", c.num_hidden_layers},
          {"feed_forward_length", c.intermediate_size},
          {"attention.head_count", c.num_attention_heads},
          {"attention.head_count_kv", c.num_key_value_heads},
          {"attention.key_length", c.head_dim},
          {"attention.value_length", c.head_dim},
          {"attention.layer_norm_rms_epsilon", c.rms_norm_eps},
          {"rope.freq_base", rope.theta()},
          {"rope.dimension_count", rope.rotary_dim()},
          {"vocab_size", c.vocab_size}};
  m.update(nn::rope_metadata(json, c.head_dim));
  return m;
}

}  // namespace

extern const ModelEntry model_llama{
    "llama", {"LlamaForCausalLM"}, make, "model.", {"rotary_emb.inv_freq"}, {"llama", config_from_gguf, metadata_for_gguf, kRules}};

}  // namespace mynah
