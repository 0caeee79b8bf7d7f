// Depth Anything: DPT's neck over DINOv2. Papers: arXiv:2401.10891, arXiv:2406.09414. Checkpoints: LiheYoung/depth-anything-small-hf,
// depth-anything/Depth-Anything-V2-Small-hf, -Metric-.
#include <optional>

#include "base/require.h"
#include "models/backbone.h"
#include "models/dinov2_body.h"
#include "models/dpt_neck.h"
#include "models/model_entry.h"
#include "mynah/json.h"
#include "nn/config.h"
#include "nn/vision_model.h"

namespace mynah {
namespace {

using nn::Weights;

class DepthAnything : public nn::VisionModel {
 public:
  DepthAnything(const Json& json, const Json& backbone, const Weights& w)
      : VisionModel(json),
        body_(backbone, w / "backbone"),
        normed_(nn::config_bool(backbone, "apply_layernorm", true)),
        layers_(out_stages(backbone, static_cast<size_t>(body_.config.num_hidden_layers))),
        patch_(nn::config_int(json, "patch_size", 14)),
        neck_config_(with_sizes(json), nn::config_int(json, "reassemble_hidden_size", 384), "ignore"),
        neck_(neck_config_, w / "neck", false),
        metric_(nn::config_string(json, "depth_estimation_type", "relative") == "metric"),
        most_(static_cast<float>(nn::config_number(json, "max_depth", 1.0))) {
    const std::string type = nn::config_string(json, "depth_estimation_type", "relative");
    require(metric_ || type == "relative", "config.json: depth_estimation_type is \"{}\", expected \"relative\" or \"metric\"", type);
    require(body_.config.hidden_size == neck_config_.hidden, "config.json: reassemble_hidden_size is {}, the backbone has {}", neck_config_.hidden, body_.config.hidden_size);
    if (most_ == 0) most_ = 1;
    const int64_t inner = nn::config_int(json, "head_hidden_size", 32), fusion = neck_config_.fusion;
    first_ = MapConvolution(w / "head", "conv1", fusion, fusion / 2, 3, neck_config_.init());
    second_ = MapConvolution(w / "head", "conv2", fusion / 2, inner, 3, neck_config_.init());
    third_ = MapConvolution(w / "head", "conv3", inner, 1, 1, neck_config_.init());
  }

 protected:
  nn::NamedTensors look(const Tensor& pixels, bool, std::vector<Tensor>* states) const override {
    std::vector<Tensor> chosen;
    body_.forward(pixels, [&](size_t i, const Tensor& state) {
      if (states) states->push_back(state);
      if (std::find(layers_.begin(), layers_.end(), i) != layers_.end()) chosen.push_back(normed_ ? body_.norm(state) : state);
    });
    const int64_t height = pixels.size(2) / patch_, width = pixels.size(3) / patch_;
    const std::vector<Tensor> maps = neck_.forward(chosen, height, width);
    const Tensor x = resize_aligned(first_.same(maps[static_cast<size_t>(neck_config_.head_in_index)]), height * patch_, width * patch_);
    const Tensor y = third_.forward(relu(second_.same(x)));
    const Tensor depth = (metric_ ? sigmoid(y) : relu(y)) * most_;
    return {{"predicted_depth", reshape(depth, {depth.size(0), depth.size(2), depth.size(3)})}};
  }
  int64_t channels() const override { return body_.config.num_channels; }

 private:
  static Json with_sizes(const Json& json) {
    return nn::with_defaults(json, {{"neck_hidden_sizes", {48, 96, 192, 384}}, {"fusion_hidden_size", 64}, {"reassemble_factors", {4, 2, 1, 0.5}}});
  }

  Dinov2Body body_;
  bool normed_;
  std::vector<size_t> layers_;
  int64_t patch_;
  DptConfig neck_config_;
  DptNeck neck_;
  bool metric_;
  float most_;
  MapConvolution first_, second_, third_;
};

std::unique_ptr<nn::Model> make_depth_anything(const Json& config, const Weights& weights) {
  const auto given = config.find("backbone_config");
  const Json backbone = given != config.end() && given->is_object()
                            ? *given
                            : Json{{"model_type", "dinov2"}, {"image_size", 518}, {"patch_size", 14}, {"hidden_size", 384}, {"num_attention_heads", 6}, {"out_indices", {9, 10, 11, 12}}};
  const std::string type = nn::config_string(backbone, "model_type", "dinov2");
  require(type == "dinov2", "config.json: backbone_config is a {}, expected a dinov2", type);
  return std::make_unique<DepthAnything>(config, backbone, weights);
}

}  // namespace

extern const ModelEntry model_depth_anything{"depth_anything", {"DepthAnythingForDepthEstimation"}, make_depth_anything, "", {}, {}};

}  // namespace mynah
