// YOLOS: a ViT whose last tokens are detections. Paper: arXiv:2106.00666. Differs from ViT: 100 detection tokens after the
// patches, position tables that follow the size of the picture, in some checkpoints one after every layer.

#include "base/require.h"
#include "models/box_predictor.h"
#include "models/model_entry.h"
#include "models/vit_layers.h"
#include "mynah/json.h"
#include "nn/config.h"
#include "nn/recompute.h"
#include "nn/detection_loss.h"
#include "nn/inputs.h"
#include "nn/vision_model.h"

namespace mynah {
namespace {

using nn::HeadKind;
using nn::Weights;

class Yolos : public nn::Model {
 public:
  Yolos(const Json& json, const Weights& weights)
      : json_(json), kind_(nn::head_kind(json)), c_(json), detections_(nn::config_int(json, "num_detection_tokens", 100, 1, 100000)) {
    const Weights w = weights / "vit";
    const int64_t c = c_.hidden_size, tokens = c_.grid()[0] * c_.grid()[1] + detections_ + 1;
    cls_ = (w / "embeddings").tensor("cls_token", {1, 1, c}, c_.init());
    detection_tokens_ = (w / "embeddings").tensor("detection_tokens", {1, detections_, c}, c_.init());
    positions_ = (w / "embeddings").tensor("position_embeddings", {1, tokens, c}, c_.init());
    const Weights patches = w / "embeddings" / "patch_embeddings" / "projection";
    projection_ = patches.tensor("weight", {c, c_.num_channels, c_.patch_size[0], c_.patch_size[1]}, c_.init());
    projection_bias_ = patches.tensor("bias", {c}, nn::Init::zeros());
    for (int64_t i = 0; i < c_.num_hidden_layers; ++i) layers_.emplace_back(c_, w / "encoder" / "layer" / i);
    if (nn::config_bool(json, "use_mid_position_embeddings", true) && c_.num_hidden_layers > 1)
      mid_positions_ = (w / "encoder").tensor("mid_position_embeddings", {c_.num_hidden_layers - 1, 1, tokens, c}, c_.init());
    norm_ = nn::LayerNorm(w, "layernorm", c, c_.layer_norm_eps);
    if (kind_ == HeadKind::object_detection) {
      class_predictor_.emplace(weights / "class_labels_classifier", c, nn::label_count(json) + 1, c_.init());
      box_predictor_.emplace(weights / "bbox_predictor", c, 4, c_.init());
    } else if (w.has("pooler.dense.weight")) {
      pooler_ = nn::Linear(w / "pooler", "dense", c, c, c_.init());
    }
  }

  HeadKind kind() const override { return kind_; }

  // Inputs: pixel_values [B,C,H,W]; optional labels.I.class_labels [n], labels.I.boxes [n,4]. Outputs: last_hidden_state; logits
  // [B,D,L+1] and pred_boxes [B,D,4] (centre x, centre y, width, height in 0..1), loss; pooler_output of a bare model.
  nn::NamedTensors forward(const nn::NamedTensors& inputs, const nn::ForwardOptions& options) const override {
    const nn::Inputs in(inputs, {"pixel_values", "labels.*"});
    const Tensor pixels = in.floats("pixel_values", {-1, c_.num_channels, -1, -1});
    const int64_t images = pixels.size(0), c = c_.hidden_size, height = pixels.size(2) / c_.patch_size[0], width = pixels.size(3) / c_.patch_size[1];
    Tensor x = join_tokens({cls_}, nn::patch_rows(pixels, projection_, projection_bias_), images, {detection_tokens_});
    const int64_t tokens = x.size(0) / images;
    const auto place = [&](const Tensor& rows, const Tensor& table) {
      const Tensor resized = cat({narrow(table, 0, 0, 1), nn::resize_positions(narrow(table, 0, 1, table.size(0) - 1 - detections_), c_.grid(), height, width),
                                  narrow(table, 0, table.size(0) - detections_, detections_)},
                                 0);
      return reshape(reshape(rows, {images, tokens, c}) + reshape(resized, {1, tokens, c}), {images * tokens, c});
    };
    x = nn::dropout(place(x, reshape(positions_, {positions_.size(1), c})), c_.hidden_dropout_prob);
    nn::TokenBatch batch;
    batch.lengths.assign(static_cast<size_t>(images), tokens);
    nn::NamedTensors out;
    const auto note = [&](size_t i) {
      if (options.hidden_states) out["hidden_states." + std::to_string(i)] = reshape(x, {images, tokens, c});
    };
    note(0);
    for (size_t i = 0; i < layers_.size(); ++i) {
      x = nn::layer(x, {}, batch, [&layer = layers_[i], i](const Tensor& rows, const Tensor&, const nn::TokenBatch& b) { return layer.forward(rows, b, static_cast<int>(i)); });
      note(i + 1);
      if (mid_positions_.defined() && i + 1 < layers_.size()) x = place(x, reshape(select(mid_positions_, 0, static_cast<int64_t>(i)), {mid_positions_.size(2), c}));
    }
    const Tensor hidden = reshape(norm_(x), {images, tokens, c});
    out["last_hidden_state"] = hidden;
    if (pooler_.defined()) out["pooler_output"] = tanh(pooler_(select(hidden, 1, 0)));
    if (!class_predictor_) return out;
    const Tensor found = narrow(hidden, 1, tokens - detections_, detections_);
    out["logits"] = (*class_predictor_)(found);
    out["pred_boxes"] = sigmoid((*box_predictor_)(found));
    if (in.has("labels.0.class_labels")) {
      require(!nn::config_bool(json_, "auxiliary_loss", false), "config.json: auxiliary_loss is not supported for yolos");
      out["loss"] = nn::detection_loss(json_, out["logits"], out["pred_boxes"], nn::read_objects(in, images, nn::label_count(json_)));
    }
    return out;
  }

 private:
  const Json json_;
  HeadKind kind_;
  VitConfig c_;
  int64_t detections_;
  Tensor cls_, detection_tokens_, positions_, projection_, projection_bias_, mid_positions_;
  std::vector<VitLayer> layers_;
  nn::LayerNorm norm_;
  nn::Linear pooler_;
  std::optional<BoxPredictor> class_predictor_, box_predictor_;
};

std::unique_ptr<nn::Model> make_yolos(const Json& config, const Weights& weights) {
  Json sized = config;
  if (!sized.contains("image_size")) sized["image_size"] = {512, 864};
  return std::make_unique<Yolos>(sized, weights);
}

}  // namespace

extern const ModelEntry model_yolos{"yolos", {"YolosForObjectDetection", "YolosModel"}, make_yolos, "vit.", {}, {}};

}  // namespace mynah
