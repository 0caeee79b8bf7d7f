#include "models/resnet_layers.h"

#include <cmath>

#include "base/require.h"
#include "models/maps.h"
#include "mynah/json.h"
#include "nn/batch_norm.h"
#include "nn/config.h"

namespace mynah {

using nn::Init;
using nn::Weights;

constexpr float kEps = 1e-5f;

ResNetConfig::ResNetConfig(const Json& c)
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

ResNetConfig ResNetConfig::of_timm(const std::string& name, int64_t num_channels) {
  const bool small = name == "resnet18" || name == "resnet34";
  Json c = {{"num_channels", num_channels}, {"layer_type", small ? "basic" : "bottleneck"}};
  if (small) c["hidden_sizes"] = {64, 128, 256, 512};
  if (name == "resnet18") c["depths"] = {2, 2, 2, 2};
  else if (name == "resnet34" || name == "resnet50") c["depths"] = {3, 4, 6, 3};
  else if (name == "resnet101") c["depths"] = {3, 4, 23, 3};
  else if (name == "resnet152") c["depths"] = {3, 8, 36, 3};
  else fail(ErrorCode::failure, "config.json: backbone \"{}\" is not known, expected resnet18, resnet34, resnet50, resnet101 or resnet152", name);
  return ResNetConfig(c);
}

ConvNorm::ConvNorm(const Weights& w, const std::string& convolution, const std::string& norm, int64_t in, int64_t out, int64_t kernel, int64_t stride_, int64_t dilation_,
                   bool trains_convolution, bool trains_norm)
    : stride(stride_), dilation(dilation_) {
  const auto value = [&](bool trains, const std::string& name, const Shape& shape, Init init) { return trains ? w.tensor(name, shape, init) : w.buffer(name, shape, init); };
  weight = value(trains_convolution, convolution + ".weight", {out, in, kernel, kernel}, Init::with_std(std::sqrt(2.0f / static_cast<float>(out * kernel * kernel))));
  scale = value(trains_norm, norm + ".weight", {out}, Init::ones());
  shift = value(trains_norm, norm + ".bias", {out}, Init::zeros());
  mean = w.buffer(norm + ".running_mean", {out}, Init::zeros());
  variance = w.buffer(norm + ".running_var", {out}, Init::ones());
  if (weight.requires_grad() || scale.requires_grad()) return;
  const auto [factor, summand] = ops::FoldedConv::of_norm(mean, variance, scale, shift, kEps);
  folded = std::make_shared<const ops::FoldedConv>(weight, factor, summand, config(), conv_numbers(w.matrices()));
}

ConvConfig ConvNorm::config() const {
  const int64_t padding = weight.size(2) / 2 * dilation;
  return {{stride, stride}, {padding, padding}, {dilation, dilation}};
}

Tensor ConvNorm::operator()(const Tensor& x, bool with_relu, const Tensor& added) const {
  if (folded && !x.requires_grad() && !(added.defined() && added.requires_grad())) return (*folded)(x, {.then = with_relu ? ops::ConvThen::relu : ops::ConvThen::nothing, .added = added});
  const Tensor y = nn::batch_norm(conv2d(x, weight, {}, config()), mean, variance, scale, shift, kEps);
  const Tensor z = added.defined() ? y + added : y;
  return with_relu ? relu(z) : z;
}

ResNetBody::Layer ResNetBody::layer(const ResNetConfig& c, const Weights& w, int64_t in, int64_t out, int64_t stride, int64_t first_dilation, int64_t dilation,
                                    const ResNetForm& form, bool trains) {
  Layer made;
  int64_t number = 0;
  const auto add = [&](int64_t from, int64_t to, int64_t kernel, int64_t step, int64_t spread) {
    const std::string i = std::to_string(++number);
    if (form.timm_names) made.convolutions.emplace_back(w, "conv" + i, "bn" + i, from, to, kernel, step, spread, trains, !form.frozen);
    else made.convolutions.emplace_back(w / "layer" / (number - 1), "convolution", "normalization", from, to, kernel, step, spread, trains, !form.frozen);
  };
  if (in != out || stride != 1) {
    if (form.timm_names) made.shortcut.emplace(w / "downsample", "0", "1", in, out, 1, stride, 1, trains, !form.frozen);
    else made.shortcut.emplace(w / "shortcut", "convolution", "normalization", in, out, 1, stride, 1, trains, !form.frozen);
  }
  if (c.bottleneck) {
    const int64_t reduced = out / 4;
    add(in, reduced, 1, c.downsample_in_bottleneck ? stride : 1, 1);
    add(reduced, reduced, 3, c.downsample_in_bottleneck ? 1 : stride, first_dilation);
    add(reduced, out, 1, 1, 1);
  } else {
    add(in, out, 3, stride, first_dilation);
    add(out, out, 3, 1, dilation);
  }
  return made;
}

Tensor ResNetBody::Layer::forward(const Tensor& x, Activation act) const {
  Tensor y = x;
  for (size_t i = 0; i + 1 < convolutions.size(); ++i) y = convolutions[i](y, true);
  y = convolutions.back()(y, act == Activation::relu, shortcut ? (*shortcut)(x) : x);
  return act == Activation::relu ? y : activate(y, act);
}

ResNetBody::ResNetBody(const ResNetConfig& c, const Weights& w, const ResNetForm& form) : config_(c) {
  if (form.timm_names) stem_.emplace(w, "conv1", "bn1", c.num_channels, c.embedding_size, 7, 2, 1, !form.frozen, !form.frozen);
  else stem_.emplace(w / "embedder" / "embedder", "convolution", "normalization", c.num_channels, c.embedding_size, 7, 2, 1, !form.frozen, !form.frozen);
  int64_t in = c.embedding_size;
  for (size_t s = 0; s < c.depths.size(); ++s) {
    const auto number = static_cast<int64_t>(s);
    const Weights stage = form.timm_names ? w / ("layer" + std::to_string(s + 1)) : w / "encoder" / "stages" / number / "layers";
    const bool trains = !form.frozen || s >= form.trained_from, spread = form.dilated && s + 1 == c.depths.size();
    stages_.emplace_back();
    for (int64_t i = 0; i < c.depths[s]; ++i) {
      const int64_t stride = i == 0 && (s > 0 || c.downsample_in_first_stage) && !spread ? 2 : 1;
      stages_.back().push_back(layer(c, stage / i, in, c.hidden_sizes[s], stride, spread && i > 0 ? 2 : 1, spread ? 2 : 1, form, trains));
      in = c.hidden_sizes[s];
    }
  }
}

std::vector<Tensor> ResNetBody::forward(const Tensor& pixels) const {
  const bool fused = config_.hidden_act == Activation::relu;
  const Tensor stem = (*stem_)(pixels, fused);
  Tensor x = max_pool2d(fused ? stem : activate(stem, config_.hidden_act), {3, 3}, {2, 2}, {1, 1});
  std::vector<Tensor> out{x};
  for (const auto& stage : stages_) {
    for (const Layer& layer : stage) x = layer.forward(x, config_.hidden_act);
    out.push_back(x);
  }
  return out;
}

}  // namespace mynah
