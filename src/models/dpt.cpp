// DPT: a ViT whose layers are put together to maps, for depth or for labels of pixels. Paper: arXiv:2103.13413. Checkpoints:
// Intel/dpt-large, dpt-large-ade. Differs from ViT: its position table follows the picture, bilinear.
#include <algorithm>
#include <cmath>
#include <optional>

#include "base/require.h"
#include "models/dpt_neck.h"
#include "models/model_entry.h"
#include "models/vit_layers.h"
#include "mynah/json.h"
#include "nn/config.h"
#include "nn/vision_model.h"

namespace mynah {
namespace {

using nn::HeadKind;
using nn::Weights;

constexpr int64_t kDepthChannels = 32, kProjected = 256;

// Convolutions that end in one depth for every pixel.
struct DepthHead {
  DepthHead(const Json& json, const DptConfig& c, const Weights& w)
      : first(w / "head", "0", c.fusion, c.fusion / 2, 3, c.init()),
        second(w / "head", "2", c.fusion / 2, kDepthChannels, 3, c.init()),
        third(w / "head", "4", kDepthChannels, 1, 1, c.init()) {
    if (!nn::config_bool(json, "add_projection", false)) return;
    require(c.fusion == kProjected, "config.json: add_projection with a fusion_hidden_size of {}, expected {}", c.fusion, kProjected);
    projection = MapConvolution(w, "projection", kProjected, kProjected, 3, c.init());
  }
  Tensor operator()(const Tensor& map) const {
    const Tensor x = first.same(projection.defined() ? relu(projection.same(map)) : map);
    const Tensor y = relu(third.forward(relu(second.same(resize_aligned(x, 2 * x.size(2), 2 * x.size(3))))));
    return reshape(y, {y.size(0), y.size(2), y.size(3)});
  }

  MapConvolution projection, first, second, third;
};

// Labels of pixels.
struct LabelHead {
  LabelHead(const DptConfig& c, const Weights& w, int64_t labels)
      : first(w / "head", "0", c.fusion, c.fusion, 3, c.init(), 1, false), norm(w / "head", "1", c.fusion, 1e-5f), last(w / "head", "4", c.fusion, labels, 1, c.init()) {}
  Tensor operator()(const Tensor& map) const { return last.forward(relu(norm(first.same(map)))); }

  MapConvolution first;
  MapNorm norm;
  MapConvolution last;
};

class Dpt : public nn::VisionModel {
 public:
  Dpt(const Json& json, const Weights& weights) : VisionModel(json), c_(json) {
    require(!nn::config_bool(json, "is_hybrid", false), "config.json: is_hybrid is not supported for dpt");
    require(!json.contains("backbone_config") || json["backbone_config"].is_null(), "config.json: backbone_config is not supported for dpt");
    const Weights w = weights / "dpt", patches = w / "embeddings" / "patch_embeddings" / "projection";
    const int64_t c = c_.hidden_size, places = c_.grid()[0] * c_.grid()[1];
    cls_ = (w / "embeddings").tensor("cls_token", {1, 1, c}, c_.init());
    positions_ = (w / "embeddings").tensor("position_embeddings", {1, places + 1, c}, c_.init());
    projection_ = patches.tensor("weight", {c, c_.num_channels, c_.patch_size[0], c_.patch_size[1]}, c_.init());
    projection_bias_ = patches.tensor("bias", {c}, nn::Init::zeros());
    stack_.emplace(c_, w / "encoder");
    norm_ = nn::LayerNorm(w, "layernorm", c, c_.layer_norm_eps);
    if (kind() == HeadKind::bare) {
      if (!w.has("pooler.dense.weight")) return;
      pooler_ = nn::Linear(w / "pooler", "dense", c, nn::config_int(json, "pooler_output_size", c), c_.init());
      pooler_act_ = activation(nn::config_string(json, "pooler_act", "tanh"));
      return;
    }
    for (const int64_t i : nn::config_ints(plus_one(json), "backbone_out_indices", {3, 6, 9, 12})) {
      require(i <= c_.num_hidden_layers, "config.json: backbone_out_indices has {}, there are {} layers", i - 1, c_.num_hidden_layers);
      layers_.push_back(static_cast<size_t>(i));
    }
    std::sort(layers_.begin(), layers_.end());
    const DptConfig neck(json, c, nn::config_string(json, "readout_type", "project"));
    head_in_index_ = static_cast<size_t>(neck.head_in_index);
    neck_.emplace(neck, weights / "neck", true);
    if (kind() == HeadKind::depth_estimation) depth_.emplace(json, neck, weights / "head");
    if (kind() == HeadKind::image_segmentation) {
      labels_.emplace(neck, weights / "head", nn::label_count(json));
      if (nn::config_bool(json, "use_auxiliary_head", true)) auxiliary_.emplace(neck, weights / "auxiliary_head", nn::label_count(json));
    }
  }

 protected:
  nn::NamedTensors look(const Tensor& pixels, bool, std::vector<Tensor>* states) const override {
    const int64_t images = pixels.size(0), c = c_.hidden_size, height = pixels.size(2) / c_.patch_size[0], width = pixels.size(3) / c_.patch_size[1];
    const Tensor rows = join_tokens({cls_}, nn::patch_rows(pixels, projection_, projection_bias_), images);
    const int64_t tokens = height * width + 1;
    const Tensor x = reshape(reshape(rows, {images, tokens, c}) + places(height, width), {images * tokens, c});
    std::vector<Tensor> all;
    const Tensor hidden = reshape(norm_(stack_->forward(x, images, &all)), {images, tokens, c});
    if (states) *states = all;
    if (!neck_) {
      nn::NamedTensors out{{"last_hidden_state", hidden}};
      if (pooler_.defined()) out["pooler_output"] = activate(pooler_(select(hidden, 1, 0)), pooler_act_);
      return out;
    }
    std::vector<Tensor> chosen;
    for (const size_t i : layers_) chosen.push_back(all[i]);
    const std::vector<Tensor> maps = neck_->forward(chosen, height, width);
    const Tensor& map = maps[head_in_index_];
    if (depth_) return {{"predicted_depth", (*depth_)(map)}};
    const Tensor small = (*labels_)(map);
    nn::NamedTensors out{{"logits", resize_aligned(small, 2 * small.size(2), 2 * small.size(3))}};
    if (auxiliary_) out["auxiliary_logits"] = (*auxiliary_)(maps.back());
    return out;
  }
  int64_t channels() const override { return c_.num_channels; }

 private:
  // Indices count from 0, which config_ints does not take.
  static Json plus_one(const Json& json) {
    const auto given = json.find("backbone_out_indices");
    if (given == json.end() || !given->is_array()) return Json::object();
    Json out = Json::array();
    for (const Json& i : *given) out.push_back(i.is_number_integer() ? Json(i.get<int64_t>() + 1) : i);
    return {{"backbone_out_indices", out}};
  }

  Tensor places(int64_t height, int64_t width) const {
    const int64_t c = c_.hidden_size, count = positions_.size(1) - 1, side = static_cast<int64_t>(std::sqrt(static_cast<double>(count)));
    require(side * side == count, "forward: a position table of {} places, expected a square number", count);
    const Tensor table = reshape(transpose(reshape(narrow(positions_, 1, 1, count), {count, c}), 0, 1), {1, c, side, side});
    const Tensor sized = transpose(reshape(interpolate(table, height, width, Interpolation::bilinear), {c, height * width}), 0, 1);
    return reshape(cat({reshape(narrow(positions_, 1, 0, 1), {1, c}), sized}, 0), {1, height * width + 1, c});
  }

  VitConfig c_;
  Tensor cls_, positions_, projection_, projection_bias_;
  std::optional<VitStack> stack_;
  nn::LayerNorm norm_;
  nn::Linear pooler_;
  Activation pooler_act_ = Activation::tanh;
  std::vector<size_t> layers_;
  std::optional<DptNeck> neck_;
  size_t head_in_index_ = 0;
  std::optional<DepthHead> depth_;
  std::optional<LabelHead> labels_, auxiliary_;
};

std::unique_ptr<nn::Model> make_dpt(const Json& config, const Weights& weights) {
  Json sized = config;
  if (!sized.contains("image_size")) sized["image_size"] = 384;
  return std::make_unique<Dpt>(sized, weights);
}

}  // namespace

extern const ModelEntry model_dpt{"dpt", {"DPTForDepthEstimation", "DPTForSemanticSegmentation", "DPTModel"}, make_dpt, "dpt.", {".num_batches_tracked"}, {}};

}  // namespace mynah
