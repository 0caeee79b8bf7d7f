// ViT and DeiT (a second learned token, distilled from a teacher). Papers: arXiv:2010.11929, arXiv:2012.12877.
#include "base/require.h"
#include "models/model_entry.h"
#include "models/vit_layers.h"
#include "nn/config.h"
#include "nn/vision_model.h"

namespace mynah {
namespace {

using nn::HeadKind;
using nn::Weights;

class Vit : public nn::VisionModel {
 public:
  Vit(const Json& json, const Weights& weights, const char* prefix, bool distilled)
      : VisionModel(json),
        c_(json),
        cls_((weights / prefix / "embeddings").tensor("cls_token", {1, 1, c_.hidden_size}, c_.init())),
        positions_((weights / prefix / "embeddings")
                       .tensor("position_embeddings", {1, c_.grid()[0] * c_.grid()[1] + (distilled ? 2 : 1), c_.hidden_size}, c_.init())),
        projection_((weights / prefix / "embeddings" / "patch_embeddings" / "projection")
                        .tensor("weight", {c_.hidden_size, c_.num_channels, c_.patch_size[0], c_.patch_size[1]}, c_.init())),
        projection_bias_((weights / prefix / "embeddings" / "patch_embeddings" / "projection").tensor("bias", {c_.hidden_size}, nn::Init::zeros())),
        stack_(c_, weights / prefix / "encoder"),
        norm_(weights / prefix, "layernorm", c_.hidden_size, c_.layer_norm_eps) {
    const Weights w = weights / prefix;
    special_ = {cls_};
    if (distilled) special_.push_back((w / "embeddings").tensor("distillation_token", {1, 1, c_.hidden_size}, c_.init()));
    if (kind() == HeadKind::image_classification) {
      const std::string name = json["architectures"][0];
      const bool teacher = name.ends_with("WithTeacher");
      classifier_ = nn::Linear(weights, teacher ? "cls_classifier" : "classifier", c_.hidden_size, nn::label_count(json), c_.init());
      if (teacher) distillation_classifier_ = nn::Linear(weights, "distillation_classifier", c_.hidden_size, nn::label_count(json), c_.init());
    } else if (w.has("pooler.dense.weight")) {  // released encoders often come without it
      const int64_t size = nn::config_int(json, "pooler_output_size", c_.hidden_size);
      pooler_ = nn::Linear(w / "pooler", "dense", c_.hidden_size, size, c_.init());
      pooler_act_ = activation(nn::config_string(json, "pooler_act", "tanh"));
    }
  }

 protected:
  nn::NamedTensors look(const Tensor& pixels, bool interpolate, std::vector<Tensor>* states) const override {
    const int64_t images = pixels.size(0), c = c_.hidden_size, special = static_cast<int64_t>(special_.size());
    require(interpolate || (pixels.size(2) == c_.image_size[0] && pixels.size(3) == c_.image_size[1]),
            "forward: pixel_values are {}x{}, expected {}x{}; set interpolate_pos_encoding for other sizes", pixels.size(2), pixels.size(3), c_.image_size[0],
            c_.image_size[1]);
    const Tensor patches = nn::patch_rows(pixels, projection_, projection_bias_);
    Tensor x = join_tokens(special_, patches, images);
    const int64_t tokens = x.size(0) / images;
    Tensor positions = reshape(positions_, {positions_.size(1), c});
    if (pixels.size(2) != c_.image_size[0] || pixels.size(3) != c_.image_size[1])
      positions = cat({narrow(positions, 0, 0, special),
                       nn::resize_positions(narrow(positions, 0, special, positions.size(0) - special), c_.grid(), pixels.size(2) / c_.patch_size[0], pixels.size(3) / c_.patch_size[1])},
                      0);
    x = reshape(reshape(x, {images, tokens, c}) + reshape(positions, {1, tokens, c}), {images * tokens, c});
    // Who classifies looks at the learned tokens alone.
    const int64_t kept = classifier_.defined() ? special : tokens;
    const Tensor hidden = reshape(norm_(stack_.forward(x, images, states, kept)), {images, kept, c});
    const auto token = [&](int64_t i) { return select(hidden, 1, i); };
    if (distillation_classifier_.defined()) {
      const Tensor own = classifier_(token(0)), taught = distillation_classifier_(token(1));
      return {{"logits", (own + taught) * 0.5f}, {"cls_logits", own}, {"distillation_logits", taught}};
    }
    if (classifier_.defined()) return {{"logits", classifier_(token(0))}};
    nn::NamedTensors out{{"last_hidden_state", hidden}};
    if (pooler_.defined()) out["pooler_output"] = activate(pooler_(token(0)), pooler_act_);
    return out;
  }
  int64_t channels() const override { return c_.num_channels; }

 private:
  VitConfig c_;
  Tensor cls_, positions_, projection_, projection_bias_;
  std::vector<Tensor> special_;
  VitStack stack_;
  nn::LayerNorm norm_;
  nn::Linear classifier_, distillation_classifier_, pooler_;
  Activation pooler_act_ = Activation::tanh;
};

std::unique_ptr<nn::Model> make_vit(const Json& config, const Weights& w) { return std::make_unique<Vit>(config, w, "vit", false); }
std::unique_ptr<nn::Model> make_deit(const Json& config, const Weights& w) { return std::make_unique<Vit>(config, w, "deit", true); }

}  // namespace

extern const ModelEntry model_vit{"vit", {"ViTForImageClassification", "ViTModel"}, make_vit, "vit.", {"embeddings.mask_token"}, {}};
extern const ModelEntry model_deit{
    "deit", {"DeiTForImageClassification", "DeiTForImageClassificationWithTeacher", "DeiTModel"}, make_deit, "deit.", {"embeddings.mask_token"}, {}};

}  // namespace mynah
