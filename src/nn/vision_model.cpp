#include "nn/vision_model.h"

#include <algorithm>
#include <cmath>

#include "base/require.h"
#include "mynah/ops.h"
#include "nn/config.h"
#include "nn/losses.h"

namespace mynah::nn {

NamedTensors VisionModel::forward(const NamedTensors& inputs, const ForwardOptions& options) const {
  const Inputs in(inputs, {"pixel_values", "labels", "interpolate_pos_encoding"});
  const Tensor pixels = in.floats("pixel_values", {-1, channels(), -1, -1});
  const bool interpolate = in.flag("interpolate_pos_encoding");
  std::vector<Tensor> states;
  NamedTensors out = look(pixels, interpolate, options.hidden_states ? &states : nullptr);
  for (size_t i = 0; i < states.size(); ++i) out["hidden_states." + std::to_string(i)] = states[i];
  if (in.has("labels") && kind_ == HeadKind::image_classification) out["loss"] = classification_loss(config_, out.at("logits"), in);
  if (in.has("labels") && kind_ == HeadKind::image_segmentation) {
    out["loss"] = segmentation_loss(config_, out.at("logits"), in);
    if (const auto auxiliary = out.find("auxiliary_logits"); auxiliary != out.end())
      out["loss"] = out["loss"] + segmentation_loss(config_, auxiliary->second, in) * static_cast<float>(config_number(config_, "auxiliary_loss_weight", 0.4));
  }
  return out;
}

Tensor patch_rows(const Tensor& pixels, const Tensor& weight, const Tensor& bias) {
  require(pixels.size(2) >= weight.size(2) && pixels.size(3) >= weight.size(3), "forward: pixel_values {} is smaller than a patch of {}x{}", pixels.shape().str(),
          weight.size(2), weight.size(3));
  const Tensor planes = conv2d(pixels, weight, bias, {{weight.size(2), weight.size(3)}});  // [B,O,h,w]
  const int64_t batch = planes.size(0), outputs = planes.size(1), places = planes.size(2) * planes.size(3);
  return reshape(transpose(reshape(planes, {batch, outputs, places}), 1, 2), {batch * places, outputs});
}

namespace {

// Cubic weights [out, in] of the places of `out` patches among `in`, with the reference's a = -0.75.
std::vector<float> cubic_weights(int64_t in, int64_t out, float excess) {
  const auto weight = [](float d) {
    constexpr float a = -0.75f;
    d = std::abs(d);
    return d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0.0f;
  };
  std::vector<float> all(static_cast<size_t>(out * in), 0.0f);
  for (int64_t i = 0; i < out; ++i) {
    const float place = (static_cast<float>(i) + 0.5f) * static_cast<float>(in) / (static_cast<float>(out) + excess) - 0.5f;
    const auto first = static_cast<int64_t>(std::floor(place));
    for (int64_t k = first - 1; k <= first + 2; ++k)
      all[static_cast<size_t>(i * in + std::clamp<int64_t>(k, 0, in - 1))] += weight(place - static_cast<float>(k));
  }
  return all;
}

}  // namespace

Tensor resize_positions(const Tensor& table, std::array<int64_t, 2> grid, int64_t height, int64_t width, float excess) {
  require(grid[0] * grid[1] == table.size(0), "forward: a position table of {} places for {}x{} patches", table.size(0), grid[0], grid[1]);
  const int64_t c = table.size(1);
  if (excess != 0) {
    // One matrix for both directions; its gradient comes from the product.
    const auto rows = cubic_weights(grid[0], height, excess), columns = cubic_weights(grid[1], width, excess);
    Tensor both = Tensor::empty({height * width, grid[0] * grid[1]});
    float* to = both.data<float>();
    for (int64_t y = 0; y < height; ++y)
      for (int64_t x = 0; x < width; ++x)
        for (int64_t v = 0; v < grid[0]; ++v)
          for (int64_t u = 0; u < grid[1]; ++u) *to++ = rows[static_cast<size_t>(y * grid[0] + v)] * columns[static_cast<size_t>(x * grid[1] + u)];
    return matmul(both, table);
  }
  const Tensor planes = reshape(transpose(table, 0, 1), {1, c, grid[0], grid[1]});
  return transpose(reshape(interpolate(planes, height, width, Interpolation::bicubic), {c, height * width}), 0, 1);
}

}  // namespace mynah::nn
