#include "models/dpt_neck.h"


#include "base/require.h"
#include "mynah/json.h"
#include "nn/config.h"

namespace mynah {

using nn::Init;
using nn::Weights;

DptConfig::DptConfig(const Json& c, int64_t hidden_, std::string readout_type)
    : hidden(hidden_),
      fusion(nn::config_int(c, "fusion_hidden_size", 256, 2)),
      sizes(nn::config_ints(c, "neck_hidden_sizes", {96, 192, 384, 768})),
      readout(std::move(readout_type)),
      act(activation(nn::config_string(c, "hidden_act", "gelu"))),
      head_in_index(nn::config_int(c, "head_in_index", -1, -100, 100)),
      norms(nn::config_bool(c, "use_batch_norm_in_fusion_residual", false)),
      biases(nn::config_bool(c, "use_bias_in_fusion_residual", !norms)),
      initializer_range(static_cast<float>(nn::config_number(c, "initializer_range", 0.02))) {
  require(readout == "ignore" || readout == "add" || readout == "project", "config.json: readout_type is \"{}\", expected \"ignore\", \"add\" or \"project\"", readout);
  const Json given = c.contains("reassemble_factors") ? c["reassemble_factors"] : Json{4, 2, 1, 0.5};
  require(given.is_array() && given.size() == sizes.size(), "config.json: reassemble_factors is {}, expected {} numbers", given.dump(), sizes.size());
  for (const Json& factor : given) {
    require(factor.is_number() && factor.get<double>() > 0.001 && factor.get<double>() < 1000, "config.json: reassemble_factors has {}, expected a number above 0", factor.dump());
    factors.push_back(factor.get<double>());
  }
  const auto count = static_cast<int64_t>(sizes.size());
  require(head_in_index >= -count && head_in_index < count, "config.json: head_in_index is {}, there are {} maps", head_in_index, count);
  if (head_in_index < 0) head_in_index += count;
}

DptNeck::Residual::Residual(const DptConfig& c, const Weights& w)
    : first(w, "convolution1", c.fusion, c.fusion, 3, c.init(), 1, c.biases), second(w, "convolution2", c.fusion, c.fusion, 3, c.init(), 1, c.biases) {
  if (!c.norms) return;
  first_norm.emplace(w, "batch_norm1", c.fusion, 1e-5f);
  second_norm.emplace(w, "batch_norm2", c.fusion, 1e-5f);
}

Tensor DptNeck::Residual::operator()(const Tensor& x) const {
  Tensor y = first.same(relu(x));
  if (first_norm) y = (*first_norm)(y);
  y = second.same(relu(y));
  if (second_norm) y = (*second_norm)(y);
  return y + x;
}

DptNeck::Fusion::Fusion(const DptConfig& c, const Weights& w)
    : projection(w, "projection", c.fusion, c.fusion, 1, c.init()), outer(c, w / "residual_layer1"), inner(c, w / "residual_layer2") {}

DptNeck::DptNeck(const DptConfig& c, const Weights& w, bool doubles) : c_(c), doubles_(doubles) {
  const Weights stage = w / "reassemble_stage";
  for (size_t i = 0; i < c.sizes.size(); ++i) {
    const auto number = static_cast<int64_t>(i);
    const int64_t size = c.sizes[i];
    Reassembly r;
    if (c.readout == "project") r.readout.emplace(stage / "readout_projects" / number, "0", 2 * c.hidden, c.hidden, c.init());
    const Weights layer = stage / "layers" / number;
    r.projection = MapConvolution(layer, "projection", c.hidden, size, 1, c.init());
    if (c.factors[i] > 1) {
      r.step = static_cast<int64_t>(c.factors[i]);
      r.larger = (layer / "resize").tensor("weight", {size, size, r.step, r.step}, c.init());
      r.larger_bias = (layer / "resize").tensor("bias", {size}, Init::zeros());
    } else if (c.factors[i] < 1) {
      r.step = static_cast<int64_t>(1 / c.factors[i]);
      r.smaller = MapConvolution(layer, "resize", size, size, 3, c.init());
    }
    reassemblies_.push_back(std::move(r));
    convolutions_.emplace_back(w / "convs", std::to_string(i), size, c.fusion, 3, c.init(), 1, false);
    fusions_.emplace_back(c, w / "fusion_stage" / "layers" / number);
  }
}

Tensor DptNeck::reassembled(const Reassembly& r, const Tensor& tokens, int64_t height, int64_t width) const {
  const int64_t images = tokens.size(0), places = height * width;
  require(tokens.size(1) == places + 1, "forward: {} tokens for {}x{} patches and a class token", tokens.size(1), height, width);
  const Tensor first = narrow(tokens, 1, 0, 1);
  Tensor x = narrow(tokens, 1, 1, places);
  if (c_.readout == "add") x = x + first;
  if (r.readout) x = activate((*r.readout)(cat({x, expand(first, {images, places, c_.hidden})}, 2)), c_.act);
  const Tensor maps = r.projection.forward(maps_of(reshape(x, {images * places, c_.hidden}), {images, height, width}));
  if (r.larger.defined()) return conv_transpose2d(maps, r.larger, r.larger_bias, {{r.step, r.step}});
  return r.smaller.defined() ? r.smaller.forward(maps, {r.step, r.step}, {1, 1}) : maps;
}

std::vector<Tensor> DptNeck::forward(const std::vector<Tensor>& tokens, int64_t height, int64_t width) const {
  require(tokens.size() == c_.sizes.size(), "forward: the backbone gives {} layers for {} neck_hidden_sizes", tokens.size(), c_.sizes.size());
  std::vector<Tensor> maps, fused;
  for (size_t i = 0; i < tokens.size(); ++i) maps.push_back(convolutions_[i].same(reassembled(reassemblies_[i], tokens[i], height, width)));
  Tensor x;
  for (size_t i = 0; i < maps.size(); ++i) {
    const Fusion& f = fusions_[i];
    const Tensor& own = maps[maps.size() - 1 - i];
    if (x.defined()) {
      const bool same = x.size(2) == own.size(2) && x.size(3) == own.size(3);
      x = x + f.outer(same ? own : interpolate(own, x.size(2), x.size(3), Interpolation::bilinear));
    } else {
      x = own;
    }
    x = f.inner(x);
    const bool twice = doubles_ || i + 1 == maps.size();
    const Tensor& next = maps[twice ? 0 : maps.size() - 2 - i];
    x = f.projection.forward(twice ? resize_aligned(x, 2 * x.size(2), 2 * x.size(3)) : resize_aligned(x, next.size(2), next.size(3)));
    fused.push_back(x);
  }
  return fused;
}

}  // namespace mynah
