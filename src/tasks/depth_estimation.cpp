// depth-estimation: how far every pixel of a picture is.
#include <algorithm>
#include <span>

#include "base/require.h"
#include "mynah/autograd.h"
#include "mynah/ops.h"
#include "tasks/nested.h"
#include "tasks/pictures.h"
#include "tasks/show.h"
#include "text/base64.h"

namespace mynah {
namespace {
namespace t = tasks;

// The nearest black or white, as the model counts, and everything else between.
std::string grey_picture(const std::vector<float>& depth, const media::Image& picture) {
  const auto [low, high] = std::minmax_element(depth.begin(), depth.end());
  std::vector<uint8_t> grey;
  for (const float d : depth) grey.push_back(*high > *low ? static_cast<uint8_t>((d - *low) / (*high - *low) * 255) : 0);
  const auto png = media::encode_png(picture.width, picture.height, 1, grey.data());
  return text::encode_base64({reinterpret_cast<const char*>(png.data()), png.size()});
}

std::vector<Json> run_depth_estimation(const t::OpenTask& task, const std::vector<Json>& inputs, const Json&) {
  std::vector<Json> results;
  for (const Json& input : inputs) {
    const media::Image picture = t::read_picture(task, input);
    const Tensor depth = t::look(task, picture).at("predicted_depth");
    NoGrad no_grad;
    const Tensor sized = reshape(interpolate(unsqueeze(depth, 1), picture.height, picture.width, Interpolation::bicubic), {picture.height, picture.width});
    const std::vector<float> values = sized.to_vector();
    for (const float d : values) require(d == d, "depth-estimation: the model gives a depth that is no number");
    results.push_back({{"predicted_depth", t::nested(sized)}, {"depth", grey_picture(values, picture)}});
  }
  return results;
}

std::string show_depth_estimation(const Json& input, const Json& result, const t::Style& style) {
  const Json& rows = result["predicted_depth"];
  double low = rows[0][0].get<double>(), high = low;
  for (const Json& row : rows)
    for (const Json& d : row) {
      low = std::min(low, d.get<double>());
      high = std::max(high, d.get<double>());
    }
  return fmt::format("{}: {} x {} depths from {:.4f} to {:.4f}; --save FILE draws them\n", t::emphasised(t::picture_name(input), style), rows[0].size(), rows.size(), low, high);
}

media::Image draw_depth_estimation(media::Image, const Json& result) {
  const auto bytes = text::decode_base64(result["depth"].get_ref<const std::string&>());
  return media::decode_image(std::as_bytes(std::span(*bytes)), "the depth");
}

}  // namespace

extern const TaskEntry task_depth_estimation{
    .name = "depth-estimation",
    .help = "how far every pixel of a picture is",
    .input = "PICTURE",
    .heads = {nn::HeadKind::depth_estimation},
    .options = {t::kImageOption, t::kTimeoutOption},
    .suggestion = "good ones to pull: Intel/dpt-large, depth-anything/Depth-Anything-V2-Small-hf",
    .run = run_depth_estimation,
    .inputs = t::picture_inputs,
    .show = show_depth_estimation,
    .medium = t::Medium::picture,
    .draw = draw_depth_estimation};

}  // namespace mynah
