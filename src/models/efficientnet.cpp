// EfficientNet: a convolutional network of narrow blocks that widen, filter every channel by itself, weigh the channels and narrow
// again. Paper: arXiv:1905.11946. Checkpoints: google/efficientnet-b0 to b7.
#include <algorithm>
#include <cmath>
#include <optional>

#include "base/require.h"
#include "models/maps.h"
#include "models/model_entry.h"
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

struct EfficientnetConfig {
  explicit EfficientnetConfig(const Json& c)
      : num_channels(nn::config_int(c, "num_channels", 3)),
        width(nn::config_number(c, "width_coefficient", 2.0)),
        depth(nn::config_number(c, "depth_coefficient", 3.1)),
        divisor(nn::config_int(c, "depth_divisor", 8)),
        kernels(nn::config_ints(c, "kernel_sizes", {3, 3, 5, 3, 5, 5, 3})),
        ins(nn::config_ints(c, "in_channels", {32, 16, 24, 40, 80, 112, 192})),
        outs(nn::config_ints(c, "out_channels", {16, 24, 40, 80, 112, 192, 320})),
        strides(nn::config_ints(c, "strides", {1, 2, 2, 2, 1, 2, 1})),
        repeats(nn::config_ints(c, "num_block_repeats", {1, 2, 2, 3, 3, 4, 1})),
        expansions(nn::config_ints(c, "expand_ratios", {1, 6, 6, 6, 6, 6, 6})),
        squeeze(nn::config_number(c, "squeeze_expansion_ratio", 0.25)),
        hidden(nn::config_int(c, "hidden_dim", 2560)),
        act(activation(nn::config_string(c, "hidden_act", "swish"))),
        eps(static_cast<float>(nn::config_number(c, "batch_norm_eps", 0.001))),
        momentum(static_cast<float>(nn::config_number(c, "batch_norm_momentum", 0.99))),
        initializer_range(static_cast<float>(nn::config_number(c, "initializer_range", 0.02))) {
    for (const auto* list : {&kernels, &outs, &strides, &repeats, &expansions})
      require(list->size() == ins.size(), "config.json: lists of {} and {} entries, expected one for each of the in_channels", list->size(), ins.size());
    for (const int64_t k : kernels) require(k % 2 == 1, "config.json: kernel_sizes has {}, expected odd numbers", k);
    for (const int64_t s : strides) require(s <= 2, "config.json: strides has {}, expected 1 or 2", s);
    require(hidden == rounded(1280), "config.json: hidden_dim is {}, width_coefficient makes {}", hidden, rounded(1280));
    const auto listed = c.find("depthwise_padding");
    for (const Json& number : listed != c.end() && listed->is_array() ? *listed : Json::array())
      if (number.is_number_integer()) padded_alike.push_back(number.get<int64_t>());
    const std::string pooling = nn::config_string(c, "pooling_type", "mean");
    require(pooling == "mean" || pooling == "max", "config.json: pooling_type is \"{}\", expected \"mean\" or \"max\"", pooling);
    pools_most = pooling == "max";
  }
  // A number of channels times the width, as a multiple of the divisor.
  int64_t rounded(int64_t channels) const {
    const double wide = static_cast<double>(channels) * width;
    int64_t out = std::max(divisor, static_cast<int64_t>(wide + static_cast<double>(divisor) / 2) / divisor * divisor);
    if (static_cast<double>(out) < 0.9 * wide) out += divisor;
    return out;
  }
  int64_t num_channels;
  double width, depth;
  int64_t divisor;
  std::vector<int64_t> kernels, ins, outs, strides, repeats, expansions, padded_alike;
  double squeeze;
  int64_t hidden;
  Activation act;
  float eps, momentum, initializer_range;
  bool pools_most = false;
  nn::Init init() const { return nn::Init::with_std(initializer_range); }
};

// A row of zeros below and a column on the right.
Tensor with_border(const Tensor& x) {
  const Tensor wide = cat({x, Tensor::zeros({x.size(0), x.size(1), x.size(2), 1})}, 3);
  return cat({wide, Tensor::zeros({x.size(0), x.size(1), 1, wide.size(3)})}, 2);
}

Tensor pooled(const Tensor& x, bool most) { return most ? amax(amax(x, 3), 2) : mean(mean(x, 3), 2); }

struct EfficientnetBlock {
  EfficientnetBlock(const EfficientnetConfig& c, const Weights& w, int64_t in, int64_t out, int64_t stride_, int64_t kernel, int64_t expansion, bool adds_, bool alike, float drop_)
      : stride(stride_), adds(adds_), border(stride == 2 && !alike), act(c.act), drop(drop_) {
    const int64_t inner = in * expansion;
    if (expansion != 1) {
      expand = MapConvolution(w / "expansion", "expand_conv", in, inner, 1, c.init(), 1, false);
      expand_norm = MapNorm(w / "expansion", "expand_bn", inner, c.eps, c.momentum);
    }
    depthwise = MapConvolution(w / "depthwise_conv", "depthwise_conv", inner, inner, kernel, c.init(), inner, false);
    depthwise_norm = MapNorm(w / "depthwise_conv", "depthwise_norm", inner, c.eps, c.momentum);
    const int64_t few = std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(in) * c.squeeze));
    reduce = MapConvolution(w / "squeeze_excite", "reduce", inner, few, 1, c.init());
    widen = MapConvolution(w / "squeeze_excite", "expand", few, inner, 1, c.init());
    project = MapConvolution(w / "projection", "project_conv", inner, out, 1, c.init(), 1, false);
    project_norm = MapNorm(w / "projection", "project_bn", out, c.eps, c.momentum);
  }
  Tensor forward(const Tensor& x) const {
    Tensor y = expand.defined() ? activate(expand_norm(expand.forward(x)), act) : x;
    const int64_t padding = depthwise.weight.size(2) / 2 - (border ? 1 : 0);
    y = activate(depthwise_norm(depthwise.forward(border ? with_border(y) : y, {stride, stride}, {padding, padding})), act);
    const Tensor means = reshape(mean(mean(y, 3), 2), {y.size(0), y.size(1), 1, 1});
    y = y * sigmoid(widen.forward(activate(reduce.forward(means), act)));
    y = project_norm(project.forward(y));
    return adds ? nn::dropout(y, drop) + x : y;
  }

  int64_t stride;
  bool adds, border;
  Activation act;
  float drop;  // while training
  MapConvolution expand, depthwise, reduce, widen, project;
  MapNorm expand_norm, depthwise_norm, project_norm;
};

class EfficientNet : public nn::VisionModel {
 public:
  EfficientNet(const Json& json, const Weights& weights) : VisionModel(json), c_(json) {
    const Weights w = weights / "efficientnet", encoder = w / "encoder";
    const int64_t first = c_.rounded(32);
    stem_ = MapConvolution(w / "embeddings", "convolution", c_.num_channels, first, 3, c_.init(), 1, false);
    stem_norm_ = MapNorm(w / "embeddings", "batchnorm", first, c_.eps, c_.momentum);
    int64_t number = 0, all = 0, out = first;
    const auto count_of = [&](size_t i) { return static_cast<int64_t>(std::ceil(c_.depth * static_cast<double>(c_.repeats[i]))); };
    for (size_t i = 0; i < c_.ins.size(); ++i) all += count_of(i);
    const float connect = nn::dropout_rate(json, "drop_connect_rate", 0.2);
    drop_ = nn::dropout_rate(json, "dropout_rate", 0.5);
    for (size_t i = 0; i < c_.ins.size(); ++i) {
      int64_t in = c_.rounded(c_.ins[i]);
      out = c_.rounded(c_.outs[i]);
      const int64_t count = count_of(i);
      for (int64_t j = 0; j < count; ++j, ++number) {
        const int64_t stride = j > 0 ? 1 : c_.strides[i];
        const bool alike = std::find(c_.padded_alike.begin(), c_.padded_alike.end(), number) != c_.padded_alike.end();
        blocks_.emplace_back(c_, encoder / "blocks" / number, j > 0 ? out : in, out, stride, c_.kernels[i], c_.expansions[i], stride == 1 && j > 0, alike,
                             connect * static_cast<float>(number) / static_cast<float>(all));
      }
    }
    top_ = MapConvolution(encoder, "top_conv", out, c_.hidden, 1, c_.init(), 1, false);
    top_norm_ = MapNorm(encoder, "top_bn", c_.hidden, c_.eps, c_.momentum);
    if (kind() == HeadKind::image_classification) classifier_ = nn::Linear(weights, "classifier", c_.hidden, nn::label_count(json), c_.init());
  }

 protected:
  nn::NamedTensors look(const Tensor& pixels, bool, std::vector<Tensor>* states) const override {
    Tensor x = activate(stem_norm_(stem_.forward(with_border(pixels), {2, 2})), c_.act);
    if (states) states->push_back(x);
    for (const EfficientnetBlock& block : blocks_) {
      x = block.forward(x);
      if (states) states->push_back(x);
    }
    x = activate(top_norm_(top_.forward(x)), c_.act);
    const Tensor all = pooled(x, c_.pools_most);
    if (classifier_.defined()) return {{"logits", classifier_(nn::dropout(all, drop_))}};
    return {{"last_hidden_state", x}, {"pooler_output", all}};
  }
  int64_t channels() const override { return c_.num_channels; }

 private:
  EfficientnetConfig c_;
  MapConvolution stem_, top_;
  MapNorm stem_norm_, top_norm_;
  std::vector<EfficientnetBlock> blocks_;
  nn::Linear classifier_;
  float drop_ = 0;  // before the classifier, while training
};

std::unique_ptr<nn::Model> make_efficientnet(const Json& config, const Weights& weights) { return std::make_unique<EfficientNet>(config, weights); }

}  // namespace

extern const ModelEntry model_efficientnet{
    "efficientnet", {"EfficientNetForImageClassification", "EfficientNetModel"}, make_efficientnet, "efficientnet.", {".num_batches_tracked"}, {}};

}  // namespace mynah
