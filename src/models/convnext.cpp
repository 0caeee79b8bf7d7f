// ConvNeXt: a convolutional network shaped like a transformer. Paper: arXiv:2201.03545.
#include <cmath>
#include <optional>

#include "base/require.h"
#include "models/maps.h"
#include "models/model_entry.h"
#include "models/stochastic_depth.h"
#include "mynah/autograd.h"
#include "mynah/ops.h"
#include "nn/config.h"
#include "nn/dropout.h"
#include "nn/layers.h"
#include "nn/vision_model.h"
#include "ops/channel_conv.h"
#include "ops/pixel_maps.h"

namespace mynah {
namespace {

using nn::Init;
using nn::Weights;

struct ConvnextConfig {
  int64_t num_channels, patch_size;
  std::vector<int64_t> hidden_sizes, depths;
  float layer_norm_eps, layer_scale_init_value, initializer_range;
  Activation hidden_act;

  explicit ConvnextConfig(const Json& c)
      : num_channels(nn::config_int(c, "num_channels", 3)),
        patch_size(nn::config_int(c, "patch_size", 4)),
        hidden_sizes(nn::config_ints(c, "hidden_sizes", {96, 192, 384, 768})),
        depths(nn::config_ints(c, "depths", {3, 3, 9, 3})),
        layer_norm_eps(static_cast<float>(nn::config_number(c, "layer_norm_eps", 1e-12))),
        layer_scale_init_value(static_cast<float>(nn::config_number(c, "layer_scale_init_value", 1e-6))),
        initializer_range(static_cast<float>(nn::config_number(c, "initializer_range", 0.02))),
        hidden_act(activation(nn::config_string(c, "hidden_act", "gelu"))) {
    require(hidden_sizes.size() == depths.size(), "config.json: {} hidden_sizes and {} depths, expected as many", hidden_sizes.size(), depths.size());
  }
  Init init() const { return Init::with_std(initializer_range); }
};

constexpr float kConvnextInnerEps = 1e-6f;

// Rows of places [B*h*w, C] as maps and back, of a network that only answers: nothing moves.
Tensor places_as_maps(const Tensor& rows, const MapSize& s) {
  const int64_t c = rows.size(1);
  return rows.as_strided({s.images, c, s.height, s.width}, {s.height * s.width * c, 1, s.width * c, c});
}
Tensor maps_as_places(const Tensor& maps) { return maps.as_strided({maps.size(0) * maps.size(2) * maps.size(3), maps.size(1)}, {maps.stride(3), 1}); }

// A norm over channels, then a convolution whose windows touch: the start of a stage; the stem has them the other way round.
struct Reduction {
  Reduction(const ConvnextConfig& c, const Weights& w, const char* norm_name, const char* conv_name, int64_t norm_size, int64_t in, int64_t out, int64_t kernel)
      : norm(w, norm_name, norm_size, kConvnextInnerEps),
        weight((w / conv_name).tensor("weight", {out, in, kernel, kernel}, c.init())),
        bias((w / conv_name).tensor("bias", {out}, Init::zeros())) {
    if (!weight.requires_grad()) folded = std::make_shared<const ops::FoldedConv>(weight, Tensor(), bias, ConvConfig{{kernel, kernel}}, conv_numbers(w.matrices()));
  }
  bool answers(const Tensor& x) const { return folded && !x.requires_grad(); }
  Tensor normed(const Tensor& x) const { return maps_of(norm(map_rows(x)), MapSize(x)); }
  Tensor reduced(const Tensor& x) const {
    if (!answers(x)) return conv2d(x, weight, bias, {{weight.size(2), weight.size(3)}});
    return (*folded)(x, {.into = ops::dense_pixels(x.size(0), weight.size(0), x.size(2) / weight.size(2), x.size(3) / weight.size(3))});
  }
  // norm of each place, of maps that lie pixel by pixel
  Tensor normed_places(const Tensor& x) const { return places_as_maps(norm(maps_as_places(x)), MapSize(x)); }

  nn::LayerNorm norm;
  Tensor weight, bias;
  std::shared_ptr<const ops::FoldedConv> folded;
};

struct ConvnextLayer {
  ConvnextLayer(const ConvnextConfig& c, const Weights& w, int64_t size, float path)
      : depthwise((w / "dwconv").tensor("weight", {size, 1, 7, 7}, c.init())),
        depthwise_bias((w / "dwconv").tensor("bias", {size}, Init::zeros())),
        norm(w, "layernorm", size, kConvnextInnerEps),
        up(w, "pwconv1", size, 4 * size, c.init()),
        down(w, "pwconv2", 4 * size, size, c.init()),
        act(c.hidden_act),
        path_drop(path) {
    if (c.layer_scale_init_value > 0) scale = w.tensor("layer_scale_parameter", {size}, {Init::constant, c.layer_scale_init_value});
    if (!depthwise.requires_grad()) channels = std::make_shared<const ops::ChannelConv>(depthwise, depthwise_bias, ConvConfig{{1, 1}, {3, 3}, {1, 1}, size});
  }
  Tensor mixed(const Tensor& rows) const {
    const Tensor y = down(activate(up(norm(rows)), act));
    return scale.defined() ? y * scale : y;
  }
  // Of maps that lie pixel by pixel without gaps.
  Tensor answer(const Tensor& x) const { return places_as_maps(maps_as_places(x) + mixed(maps_as_places((*channels)(x))), MapSize(x)); }
  Tensor forward(const Tensor& x) const {
    const Tensor y = conv2d(x, depthwise, depthwise_bias, {{1, 1}, {3, 3}, {1, 1}, x.size(1)});
    return x + maps_of(nn::drop_path(mixed(map_rows(y)), x.size(0), path_drop), MapSize(y));
  }

  Tensor depthwise, depthwise_bias;
  nn::LayerNorm norm;
  nn::Linear up, down;
  Activation act;
  float path_drop;
  Tensor scale;
  std::shared_ptr<const ops::ChannelConv> channels;
};

struct Stage {
  std::optional<Reduction> reduction;
  std::vector<ConvnextLayer> layers;
};

class ConvNext : public nn::VisionModel {
 public:
  ConvNext(const Json& json, const Weights& weights)
      : VisionModel(json),
        c_(json),
        stem_(c_, weights / "convnext" / "embeddings", "layernorm", "patch_embeddings", c_.hidden_sizes[0], c_.num_channels, c_.hidden_sizes[0], c_.patch_size) {
    const Weights w = weights / "convnext";
    int64_t in = c_.hidden_sizes[0];
    StochasticDepth paths(nn::dropout_rate(json, "drop_path_rate", 0), c_.depths);
    for (size_t s = 0; s < c_.depths.size(); ++s) {
      const Weights stage = w / "encoder" / "stages" / static_cast<int64_t>(s);
      const int64_t out = c_.hidden_sizes[s];
      stages_.emplace_back();
      if (s > 0) stages_.back().reduction.emplace(c_, stage / "downsampling_layer", "0", "1", in, in, out, 2);
      for (int64_t i = 0; i < c_.depths[s]; ++i) stages_.back().layers.emplace_back(c_, stage / "layers" / i, out, paths.next());
      in = out;
    }
    norm_ = nn::LayerNorm(w, "layernorm", in, c_.layer_norm_eps);
    if (kind() == nn::HeadKind::image_classification) classifier_ = nn::Linear(weights, "classifier", in, nn::label_count(json), c_.init());
  }

 protected:
  nn::NamedTensors look(const Tensor& pixels, bool, std::vector<Tensor>* states) const override {
    const bool answering = answers(pixels);
    const auto normed = [&](const Reduction& reduction, const Tensor& t) { return answering ? reduction.normed_places(t) : reduction.normed(t); };
    Tensor x = normed(stem_, stem_.reduced(pixels));
    if (states) states->push_back(x);
    for (const Stage& stage : stages_) {
      if (stage.reduction) x = stage.reduction->reduced(normed(*stage.reduction, x));
      for (const ConvnextLayer& layer : stage.layers)
        x = answering ? layer.answer(x) : nn::recomputed([&layer](const std::vector<Tensor>& t) { return layer.forward(t[0]); }, {x});
      if (states) states->push_back(x);
    }
    const Tensor pooled = norm_(mean(mean(x, 3), 2));
    if (classifier_.defined()) return {{"logits", classifier_(pooled)}};
    return {{"last_hidden_state", x}, {"pooler_output", pooled}};
  }
  int64_t channels() const override { return c_.num_channels; }

 private:
  // Nothing is recorded, and no convolution is trained.
  bool answers(const Tensor& pixels) const {
    bool all = !grad_enabled() && stem_.answers(pixels);
    for (const Stage& stage : stages_) {
      all = all && (!stage.reduction || stage.reduction->folded);
      for (const ConvnextLayer& layer : stage.layers) all = all && layer.channels;
    }
    return all;
  }

  ConvnextConfig c_;
  Reduction stem_;
  std::vector<Stage> stages_;
  nn::LayerNorm norm_;
  nn::Linear classifier_;
};

std::unique_ptr<nn::Model> make_convnext(const Json& config, const Weights& weights) { return std::make_unique<ConvNext>(config, weights); }

}  // namespace

extern const ModelEntry model_convnext{"convnext", {"ConvNextForImageClassification", "ConvNextModel"}, make_convnext, "convnext.", {}, {}};

}  // namespace mynah
