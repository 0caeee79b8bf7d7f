// VideoMAE: a ViT over tubes, patches that reach over several frames, with fixed sinusoids as positions. Paper: arXiv:2203.12602.
// Checkpoints: MCG-NJU/videomae-base-finetuned-kinetics. Differs from ViT: no class token, keys without bias, a mean over all tubes.
// Shapes: B videos, F frames, P tubes of a video, C hidden.
#include <cmath>

#include "base/require.h"
#include "models/model_entry.h"
#include "models/vit_layers.h"
#include "mynah/json.h"
#include "mynah/ops.h"
#include "nn/config.h"
#include "nn/inputs.h"
#include "nn/losses.h"
#include "nn/vision_model.h"

namespace mynah {
namespace {

using nn::NamedTensors;
using nn::Weights;

constexpr float kHeadEps = 1e-5f;

// The layers take the config without biases of queries, keys and values; two of them have their own names.
Json without_biases(Json config) {
  config["qkv_bias"] = false;
  return config;
}

struct VideomaeConfig : VitConfig {
  explicit VideomaeConfig(const Json& c)
      : VitConfig(without_biases(c)),
        frames(nn::config_int(c, "num_frames", 16)),
        tube(nn::config_int(c, "tubelet_size", 2)),
        biases(nn::config_bool(c, "qkv_bias", true)),
        pools(nn::config_bool(c, "use_mean_pooling", true)) {
    require(tube <= frames, "config.json: tubelet_size {} is more than num_frames {}", tube, frames);
  }
  int64_t frames, tube;
  bool biases, pools;
  int64_t tubes() const { return frames / tube * grid()[0] * grid()[1]; }
};

// [1, P, C]: sines of even and cosines of odd columns.
Tensor sinusoids(int64_t places, int64_t size) {
  Tensor table = Tensor::empty({1, places, size});
  float* to = table.data<float>();
  for (int64_t p = 0; p < places; ++p)
    for (int64_t c = 0; c < size; ++c) {
      const double angle = static_cast<double>(p) / std::pow(10000.0, static_cast<double>(2 * (c / 2)) / static_cast<double>(size));
      *to++ = static_cast<float>(c % 2 == 0 ? std::sin(angle) : std::cos(angle));
    }
  return table;
}

class VideoMae : public nn::Model {
 public:
  VideoMae(const Json& json, const Weights& weights, const Weights& w)
      : json_(json), kind_(nn::head_kind(json)), c_(json), positions_(sinusoids(c_.tubes(), c_.hidden_size)), stack_(c_, w / "encoder") {
    const Weights projection = w / "embeddings" / "patch_embeddings" / "projection";
    projection_ = projection.tensor("weight", {c_.hidden_size, c_.num_channels, c_.tube, c_.patch_size[0], c_.patch_size[1]}, c_.init());
    projection_bias_ = projection.tensor("bias", {c_.hidden_size}, nn::Init::zeros());
    for (size_t i = 0; c_.biases && i < stack_.layers.size(); ++i) {
      const Weights own = w / "encoder" / "layer" / static_cast<int64_t>(i) / "attention" / "attention";
      stack_.layers[i].qkv.bias = {own.tensor("q_bias", {c_.hidden_size}, nn::Init::zeros()), Tensor(), own.tensor("v_bias", {c_.hidden_size}, nn::Init::zeros())};
    }
    if (!c_.pools) norm_ = nn::LayerNorm(w, "layernorm", c_.hidden_size, c_.layer_norm_eps);
    if (kind_ == nn::HeadKind::bare) return;
    if (c_.pools) norm_ = nn::LayerNorm(weights, "fc_norm", c_.hidden_size, kHeadEps);
    classifier_ = nn::Linear(weights, "classifier", c_.hidden_size, nn::label_count(json), c_.init());
  }

  nn::HeadKind kind() const override { return kind_; }

  // Inputs: pixel_values [B,F,3,H,W]; labels. Outputs: last_hidden_state [B,P,C]; or logits and loss; hidden_states.N.
  NamedTensors forward(const NamedTensors& inputs, const nn::ForwardOptions& options) const override {
    const nn::Inputs in(inputs, {"pixel_values", "labels"});
    const Tensor pixels = in.floats("pixel_values", {-1, c_.frames, c_.num_channels, c_.image_size[0], c_.image_size[1]});
    const int64_t videos = pixels.size(0), places = c_.tubes(), c = c_.hidden_size;
    std::vector<Tensor> states;
    Tensor x = reshape(tube_rows(pixels), {videos, places, c}) + positions_;
    x = reshape(stack_.forward(reshape(x, {videos * places, c}), videos, options.hidden_states ? &states : nullptr), {videos, places, c});
    if (!c_.pools) x = norm_(x);
    NamedTensors out;
    for (size_t i = 0; i < states.size(); ++i) out["hidden_states." + std::to_string(i)] = states[i];
    if (kind_ == nn::HeadKind::bare) {
      out["last_hidden_state"] = x;
      return out;
    }
    out["logits"] = classifier_(c_.pools ? norm_(mean(x, 1)) : select(x, 1, 0));
    if (in.has("labels")) out["loss"] = nn::classification_loss(json_, out["logits"], in);
    return out;
  }

 private:
  // [B,F,3,H,W] -> [B*P, C]: frames of a tube are channels of one picture.
  Tensor tube_rows(const Tensor& pixels) const {
    const int64_t videos = pixels.size(0), steps = c_.frames / c_.tube, channels = c_.tube * c_.num_channels;
    const Tensor used = reshape(narrow(pixels, 1, 0, steps * c_.tube), {videos * steps, channels, pixels.size(3), pixels.size(4)});
    return nn::patch_rows(used, reshape(transpose(projection_, 1, 2), {c_.hidden_size, channels, c_.patch_size[0], c_.patch_size[1]}), projection_bias_);
  }

  const Json json_;
  nn::HeadKind kind_;
  VideomaeConfig c_;
  Tensor positions_, projection_, projection_bias_;
  VitStack stack_;
  nn::LayerNorm norm_;
  nn::Linear classifier_;
};

std::unique_ptr<nn::Model> make_videomae(const Json& config, const Weights& w) { return std::make_unique<VideoMae>(config, w, w / "videomae"); }

}  // namespace

extern const ModelEntry model_videomae{"videomae", {"VideoMAEForVideoClassification", "VideoMAEModel"}, make_videomae, "videomae.", {"embeddings.position_embeddings"}, {}};

}  // namespace mynah
