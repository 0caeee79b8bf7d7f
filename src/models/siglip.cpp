// SigLIP: CLIP's towers without a class token, trained by a sigmoid per pair. Paper: arXiv:2303.15343.
// Differs from CLIP: attention pooling of patches, bidirectional text pooled at its last place, a bias beside the scale.
#include <optional>

#include "base/require.h"
#include "models/clip_layers.h"
#include "models/model_entry.h"
#include "mynah/json.h"
#include "nn/config.h"
#include "nn/inputs.h"
#include "nn/losses.h"
#include "nn/model.h"

namespace mynah {
namespace {

using nn::Inputs;
using nn::NamedTensors;
using nn::Weights;

struct SiglipTextTower {
  SiglipTextTower(const Json& c, const Weights& w)
      : config(c, 768, 12, 12, 3072, "gelu_pytorch_tanh", 1e-6),
        vocab_size(nn::config_int(c, "vocab_size", 32000)),
        max_positions(nn::config_int(c, "max_position_embeddings", 64)),
        tokens((w / "embeddings").matrix("token_embedding", vocab_size, config.hidden_size, config.init())),
        positions((w / "embeddings" / "position_embedding").tensor("weight", {max_positions, config.hidden_size}, config.init())),
        stack(config, w / "encoder"),
        norm(w, "final_layer_norm", config.hidden_size, config.layer_norm_eps),
        head(w, "head", config.hidden_size, nn::config_int(c, "projection_size", config.hidden_size), config.init()) {}

  TowerOutput forward(const Inputs& in, std::vector<Tensor>* states) const {
    const Shape shape = in.shape_of("input_ids", 2, "[batch, tokens]");
    nn::TokenBatch batch;
    batch.ids = in.ids("input_ids", shape, vocab_size);
    require(shape[1] <= max_positions, "forward: input_ids has {} tokens, the model's context holds {}", shape[1], max_positions);
    batch.positions = in.positions("position_ids", shape[0], shape[1]);
    batch.key_mask = in.mask("attention_mask", shape);
    batch.lengths.assign(static_cast<size_t>(shape[0]), shape[1]);
    const Tensor x = norm(stack.forward(tokens.lookup(batch.ids) + embedding(positions, batch.positions), batch, false, states));
    const Tensor hidden = reshape(x, {shape[0], shape[1], x.size(1)});
    return {hidden, head(select(hidden, 1, shape[1] - 1))};
  }

  ClipStackConfig config;
  int64_t vocab_size, max_positions;
  nn::Matrix tokens;
  Tensor positions;
  ClipStack stack;
  nn::LayerNorm norm;
  nn::Linear head;
};

// One learned query looks at all patches.
struct AttentionPool {
  AttentionPool(const ClipStackConfig& c, const Weights& w)
      : heads(c.num_attention_heads),
        probe(w.tensor("probe", {1, 1, c.hidden_size}, c.init())),
        in_weight((w / "attention").tensor("in_proj_weight", {3 * c.hidden_size, c.hidden_size}, c.init())),
        in_bias((w / "attention").tensor("in_proj_bias", {3 * c.hidden_size}, nn::Init::zeros())),
        out_proj(w / "attention", "out_proj", c.hidden_size, c.hidden_size, c.init()),
        norm(w, "layernorm", c.hidden_size, c.layer_norm_eps),
        mlp(c, w / "mlp") {}

  // x [B*T, C] -> [B,C]
  Tensor forward(const Tensor& x, int64_t images) const {
    const int64_t c = x.size(1), tokens = x.size(0) / images;
    const auto project = [&](const Tensor& rows, int64_t i) {
      return nn::split_heads(linear(rows, narrow(in_weight, 0, i * c, c), narrow(in_bias, 0, i * c, c)), rows.size(0), heads, c / heads);
    };
    const Tensor queries = reshape(expand(probe, {images, 1, c}), {images, c});
    std::vector<Sequence> sequences;
    for (int64_t b = 0; b < images; ++b) sequences.push_back({b, 1, b * tokens, tokens});
    AttentionConfig config;
    config.causal = false;
    const Tensor y = out_proj(reshape(scaled_dot_product_attention(project(queries, 0), project(x, 1), project(x, 2), sequences, config), {images, c}));
    return y + mlp(norm(y));
  }

  int64_t heads;
  Tensor probe, in_weight, in_bias;
  nn::Linear out_proj;
  nn::LayerNorm norm;
  ClipMLP mlp;
};

struct SiglipImageTower {
  SiglipImageTower(const Json& c, const Weights& w, bool pools)
      : config(c, 768, 12, 12, 3072, "gelu_pytorch_tanh", 1e-6),
        patches(c, config, w / "embeddings", false),
        stack(config, w / "encoder"),
        after(w, "post_layernorm", config.hidden_size, config.layer_norm_eps) {
    if (pools && nn::config_bool(c, "vision_use_head", true)) head.emplace(config, w / "head");
  }

  TowerOutput forward(const Inputs& in, std::vector<Tensor>* states) const {
    const Tensor pixels = in.floats("pixel_values", {-1, patches.channels, -1, -1});
    const bool interpolate = in.flag("interpolate_pos_encoding");
    const int64_t images = pixels.size(0);
    const Tensor x = patches.forward(pixels, interpolate);
    nn::TokenBatch batch;
    batch.lengths.assign(static_cast<size_t>(images), x.size(0) / images);
    const Tensor y = after(stack.forward(x, batch, false, states));
    return {reshape(y, {images, batch.lengths[0], y.size(1)}), head ? head->forward(y, images) : Tensor()};
  }

  ClipStackConfig config;
  ClipPatches patches;
  ClipStack stack;
  nn::LayerNorm after;
  std::optional<AttentionPool> head;
};

class Siglip : public nn::Model {
 public:
  Siglip(const Json& json, const Weights& w) : json_(json), kind_(nn::head_kind(json)) {
    const std::string name = json.contains("architectures") ? json["architectures"][0].get<std::string>() : "SiglipModel";
    const bool classifies = kind_ == nn::HeadKind::image_classification;
    if (!name.starts_with("SiglipVision") && !classifies) text_.emplace(tower_config(json, "text_config"), w / "text_model");
    if (!name.starts_with("SiglipText")) image_.emplace(tower_config(json, "vision_config"), w / "vision_model", !classifies);
    if (text_ && image_) {
      logit_scale_ = w.tensor("logit_scale", {1}, {nn::Init::constant, 2.302585f});
      logit_bias_ = w.tensor("logit_bias", {1}, {nn::Init::constant, -10.0f});
    }
    if (classifies) classifier_ = nn::Linear(w, "classifier", image_->config.hidden_size, nn::label_count(json), image_->config.init());
  }

  nn::HeadKind kind() const override { return kind_; }

  NamedTensors forward(const NamedTensors& inputs, const nn::ForwardOptions& options) const override {
    const Inputs in(inputs, {"input_ids", "attention_mask", "position_ids", "pixel_values", "interpolate_pos_encoding", "return_loss", "labels"});
    NamedTensors out;
    const auto [text, image] = ask_towers(text_, image_, in, options.hidden_states, &out);
    if (text_ && image_) {
      if (text.hidden.defined()) out["text_embeds"] = unit_rows(text.pooled);
      if (image.hidden.defined()) out["image_embeds"] = unit_rows(image.pooled);
      if (out.size() < 2) return out;  // one side alone was asked for
      out["logits_per_text"] = linear(out["text_embeds"], out["image_embeds"]) * exp(logit_scale_) + logit_bias_;
      out["logits_per_image"] = transpose(out["logits_per_text"], 0, 1);
      if (in.flag("return_loss")) out["loss"] = pair_loss(out["logits_per_text"]);
      return out;
    }
    const TowerOutput& one = text_ ? text : image;
    if (classifier_.defined()) {
      out["logits"] = classifier_(mean(one.hidden, 1));
      if (in.has("labels")) out["loss"] = nn::classification_loss(json_, out["logits"], in);
      return out;
    }
    out["last_hidden_state"] = one.hidden;
    if (one.pooled.defined()) out["pooler_output"] = one.pooled;
    return out;
  }

 private:
  // Mean over texts of the sum over images of -log sigmoid(+-logit): + for its own image.
  static Tensor pair_loss(const Tensor& logits) {
    const int64_t n = logits.size(0);
    require(n == logits.size(1), "forward: return_loss needs as many texts as images, got {} and {}", n, logits.size(1));
    Tensor own = Tensor::zeros({n, n});
    for (int64_t i = 0; i < n; ++i) own.data<float>()[i * n + i] = 1;
    return nn::binary_cross_entropy(logits, own) * static_cast<float>(n);
  }

  const Json json_;
  nn::HeadKind kind_;
  std::optional<SiglipTextTower> text_;
  std::optional<SiglipImageTower> image_;
  Tensor logit_scale_, logit_bias_;
  nn::Linear classifier_;
};

std::unique_ptr<nn::Model> make_siglip(const Json& config, const Weights& weights) { return std::make_unique<Siglip>(config, weights); }

}  // namespace

extern const ModelEntry model_siglip{
    "siglip", {"SiglipModel", "SiglipTextModel", "SiglipVisionModel", "SiglipForImageClassification"}, make_siglip, "", {".position_ids"}, {}};

}  // namespace mynah
