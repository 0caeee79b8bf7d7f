// ResNet: basic and bottleneck layers, v1 and v1.5. Papers: arXiv:1512.03385; v1.5 strides in the 3x3 convolution.
#include <cmath>
#include <optional>

#include "base/require.h"
#include "models/model_entry.h"
#include "mynah/ops.h"
#include "nn/config.h"
#include "nn/layers.h"
#include "nn/vision_model.h"

namespace mynah {
namespace {

using nn::Init;
using nn::Weights;

struct Config {
  int64_t num_channels, embedding_size;
  std::vector<int64_t> hidden_sizes, depths;
  bool bottleneck, downsample_in_first_stage, downsample_in_bottleneck;
  Activation hidden_act;

  explicit Config(const Json& c)
      : num_channels(nn::config_int(c, "num_channels", 3)),
        embedding_size(nn::config_int(c, "embedding_size", 64)),
        hidden_sizes(nn::config_ints(c, "hidden_sizes", {256, 512, 1024, 2048})),
        depths(nn::config_ints(c, "depths", {3, 4, 6, 3})),
        downsample_in_first_stage(nn::config_bool(c, "downsample_in_first_stage", false)),
        downsample_in_bottleneck(nn::config_bool(c, "downsample_in_bottleneck", false)),
        hidden_act(activation(nn::config_string(c, "hidden_act", "relu"))) {
    const std::string type = nn::config_string(c, "layer_type", "bottleneck");
    require(type == "bottleneck" || type == "basic", "config.json: layer_type is \"{}\", expected \"basic\" or \"bottleneck\"", type);
    bottleneck = type == "bottleneck";
    require(hidden_sizes.size() == depths.size(), "config.json: {} hidden_sizes and {} depths, expected as many", hidden_sizes.size(), depths.size());
  }
};

// Convolution without bias, batch norm, activation.
struct ConvNorm {
  ConvNorm(const Weights& w, int64_t in, int64_t out, int64_t kernel, int64_t stride_)
      : weight(w.tensor("convolution.weight", {out, in, kernel, kernel}, Init::with_std(std::sqrt(2.0f / static_cast<float>(out * kernel * kernel))))),
        scale(w.tensor("normalization.weight", {out}, Init::ones())),
        shift(w.tensor("normalization.bias", {out}, Init::zeros())),
        mean(w.buffer("normalization.running_mean", {out}, Init::zeros())),
        variance(w.buffer("normalization.running_var", {out}, Init::ones())),
        stride(stride_) {}

  Tensor operator()(const Tensor& x) const {
    const int64_t padding = weight.size(2) / 2;
    return batch_norm(conv2d(x, weight, {}, {{stride, stride}, {padding, padding}}), mean, variance, scale, shift, 1e-5f);
  }

  Tensor weight, scale, shift, mean, variance;
  int64_t stride;
};

struct Layer {
  Layer(const Config& c, const Weights& w, int64_t in, int64_t out, int64_t stride) {
    if (in != out || stride != 1) shortcut.emplace(w / "shortcut", in, out, 1, stride);
    if (c.bottleneck) {
      const int64_t reduced = out / 4;
      convolutions.emplace_back(w / "layer" / 0, in, reduced, 1, c.downsample_in_bottleneck ? stride : 1);
      convolutions.emplace_back(w / "layer" / 1, reduced, reduced, 3, c.downsample_in_bottleneck ? 1 : stride);
      convolutions.emplace_back(w / "layer" / 2, reduced, out, 1, 1);
    } else {
      convolutions.emplace_back(w / "layer" / 0, in, out, 3, stride);
      convolutions.emplace_back(w / "layer" / 1, out, out, 3, 1);
    }
  }
  Tensor forward(const Tensor& x, Activation act) const {
    Tensor y = x;
    for (size_t i = 0; i < convolutions.size(); ++i) {
      y = convolutions[i](y);
      if (i + 1 < convolutions.size()) y = relu(y);
    }
    return activate(y + (shortcut ? (*shortcut)(x) : x), act);
  }

  std::optional<ConvNorm> shortcut;
  std::vector<ConvNorm> convolutions;
};

class ResNet : public nn::VisionModel {
 public:
  ResNet(const Json& json, const Weights& w)
      : VisionModel(json), c_(json), stem_(w / "resnet" / "embedder" / "embedder", c_.num_channels, c_.embedding_size, 7, 2) {
    int64_t in = c_.embedding_size;
    for (size_t s = 0; s < c_.depths.size(); ++s) {
      stages_.emplace_back();
      for (int64_t i = 0; i < c_.depths[s]; ++i) {
        const int64_t stride = i == 0 && (s > 0 || c_.downsample_in_first_stage) ? 2 : 1;
        stages_.back().emplace_back(c_, w / "resnet" / "encoder" / "stages" / static_cast<int64_t>(s) / "layers" / i, in, c_.hidden_sizes[s], stride);
        in = c_.hidden_sizes[s];
      }
    }
    if (kind() == nn::HeadKind::image_classification)
      classifier_ = nn::Linear(w / "classifier", "1", in, nn::label_count(json), Init::with_std(1 / std::sqrt(3.0f * static_cast<float>(in))));
  }

 protected:
  nn::NamedTensors look(const Tensor& pixels, bool, std::vector<Tensor>* states) const override {
    Tensor x = max_pool2d(activate(stem_(pixels), c_.hidden_act), {3, 3}, {2, 2}, {1, 1});
    for (const auto& stage : stages_) {
      if (states) states->push_back(x);
      for (const Layer& layer : stage) x = layer.forward(x, c_.hidden_act);
    }
    if (states) states->push_back(x);
    const Tensor pooled = avg_pool2d(x, {x.size(2), x.size(3)}, {1, 1});
    if (classifier_.defined()) return {{"logits", classifier_(reshape(pooled, {x.size(0), x.size(1)}))}};
    return {{"last_hidden_state", x}, {"pooler_output", pooled}};
  }
  int64_t channels() const override { return c_.num_channels; }

 private:
  Config c_;
  ConvNorm stem_;
  std::vector<std::vector<Layer>> stages_;
  nn::Linear classifier_;
};

std::unique_ptr<nn::Model> make(const Json& config, const Weights& weights) { return std::make_unique<ResNet>(config, weights); }

}  // namespace

extern const ModelEntry model_resnet{"resnet", {"ResNetForImageClassification", "ResNetModel"}, make, "resnet.", {".num_batches_tracked"}, {}};

}  // namespace mynah
