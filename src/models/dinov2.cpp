// DINOv2: a ViT with scaled residuals that resizes its position table to the picture. Paper: arXiv:2304.07193.
// Differs from ViT: layer scales, a gated unit in the largest, classifier on the class token and the patches' mean.
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/require.h"
#include "models/model_entry.h"
#include "models/vit_layers.h"
#include "nn/config.h"
#include "nn/vision_model.h"

namespace mynah {
namespace {

using nn::Init;
using nn::Weights;

struct Layer {
  Layer(const VitConfig& c, const Json& json, const Weights& w)
      : heads(c.num_attention_heads),
        head_dim(c.hidden_size / heads),
        gated(nn::config_bool(json, "use_swiglu_ffn", false)),
        act(c.hidden_act),
        norm1(w, "norm1", c.hidden_size, c.layer_norm_eps),
        qkv(w / "attention" / "attention", {"query", "key", "value"}, c.hidden_size, {c.hidden_size, c.hidden_size, c.hidden_size}, c.init(), c.qkv_bias),
        attention_out(w / "attention" / "output", "dense", c.hidden_size, c.hidden_size, c.init()),
        scale1((w / "layer_scale1").tensor("lambda1", {c.hidden_size}, Init::ones())),
        norm2(w, "norm2", c.hidden_size, c.layer_norm_eps),
        scale2((w / "layer_scale2").tensor("lambda1", {c.hidden_size}, Init::ones())) {
    auto inner = static_cast<int64_t>(static_cast<double>(c.hidden_size) * nn::config_number(json, "mlp_ratio", 4));
    if (gated) inner = (inner * 2 / 3 + 7) / 8 * 8;
    in = nn::Linear(w / "mlp", gated ? "weights_in" : "fc1", c.hidden_size, gated ? 2 * inner : inner, c.init());
    out = nn::Linear(w / "mlp", gated ? "weights_out" : "fc2", inner, c.hidden_size, c.init());
  }
  Tensor forward(const Tensor& x, const nn::TokenBatch& batch) const {
    const int64_t n = x.size(0), size = heads * head_dim;
    const Tensor all = qkv(norm1(x));
    const auto part = [&](int64_t i) { return nn::split_heads(narrow(all, 1, i * size, size), n, heads, head_dim); };
    AttentionConfig config;
    config.causal = false;
    const Tensor y = x + attention_out(reshape(nn::attend(part(0), part(1), part(2), batch, 0, config), {n, size})) * scale1;
    const Tensor z = in(norm2(y));
    return y + out(gated ? glu(z, Activation::silu) : activate(z, act)) * scale2;
  }

  int64_t heads, head_dim;
  bool gated;
  Activation act;
  nn::LayerNorm norm1;
  nn::JoinedLinear qkv;
  nn::Linear attention_out;
  Tensor scale1;
  nn::LayerNorm norm2;
  nn::Linear in, out;
  Tensor scale2;
};

class Dinov2 : public nn::VisionModel {
 public:
  Dinov2(const Json& json, const Weights& weights) : VisionModel(json), c_(json) {
    const Weights w = weights / "dinov2";
    const int64_t c = c_.hidden_size;
    cls_ = (w / "embeddings").tensor("cls_token", {1, 1, c}, c_.init());
    if (w.has("embeddings.mask_token")) (w / "embeddings").tensor("mask_token", {1, c}, Init::zeros());  // read in pretraining only
    positions_ = (w / "embeddings").tensor("position_embeddings", {1, c_.grid()[0] * c_.grid()[1] + 1, c}, c_.init());
    const Weights patches = w / "embeddings" / "patch_embeddings" / "projection";
    projection_ = patches.tensor("weight", {c, c_.num_channels, c_.patch_size[0], c_.patch_size[1]}, c_.init());
    projection_bias_ = patches.tensor("bias", {c}, Init::zeros());
    for (int64_t i = 0; i < c_.num_hidden_layers; ++i) layers_.emplace_back(c_, json, w / "encoder" / "layer" / i);
    norm_ = nn::LayerNorm(w, "layernorm", c, c_.layer_norm_eps);
    if (kind() == nn::HeadKind::image_classification) classifier_ = nn::Linear(weights, "classifier", 2 * c, nn::label_count(json), c_.init());
  }

 protected:
  nn::NamedTensors look(const Tensor& pixels, bool, std::vector<Tensor>* states) const override {
    const int64_t images = pixels.size(0), c = c_.hidden_size;
    const Tensor patches = nn::patch_rows(pixels, projection_, projection_bias_);
    Tensor x = join_tokens({cls_}, patches, images);
    const int64_t tokens = x.size(0) / images;
    Tensor places = reshape(positions_, {positions_.size(1), c});
    if (tokens != places.size(0) || pixels.size(2) != pixels.size(3))
      places = cat({narrow(places, 0, 0, 1), nn::resize_positions(narrow(places, 0, 1, places.size(0) - 1), c_.grid(), pixels.size(2) / c_.patch_size[0],
                                                                  pixels.size(3) / c_.patch_size[1])},
                   0);
    x = reshape(reshape(x, {images, tokens, c}) + reshape(places, {1, tokens, c}), {images * tokens, c});
    nn::TokenBatch batch;
    batch.lengths.assign(static_cast<size_t>(images), tokens);
    const auto note = [&] {
      if (states) states->push_back(reshape(x, {images, tokens, c}));
    };
    note();
    for (const Layer& layer : layers_) {
      x = layer.forward(x, batch);
      note();
    }
    const Tensor hidden = reshape(norm_(x), {images, tokens, c}), first = select(hidden, 1, 0);
    if (classifier_.defined()) return {{"logits", classifier_(cat({first, mean(narrow(hidden, 1, 1, tokens - 1), 1)}, 1))}};
    return {{"last_hidden_state", hidden}, {"pooler_output", first}};
  }
  int64_t channels() const override { return c_.num_channels; }

 private:
  VitConfig c_;
  Tensor cls_, positions_, projection_, projection_bias_;
  std::vector<Layer> layers_;
  nn::LayerNorm norm_;
  nn::Linear classifier_;
};

std::unique_ptr<nn::Model> make(const Json& config, const Weights& weights) {
  Json full = config;
  if (!full.contains("layer_norm_eps")) full["layer_norm_eps"] = 1e-6;
  full["intermediate_size"] = 1;  // mlp_ratio says it
  return std::make_unique<Dinov2>(full, weights);
}

}  // namespace

extern const ModelEntry model_dinov2{"dinov2", {"Dinov2ForImageClassification", "Dinov2Model"}, make, "dinov2.", {}, {}};

}  // namespace mynah
