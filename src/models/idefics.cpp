// IDEFICS, the open Flamingo: a Llama decoder with layers before its own that look at the images of the text, through a
// gate that starts closed; a perceiver may first bring every image to a fixed number of rows. Papers: arXiv:2204.14198,
// arXiv:2306.16527. Shapes: B texts of T tokens (N = B * T rows), I images for each text, S rows of an image, C the
// decoder's width, E the images'.
#include <algorithm>

#include "base/require.h"
#include "models/clip_layers.h"
#include "models/decoder_layers.h"
#include "models/model_entry.h"
#include "models/parts.h"
#include "mynah/json.h"
#include "nn/config.h"
#include "nn/dropout.h"

namespace mynah {
namespace {

using nn::Inputs;
using nn::NamedTensors;
using nn::TokenBatch;
using nn::Weights;

constexpr float kIdeficsHidden = -1e30f;
constexpr float kIdeficsEps = 1e-5f;

constexpr DecoderDefaults kIdeficsText{32000, 4096, 11008, 32, 32, 0, 0, 2048};
const Json kIdeficsVision = {{"embed_dim", 768},  {"image_size", 224},       {"intermediate_size", 5120}, {"patch_size", 14},
                             {"num_channels", 3}, {"num_hidden_layers", 32}, {"num_attention_heads", 16}};

DecoderConfig text_config(const Json& json) {
  DecoderConfig c(json, kIdeficsText);
  c.attention_dropout = c.residual_dropout = static_cast<float>(nn::config_number(json, "dropout", 0));
  return c;
}

Json vision_config(const Json& json) {
  Json c = nn::with_defaults(config_part(json, "vision_config", "idefics_vision"), kIdeficsVision);
  c["hidden_size"] = c["embed_dim"];
  return c;
}

// The place of weights that the config freezes: all of them but the kinds of modules that `exceptions` names.
Weights with_frozen(const Json& json, const Weights& w, const char* freeze, const char* exceptions, bool text) {
  if (!nn::config_bool(json, freeze, true)) return w;
  bool linear = false, norm = false, embedding = false;
  if (const auto it = json.find(exceptions); it != json.end() && !it->is_null()) {
    require(it->is_array(), "config.json: {} is {}, expected a list", exceptions, it->dump());
    for (const Json& kind : *it) {
      require(kind == "Linear" || kind == "LayerNorm" || kind == "Embedding",
              "config.json: {} names {}, expected LayerNorm, Linear or Embedding", exceptions, kind.dump());
      linear = linear || kind == "Linear";
      norm = norm || (kind == "LayerNorm" && !text);  // the text's norms are of another kind
      embedding = embedding || kind == "Embedding";
    }
  }
  return w.frozen([=](std::string_view name) {
    const auto holds = [&](std::string_view part) { return name.find(part) != std::string_view::npos; };
    if (holds("_proj.") || holds(".fc1.") || holds(".fc2.")) return !linear;
    if (holds("position_embedding.")) return !embedding;
    return holds("norm") ? !norm : true;
  });
}

struct VisionTower {
  VisionTower(const Json& json, const Weights& w)
      : config(json, 768, 32, 16, 5120, "gelu", 1e-5),
        patches(json, config, w / "embeddings", true),
        before(w, "pre_layrnorm", config.hidden_size, config.layer_norm_eps),  // spelled so in checkpoints
        stack(config, w / "encoder"),
        after(w, "post_layernorm", config.hidden_size, config.layer_norm_eps) {}

  // [images,3,H,W] -> [images * S, E], the class token's row first; the last norm is for the pooled row, which nobody
  // asks for.
  Tensor forward(const Tensor& pixels, bool interpolate) const {
    const Tensor x = before(patches.forward(pixels, interpolate, 0.1f));
    TokenBatch batch;
    batch.lengths.assign(static_cast<size_t>(pixels.size(0)), x.size(0) / pixels.size(0));
    return stack.forward(x, batch, false, nullptr);
  }

  ClipStackConfig config;
  ClipPatches patches;
  nn::LayerNorm before;
  ClipStack stack;
  nn::LayerNorm after;
};

// Queries are learned rows, keys and values the image's rows and the queries themselves.
struct PerceiverBlock {
  PerceiverBlock(const Weights& w, int64_t size, int64_t n_heads, int64_t d, bool normed)
      : heads(n_heads),
        head_dim(d),
        context_norm(w / 0, "context_layer_norm", size, kIdeficsEps),
        latents_norm(w / 0, "latents_layer_norm", size, kIdeficsEps),
        q(w / 0, "q_proj", size, heads * d, {}, false),
        kv(w / 0, {"k_proj", "v_proj"}, size, {heads * d, heads * d}, {}, false),
        out(w / 0, "output_proj", heads * d, size, {}, false),
        ln(w / 1, "ln", size, kIdeficsEps),
        fc(w / 1, "fc", size, 4 * size, {}, false),
        c_proj(w / 1, "c_proj", 4 * size, size, {}, false) {
    if (!normed) return;
    q_norm = nn::LayerNorm(w / 0, "q_layer_norm", d, kIdeficsEps);
    k_norm = nn::LayerNorm(w / 0, "k_layer_norm", d, kIdeficsEps);
  }

  // context [images * S, E], latents [images * L, E] -> [images * L, E]
  Tensor forward(const Tensor& context, const Tensor& latents, int64_t images) const {
    const int64_t size = latents.size(1), l = latents.size(0) / images, s = context.size(0) / images;
    const Tensor own = latents_norm(latents);
    const Tensor all =
        reshape(cat({reshape(context_norm(context), {images, s, size}), reshape(own, {images, l, size})}, 1),
                {images * (s + l), size});
    const Tensor both = kv(all);
    const auto part = [&](int64_t i) {
      return nn::split_heads(narrow(both, 1, i * heads * head_dim, heads * head_dim), all.size(0), heads, head_dim);
    };
    Tensor queries = nn::split_heads(q(own), own.size(0), heads, head_dim), keys = part(0);
    if (q_norm.weight.defined()) queries = q_norm(queries), keys = k_norm(keys);
    std::vector<Sequence> sequences;
    for (int64_t i = 0; i < images; ++i) sequences.push_back({i * l, l, i * (s + l), s + l});
    AttentionConfig config;
    config.causal = false;
    const Tensor attended = scaled_dot_product_attention(queries, keys, part(1), sequences, config);
    const Tensor y = out(reshape(attended, {own.size(0), heads * head_dim})) + latents;
    return c_proj(relu(fc(ln(y)))) + y;
  }

  int64_t heads, head_dim;
  nn::LayerNorm context_norm, latents_norm, q_norm, k_norm;
  nn::Linear q;
  nn::JoinedLinear kv;
  nn::Linear out;
  nn::LayerNorm ln;
  nn::Linear fc, c_proj;
};

struct Perceiver {
  Perceiver(const Json& json, const Weights& w, int64_t size) : norm(w, "layer_norm", size, kIdeficsEps) {
    const Json c = config_part(json, "perceiver_config", "");
    latents = w.tensor("latents", {nn::config_int(c, "resampler_n_latents", 64), size}, nn::Init::with_std(1));
    const int64_t depth = nn::config_int(c, "resampler_depth", 6, 1, 1000);
    for (int64_t i = 0; i < depth; ++i)
      blocks.emplace_back(w / "blocks" / i, size, nn::config_int(c, "resampler_n_heads", 16),
                          nn::config_int(c, "resampler_head_dim", 96),
                          nn::config_bool(c, "qk_layer_norms_perceiver", false));
  }
  // [images * S, E] -> [images * L, E]
  Tensor forward(const Tensor& context, int64_t images) const {
    const int64_t l = latents.size(0), size = latents.size(1);
    Tensor x = reshape(expand(reshape(latents, {1, l, size}), {images, l, size}), {images * l, size});
    for (const PerceiverBlock& block : blocks) x = block.forward(context, x, images);
    return norm(x);
  }

  nn::LayerNorm norm;
  Tensor latents;
  std::vector<PerceiverBlock> blocks;
};

// The layer that looks at images; `alpha` opens its two gates.
struct CrossLayer {
  CrossLayer(const Json& json, const DecoderConfig& c, const Weights& w, int64_t image_size)
      : heads(c.num_attention_heads),
        head_dim(c.head_dim),
        dropout(c.residual_dropout),
        before(w, "input_layernorm", c.hidden_size, c.norm_eps),
        q(w / "cross_attn", "q_proj", c.hidden_size, heads * head_dim, c.init(), false),
        kv(w / "cross_attn", {"k_proj", "v_proj"}, image_size, {heads * head_dim, heads * head_dim}, c.init(), false),
        o(w / "cross_attn", "o_proj", heads * head_dim, c.hidden_size, c.init(), false),
        before_mlp(w, "post_attention_layernorm", c.hidden_size, c.norm_eps),
        mlp(c, w / "mlp") {
    const std::string type = nn::config_string(json, "alpha_type", "float"),
                      start = nn::config_string(json, "alpha_initializer", "zeros");
    require(type == "float" || type == "vector", "config.json: alpha_type is \"{}\", expected float or vector", type);
    const bool drawn = start == "normal" || start == "gaussian" || start == "random";
    require(drawn || start == "zeros" || start == "ones",
            "config.json: alpha_initializer is \"{}\", expected zeros, ones, normal, gaussian or random", start);
    const nn::Init init =
        drawn ? nn::Init::with_std(static_cast<float>(nn::config_number(json, "alphas_initializer_range", 0)))
        : start == "ones" ? nn::Init::ones()
                          : nn::Init::zeros();
    const Shape shape = type == "float" ? Shape{1} : Shape{1, 1, c.hidden_size};
    attention_gate = w.tensor("alpha_cross_attn", shape, init);
    mlp_gate = w.tensor("alpha_dense", shape, init);
    if (!nn::config_bool(json, "qk_layer_norms", false)) return;
    q_norm = nn::RmsNorm(w / "cross_attn", "q_layer_norm", head_dim, c.norm_eps);
    k_norm = nn::RmsNorm(w / "cross_attn", "k_layer_norm", head_dim, c.norm_eps);
  }

  // rows [M,E] -> [M,H,D] each
  std::pair<Tensor, Tensor> keys_values(const Tensor& rows) const {
    const Tensor both = kv(rows);
    const auto part = [&](int64_t i) {
      return nn::split_heads(narrow(both, 1, i * heads * head_dim, heads * head_dim), rows.size(0), heads, head_dim);
    };
    return {k_norm.weight.defined() ? k_norm(part(0)) : part(0), part(1)};
  }

  // What the images add; nothing for a text without any.
  Tensor look(const DecoderConfig& c, const Tensor& x, const TokenBatch& batch, int index, const Tensor& bias,
              const Tensor& sees) const {
    if (!batch.memory.defined() && batch.memory_caches.empty()) return x;
    AttentionConfig config;
    config.bias = bias;
    Tensor queries = nn::split_heads(q(before(x)), x.size(0), heads, head_dim);
    if (q_norm.weight.defined()) queries = q_norm(queries);
    const Tensor attended = nn::attend_memory(
        queries, batch, index, heads, [&](const Tensor& rows) { return keys_values(rows); }, config,
        c.attention_dropout);
    const Tensor y = nn::dropout(o(reshape(attended, {x.size(0), heads * head_dim})), dropout);
    return x + gated(sees.defined() ? y * sees : y, attention_gate);
  }
  static Tensor gated(const Tensor& part, const Tensor& gate) { return part * tanh(reshape(gate, {1, gate.numel()})); }

  // `bias` hides parts of the memory; `sees` [N,1] is 0 for tokens that see nothing; both may be undefined.
  Tensor forward(const DecoderConfig& c, const Tensor& x, const TokenBatch& batch, int index, const Tensor& bias,
                 const Tensor& sees) const {
    const Tensor z = look(c, x, batch, index, bias, sees);
    return z + gated(nn::dropout(mlp.forward(c, before_mlp(z)), dropout), mlp_gate);
  }

  int64_t heads, head_dim;
  float dropout;
  nn::RmsNorm before;
  nn::Linear q;
  nn::JoinedLinear kv;
  nn::Linear o;
  nn::RmsNorm before_mlp;
  DecoderMlp mlp;
  nn::RmsNorm q_norm, k_norm;
  Tensor attention_gate, mlp_gate;
};

struct TextLayer {
  TextLayer(const DecoderConfig& c, const Weights& w, int i)
      : before(w, "input_layernorm", c.hidden_size, c.norm_eps),
        attention(c, w / "self_attn", i),
        before_mlp(w, "post_attention_layernorm", c.hidden_size, c.norm_eps),
        mlp(c, w / "mlp") {}
  Tensor forward(const DecoderConfig& c, const Tensor& x, const DecoderContext& context) const {
    const Tensor y = x + nn::dropout(attention.forward(c, before(x), context), c.residual_dropout);
    return y + nn::dropout(mlp.forward(c, before_mlp(y)), c.residual_dropout);
  }

  nn::RmsNorm before;
  DecoderAttention attention;
  nn::RmsNorm before_mlp;
  DecoderMlp mlp;
};

class Idefics : public nn::CausalLM {
 public:
  Idefics(const Json& json, const Weights& w)
      : CausalLM(json),
        c_(text_config(json)),
        additional_(nn::config_int(json, "additional_vocab_size", 0, 0)),
        interval_(nn::config_int(json, "cross_layer_interval", 1, 1, 10000)),
        image_size_(nn::config_int(vision_config(json), "embed_dim")) {
    require(c_.num_hidden_layers % interval_ == 0,
            "config.json: {} layers cannot be divided by cross_layer_interval {}", c_.num_hidden_layers, interval_);
    const Weights base = w / "model";
    const Weights text = with_frozen(json, base, "freeze_text_layers", "freeze_text_module_exceptions", true);
    // The table of words is frozen with the text whatever the exceptions; the words added to it are not.
    const bool frozen = nn::config_bool(json, "freeze_text_layers", true);
    embed_ = (frozen ? base.frozen() : base).matrix("embed_tokens", c_.vocab_size, c_.hidden_size, c_.init());
    if (additional_ > 0)
      added_ = (base / "embed_tokens").matrix("additional_embedding", additional_, c_.hidden_size, c_.init());
    tower_.emplace(
        vision_config(json),
        with_frozen(json, base, "freeze_vision_layers", "freeze_vision_module_exceptions", false) / "vision_model");
    if (nn::config_bool(json, "use_resampler", false))
      perceiver_.emplace(json, base / "perceiver_resampler", image_size_);
    for (int64_t i = 0; i < c_.num_hidden_layers / interval_; ++i)
      cross_.emplace_back(json, c_, base / "gated_cross_attn_layers" / i, image_size_);
    for (int i = 0; i < c_.num_hidden_layers; ++i) layers_.emplace_back(c_, text / "layers" / i, i);
    norm_ = nn::RmsNorm(text, "norm", c_.hidden_size, c_.norm_eps);
    head_ = load_head(nn::config_bool(json, "freeze_lm_head", false) ? w.frozen() : w, "lm_head", embed_,
                      c_.tie_word_embeddings, c_.init());
    if (additional_ > 0)
      added_head_ = load_head(w / "lm_head", "additional_fc", added_, c_.tie_word_embeddings, c_.init());
  }

  Tensor body(const TokenBatch& batch, std::vector<Tensor>* states) const override {
    Tensor x = batch.with_media(embed(batch.ids));
    DecoderTables tables;
    for (const nn::Rope& r : c_.ropes) tables.turns.push_back(r.tables(batch.positions, batch.lengths, batch.reach));
    const DecoderContext context{batch, tables};
    Tensor bias, sees;
    if (!batch.memory_parts.empty()) hide_parts(batch, &bias, &sees);
    for (size_t i = 0; i < layers_.size(); ++i) {
      const auto at = static_cast<int64_t>(i) / interval_;
      if (static_cast<int64_t>(i) % interval_ == 0)
        x = cross_[static_cast<size_t>(at)].forward(c_, x, batch, static_cast<int>(at), bias, sees);
      if (states && i == 0)
        states->push_back(x);  // the reference notes the first state behind the first layer of images
      x = layers_[i].forward(c_, x, context);
      if (states && i + 1 < layers_.size()) states->push_back(x);
    }
    x = norm_(x);
    if (states) states->push_back(x);
    return x;
  }

  Tensor head(const Tensor& hidden) const override {
    return additional_ > 0 ? cat({head_(hidden), added_head_(hidden)}, 1) : head_(hidden);
  }
  nn::CacheShape cache_shape() const override {
    return {static_cast<int>(c_.num_hidden_layers), c_.num_key_value_heads, c_.head_dim};
  }
  int64_t vocabulary_size() const override { return c_.vocab_size + additional_; }
  int64_t max_positions() const override { return 0; }
  bool packs() const override { return false; }
  bool takes_media() const override { return true; }

  void remember(const Tensor& rows, nn::Cache* memory) const override {
    for (size_t i = 0; i < cross_.size(); ++i) {
      const auto [k, v] = cross_[i].keys_values(rows);
      nn::append_rows(memory->layer(static_cast<int>(i)), k, v, 0, rows.size(0));
    }
  }
  nn::CacheShape memory_shape() const override {
    return {static_cast<int>(cross_.size()), c_.num_attention_heads, c_.head_dim};
  }

  std::vector<std::string_view> media_names() const override {
    return {"pixel_values", "image_encoder_embeddings", "perceiver_embeddings", "image_attention_mask",
            "interpolate_pos_encoding"};
  }
  // pixel_values [B,I,3,H,W], or what the tower (image_encoder_embeddings [B,I,S,E]) or the perceiver
  // (perceiver_embeddings) makes of them; image_attention_mask [B,T,I].
  NamedTensors read_media(const Inputs& in, TokenBatch* batch) const override {
    const int64_t rows = static_cast<int64_t>(batch->lengths.size()), length = batch->lengths[0];
    const int given = in.has("pixel_values") + in.has("image_encoder_embeddings") + in.has("perceiver_embeddings");
    require(given == 1,
            "forward: expected one of pixel_values, image_encoder_embeddings and perceiver_embeddings, got {}", given);
    Tensor seen;  // [B * I * S, E]
    int64_t images = 0;
    if (in.has("pixel_values")) {
      const Tensor pixels = in.floats("pixel_values", {rows, -1, tower_->patches.channels, -1, -1});
      images = pixels.size(1);
      seen = tower_->forward(reshape(pixels, {rows * images, pixels.size(2), pixels.size(3), pixels.size(4)}),
                             in.flag("interpolate_pos_encoding"));
    } else {
      const char* name = in.has("perceiver_embeddings") ? "perceiver_embeddings" : "image_encoder_embeddings";
      const Tensor given_rows = in.floats(name, {rows, -1, -1, image_size_});
      images = given_rows.size(1);
      seen = reshape(given_rows, {rows * images * given_rows.size(2), image_size_});
    }
    require(perceiver_ || !in.has("perceiver_embeddings"),
            "forward: perceiver_embeddings are given, but the config has no resampler");
    if (perceiver_ && !in.has("perceiver_embeddings")) seen = perceiver_->forward(seen, rows * images);
    batch->memory = seen;
    batch->memory_lengths.assign(static_cast<size_t>(rows), seen.size(0) / rows);
    in.tensor("image_attention_mask");
    batch->memory_parts = in.mask("image_attention_mask", {rows, length, images});
    if (!batch->key_mask.empty() && !in.has("position_ids"))
      for (int64_t b = 0; b < rows; ++b)
        for (int64_t t = 0, position = 0; t < length; ++t) {
          const auto at = static_cast<size_t>(b * length + t);
          batch->positions[at] = batch->key_mask[at] ? static_cast<int32_t>(position++) : 1;
        }
    return {{"image_hidden_states", reshape(seen, {rows, images, seen.size(0) / (rows * images), image_size_})}};
  }

 private:
  Tensor embed(const std::vector<int32_t>& ids) const {
    std::vector<int32_t> own, added;
    std::vector<int64_t> rows;
    for (const int32_t id : ids) {
      const bool is_added = id >= c_.vocab_size;
      rows.push_back(is_added ? static_cast<int64_t>(ids.size() + added.size()) : static_cast<int64_t>(own.size()));
      own.push_back(is_added ? 0 : id);
      if (is_added) added.push_back(id - static_cast<int32_t>(c_.vocab_size));
    }
    return added.empty() ? embed_.lookup(own) : index_rows(cat({embed_.lookup(own), added_.lookup(added)}, 0), rows);
  }

  void hide_parts(const TokenBatch& batch, Tensor* bias, Tensor* sees) const {
    const auto n = static_cast<int64_t>(batch.ids.size()), rows = static_cast<int64_t>(batch.lengths.size()),
               length = n / rows, heads = c_.num_attention_heads;
    const int64_t parts = static_cast<int64_t>(batch.memory_parts.size()) / n, keys = batch.memory_lengths[0],
                  each = keys / parts;
    *bias = Tensor::zeros({rows, heads, length, keys});
    *sees = Tensor::zeros({n, 1});
    for (int64_t i = 0; i < n; ++i)
      for (int64_t p = 0; p < parts; ++p) {
        if (batch.memory_parts[static_cast<size_t>(i * parts + p)]) {
          sees->data<float>()[i] = 1;
          continue;
        }
        for (int64_t h = 0; h < heads; ++h)
          std::fill_n(bias->data<float>() + ((i / length * heads + h) * length + i % length) * keys + p * each, each,
                      kIdeficsHidden);
      }
  }

  DecoderConfig c_;
  int64_t additional_, interval_, image_size_;
  nn::Matrix embed_, added_, head_, added_head_;
  std::optional<VisionTower> tower_;
  std::optional<Perceiver> perceiver_;
  std::vector<CrossLayer> cross_;
  std::vector<TextLayer> layers_;
  nn::RmsNorm norm_;
};

std::unique_ptr<nn::Model> make_idefics(const Json& config, const Weights& w) { return std::make_unique<Idefics>(config, w); }

}  // namespace

extern const ModelEntry model_idefics{"idefics", {"IdeficsForVisionText2Text", "IdeficsModel"}, make_idefics,
                                      "model.",  {"rotary_emb.inv_freq", ".position_ids"},      {}};

}  // namespace mynah
