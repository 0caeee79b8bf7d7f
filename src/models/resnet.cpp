// ResNet: basic and bottleneck layers, v1 and v1.5. Papers: arXiv:1512.03385; v1.5 strides in the 3x3 convolution.
#include <cmath>

#include "models/model_entry.h"
#include "models/resnet_layers.h"
#include "nn/config.h"
#include "nn/layers.h"
#include "nn/vision_model.h"

namespace mynah {
namespace {

using nn::Weights;

class ResNet : public nn::VisionModel {
 public:
  ResNet(const Json& json, const Weights& w) : VisionModel(json), c_(json), body_(c_, w / "resnet") {
    const int64_t size = c_.hidden_sizes.back();
    if (kind() == nn::HeadKind::image_classification)
      classifier_ = nn::Linear(w / "classifier", "1", size, nn::label_count(json), nn::Init::with_std(1 / std::sqrt(3.0f * static_cast<float>(size))));
  }

 protected:
  nn::NamedTensors look(const Tensor& pixels, bool, std::vector<Tensor>* states) const override {
    const std::vector<Tensor> all = body_.forward(pixels);
    if (states) *states = all;
    const Tensor& x = all.back();
    const Tensor pooled = avg_pool2d(x, {x.size(2), x.size(3)}, {1, 1});
    if (classifier_.defined()) return {{"logits", classifier_(reshape(pooled, {x.size(0), x.size(1)}))}};
    return {{"last_hidden_state", x}, {"pooler_output", pooled}};
  }
  int64_t channels() const override { return c_.num_channels; }

 private:
  ResNetConfig c_;
  ResNetBody body_;
  nn::Linear classifier_;
};

std::unique_ptr<nn::Model> make_resnet(const Json& config, const Weights& weights) { return std::make_unique<ResNet>(config, weights); }

}  // namespace

extern const ModelEntry model_resnet{"resnet", {"ResNetForImageClassification", "ResNetModel"}, make_resnet, "resnet.", {".num_batches_tracked"}, {}};

}  // namespace mynah
