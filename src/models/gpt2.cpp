// GPT-2 (and DistilGPT2). Paper: "Language models are unsupervised multitask learners", Radford et al., 2019.
// Differs from its relatives by learned positions, layer norms before each block, and matrices stored as [in, out] (Conv1D).
// Shapes: N tokens of all sequences, C hidden, H heads, D head size, V vocabulary.
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/require.h"
#include "models/model_entry.h"
#include "nn/causal_lm.h"
#include "nn/config.h"

namespace mynah {
namespace {

using nn::Init;
using nn::Matrix;
using nn::Weights;

struct Config {
  int64_t vocab_size, n_positions, n_embd, n_layer, n_head, n_inner;
  float layer_norm_epsilon, initializer_range;
  bool scale_attn_weights, scale_attn_by_inverse_layer_idx, tie_word_embeddings;
  Activation activation_function;

  explicit Config(const Json& c)
      : vocab_size(nn::config_int(c, "vocab_size", 50257)),
        n_positions(nn::config_int(c, "n_positions", 1024)),
        n_embd(nn::config_int(c, "n_embd", 768)),
        n_layer(nn::config_int(c, "n_layer", 12, 1, 10000)),
        n_head(nn::config_int(c, "n_head", 12, 1, 100000)),
        n_inner(nn::config_int(c, "n_inner", 4 * n_embd)),
        layer_norm_epsilon(static_cast<float>(nn::config_number(c, "layer_norm_epsilon", 1e-5))),
        initializer_range(static_cast<float>(nn::config_number(c, "initializer_range", 0.02))),
        scale_attn_weights(nn::config_bool(c, "scale_attn_weights", true)),
        scale_attn_by_inverse_layer_idx(nn::config_bool(c, "scale_attn_by_inverse_layer_idx", false)),
        tie_word_embeddings(nn::config_bool(c, "tie_word_embeddings", true)),
        activation_function(activation(nn::config_string(c, "activation_function", "gelu_new"))) {
    require(n_embd % n_head == 0, "config.json: n_embd {} is not a multiple of n_head {}", n_embd, n_head);
    require(!nn::config_bool(c, "add_cross_attention", false), "config.json: add_cross_attention is not supported for gpt2");
  }
};

struct Norm {
  Norm(const Config& c, const Weights& w)
      : weight(w.tensor("weight", {c.n_embd}, Init::ones())), bias(w.tensor("bias", {c.n_embd}, Init::zeros())), eps(c.layer_norm_epsilon) {}
  Tensor operator()(const Tensor& x) const { return layer_norm(x, weight, bias, eps); }
  Tensor weight, bias;
  float eps;
};

struct Conv1D {
  Conv1D(const Weights& w, std::string_view name, int64_t in, int64_t out, float std)
      : matrix(w.matrix(name, out, in, Init::with_std(std), true)), bias((w / name).tensor("bias", {out}, Init::zeros())) {}
  Tensor operator()(const Tensor& x) const { return matrix(x, {bias}); }
  Matrix matrix;
  Tensor bias;
};

struct Block {
  // Projections that end in the residual stream start smaller: std / sqrt(2 layers).
  Block(const Config& c, const Weights& w, int64_t index)
      : ln_1(c, w / "ln_1"),
        c_attn(w / "attn", "c_attn", c.n_embd, 3 * c.n_embd, c.initializer_range),
        c_proj(w / "attn", "c_proj", c.n_embd, c.n_embd, residual_std(c)),
        ln_2(c, w / "ln_2"),
        c_fc(w / "mlp", "c_fc", c.n_embd, c.n_inner, c.initializer_range),
        mlp_c_proj(w / "mlp", "c_proj", c.n_inner, c.n_embd, residual_std(c)) {
    attention.scale = c.scale_attn_weights ? 1.0f / std::sqrt(static_cast<float>(c.n_embd / c.n_head)) : 1.0f;
    if (c.scale_attn_by_inverse_layer_idx) attention.scale /= static_cast<float>(index + 1);
  }
  static float residual_std(const Config& c) { return c.initializer_range / std::sqrt(2.0f * static_cast<float>(c.n_layer)); }

  Tensor forward(const Config& c, const Tensor& in, const nn::TokenBatch& batch, int layer) const {
    const int64_t n = in.size(0), d = c.n_embd / c.n_head;
    const Tensor qkv = c_attn(ln_1(in));
    const auto heads = [&](int64_t part) { return nn::split_heads(narrow(qkv, 1, part * c.n_embd, c.n_embd), n, c.n_head, d); };
    const Tensor x = in + c_proj(reshape(nn::attend(heads(0), heads(1), heads(2), batch, layer, attention), {n, c.n_embd}));
    return x + mlp_c_proj(activate(c_fc(ln_2(x)), c.activation_function));
  }

  Norm ln_1;
  Conv1D c_attn, c_proj;
  Norm ln_2;
  Conv1D c_fc, mlp_c_proj;
  AttentionConfig attention;
};

class GPT2 : public nn::CausalLM {
 public:
  GPT2(const Json& json, const Weights& w)
      : CausalLM(json),
        c_(json),
        wte_((w / "transformer").matrix("wte", c_.vocab_size, c_.n_embd, Init::with_std(c_.initializer_range))),
        wpe_((w / "transformer").tensor("wpe.weight", {c_.n_positions, c_.n_embd}, Init::with_std(c_.initializer_range))) {
    for (int64_t i = 0; i < c_.n_layer; ++i) blocks_.emplace_back(c_, w / "transformer" / "h" / i, i);
    ln_f_.emplace(c_, w / "transformer" / "ln_f");
    const bool tied = c_.tie_word_embeddings || !w.has("lm_head.weight");
    head_ = tied ? wte_ : w.matrix("lm_head", c_.vocab_size, c_.n_embd, Init::with_std(c_.initializer_range));
  }

  Tensor body(const nn::TokenBatch& batch, std::vector<Tensor>* states) const override {
    Tensor x = wte_.lookup(batch.ids) + embedding(wpe_, batch.positions);
    if (!batch.token_types.empty()) x = x + wte_.lookup(batch.token_types);
    for (size_t i = 0; i < blocks_.size(); ++i) {
      if (states) states->push_back(x);
      x = blocks_[i].forward(c_, x, batch, static_cast<int>(i));
    }
    x = (*ln_f_)(x);
    if (states) states->push_back(x);
    return x;
  }

  Tensor head(const Tensor& hidden) const override { return head_(hidden); }
  nn::CacheShape cache_shape() const override { return {static_cast<int>(c_.n_layer), c_.n_head, c_.n_embd / c_.n_head}; }
  int64_t vocabulary_size() const override { return c_.vocab_size; }
  int64_t max_positions() const override { return c_.n_positions; }

 private:
  Config c_;
  Matrix wte_, head_;
  Tensor wpe_;
  std::vector<Block> blocks_;
  std::optional<Norm> ln_f_;
};

std::unique_ptr<nn::Model> make(const Json& config, const Weights& weights) { return std::make_unique<GPT2>(config, weights); }

constexpr GgufRule kRules[] = {
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

Json config_from_gguf(const Json& m) {
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

Json metadata_for_gguf(const Json& json) {
  const Config c(json);
  require(c.activation_function == Activation::gelu_tanh && c.scale_attn_weights && !c.scale_attn_by_inverse_layer_idx,
          "convert: GGUF's gpt2 has no field for this activation_function or attention scale; keep the model as safetensors");
  return {{"context_length", c.n_positions},
          {"embedding_length", c.n_embd},
          {"block_count", c.n_layer},
          {"feed_forward_length", c.n_inner},
          {"attention.head_count", c.n_head},
          {"attention.layer_norm_epsilon", c.layer_norm_epsilon}};
}

}  // namespace

extern const ModelEntry model_gpt2{
    "gpt2", {"GPT2LMHeadModel"}, make, "transformer.", {".attn.bias", ".attn.masked_bias"}, {"gpt2", config_from_gguf, metadata_for_gguf, kRules}};

}  // namespace mynah
