// Swin: a transformer whose attention stays inside windows that every second layer shifts, and whose maps halve between stages.
// Paper: arXiv:2103.14030. Checkpoints: microsoft/swin-tiny-patch4-window7-224 to -large.
#include "models/model_entry.h"
#include "models/swin_layers.h"
#include "mynah/json.h"
#include "mynah/ops.h"
#include "nn/config.h"
#include "nn/dropout.h"
#include "nn/layers.h"
#include "nn/vision_model.h"

namespace mynah {
namespace {

using nn::HeadKind;
using nn::Weights;

constexpr float kSwinPatchEps = 1e-5f;

class Swin : public nn::VisionModel {
 public:
  // `w`: where the body's weights are.
  Swin(const Json& json, const Weights& weights, const Weights& w, bool final_norm) : VisionModel(json), c_(json), stack_(c_, w / "encoder") {
    const Weights patches = w / "embeddings" / "patch_embeddings" / "projection";
    projection_ = patches.tensor("weight", {c_.embed_dim, c_.num_channels, c_.patch_size[0], c_.patch_size[1]}, c_.init());
    projection_bias_ = patches.tensor("bias", {c_.embed_dim}, nn::Init::zeros());
    patch_norm_ = nn::LayerNorm(w / "embeddings", "norm", c_.embed_dim, kSwinPatchEps);
    const int64_t size = c_.size(c_.depths.size() - 1);
    if (final_norm) norm_ = nn::LayerNorm(w, "layernorm", size, c_.layer_norm_eps);
    if (kind() == HeadKind::image_classification) classifier_ = nn::Linear(weights, "classifier", size, nn::label_count(json), c_.init());
  }

 protected:
  nn::NamedTensors look(const Tensor& pixels, bool, std::vector<Tensor>* states) const override {
    const Tensor planes = conv2d(padded_maps(pixels, c_.patch_size[0], c_.patch_size[1]), projection_, projection_bias_, {c_.patch_size});
    MapSize map(planes);
    Tensor x = nn::dropout(patch_norm_(map_rows(planes)), c_.hidden_dropout_prob);
    const auto by_image = [&](const Tensor& rows) { return reshape(rows, {map.images, map.height * map.width, rows.size(1)}); };
    if (states) states->push_back(by_image(x));
    x = stack_.forward(x, &map, states);
    const Tensor hidden = by_image(norm_.weight.defined() ? norm_(x) : x), pooled = mean(hidden, 1);
    if (classifier_.defined()) return {{"logits", classifier_(pooled)}};
    return {{"last_hidden_state", hidden}, {"pooler_output", pooled}};
  }
  int64_t channels() const override { return c_.num_channels; }

 private:
  SwinConfig c_;
  SwinStack stack_;
  Tensor projection_, projection_bias_;
  nn::LayerNorm patch_norm_, norm_;
  nn::Linear classifier_;
};

std::unique_ptr<nn::Model> make_swin(const Json& config, const Weights& w) { return std::make_unique<Swin>(config, w, w / "swin", true); }
std::unique_ptr<nn::Model> make_donut(const Json& config, const Weights& w) { return std::make_unique<Swin>(config, w, w, false); }

}  // namespace

extern const ModelEntry model_swin{
    "swin", {"SwinForImageClassification", "SwinModel"}, make_swin, "swin.", {".relative_position_index", "embeddings.mask_token", ".attn_mask"}, {}};
extern const ModelEntry model_donut_swin{
    "donut-swin", {"DonutSwinModel"}, make_donut, "", {".relative_position_index", "embeddings.mask_token", ".attn_mask"}, {}};

}  // namespace mynah
