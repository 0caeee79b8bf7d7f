// DINOv2: a ViT with scaled residuals that resizes its position table to the picture. Paper: arXiv:2304.07193.
// Differs from ViT: layer scales, a gated unit in the largest, classifier on the class token and the patches' mean.
#include "models/dinov2_body.h"
#include "models/model_entry.h"
#include "nn/config.h"
#include "nn/vision_model.h"

namespace mynah {
namespace {

using nn::Weights;

class Dinov2 : public nn::VisionModel {
 public:
  Dinov2(const Json& json, const Weights& weights) : VisionModel(json), body_(json, weights / "dinov2") {
    if (kind() == nn::HeadKind::image_classification)
      classifier_ = nn::Linear(weights, "classifier", 2 * body_.config.hidden_size, nn::label_count(json), body_.config.init());
  }

 protected:
  nn::NamedTensors look(const Tensor& pixels, bool, std::vector<Tensor>* states) const override {
    const Tensor x = body_.forward(pixels, [&](size_t, const Tensor& state) {
      if (states) states->push_back(state);
    });
    const Tensor hidden = body_.norm(x), first = select(hidden, 1, 0);
    if (classifier_.defined()) return {{"logits", classifier_(cat({first, mean(narrow(hidden, 1, 1, hidden.size(1) - 1), 1)}, 1))}};
    return {{"last_hidden_state", hidden}, {"pooler_output", first}};
  }
  int64_t channels() const override { return body_.config.num_channels; }

 private:
  Dinov2Body body_;
  nn::Linear classifier_;
};

std::unique_ptr<nn::Model> make_dinov2(const Json& config, const Weights& weights) { return std::make_unique<Dinov2>(config, weights); }

}  // namespace

extern const ModelEntry model_dinov2{"dinov2", {"Dinov2ForImageClassification", "Dinov2Model"}, make_dinov2, "dinov2.", {}, {}};

}  // namespace mynah
