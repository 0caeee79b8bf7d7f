#include "bundle/image_processor.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/require.h"
#include "media/decoders.h"
#include "media/resize.h"
#include "nn/config.h"

namespace mynah::bundle {
namespace {

const Json kHalf = {0.5, 0.5, 0.5}, kImagenetMean = {0.485, 0.456, 0.406}, kImagenetStd = {0.229, 0.224, 0.225},
           kClipMean = {0.48145466, 0.4578275, 0.40821073}, kClipStd = {0.26862954, 0.26130258, 0.27577711};

Json square(int64_t side) { return {{"height", side}, {"width", side}}; }
Json shortest(int64_t side) { return {{"shortest_edge", side}}; }
Json defaults(const Json& size, int resample, const Json& mean, const Json& std, const Json& crop = nullptr) {
  return {{"do_resize", true},   {"size", size},         {"resample", resample},   {"do_center_crop", !crop.is_null()},
          {"crop_size", crop},   {"do_rescale", true},   {"rescale_factor", 1 / 255.0}, {"do_normalize", true},
          {"image_mean", mean},  {"image_std", std}};
}

// What each class of processor does when its file is silent.
Json defaults_of(const std::string& kind) {
  if (kind == "ViT") return defaults(square(224), 2, kHalf, kHalf);
  if (kind == "DeiT") return defaults(square(256), 3, kHalf, kHalf, square(224));
  if (kind == "Bit") return defaults(shortest(224), 3, kClipMean, kClipStd, square(224));
  if (kind == "Idefics") return defaults(square(224), 3, kClipMean, kClipStd);
  if (kind == "CLIP" || kind == "ChineseCLIP" || kind == "Llava") return defaults(shortest(224), 3, kClipMean, kClipStd, square(224));
  if (kind == "Donut") {
    Json d = defaults({{"height", 2560}, {"width", 1920}}, 2, kHalf, kHalf);
    d["do_thumbnail"] = d["do_pad"] = true;
    d["do_align_long_axis"] = false;
    return d;
  }
  if (kind == "VideoMAE") return defaults(shortest(224), 2, kHalf, kHalf, square(224));
  if (kind == "Siglip") return defaults(square(224), 3, kHalf, kHalf);
  if (kind == "Blip") return defaults(square(384), 3, kClipMean, kClipStd);
  if (kind == "Segformer") return defaults(square(512), 2, kImagenetMean, kImagenetStd);
  if (kind == "EfficientNet") {
    Json d = defaults(square(346), 0, kHalf, kHalf);
    d["crop_size"] = square(289);
    d["rescale_offset"] = false;
    d["include_top"] = true;
    return d;
  }
  if (kind == "DPT") return defaults(square(384), 3, kHalf, kHalf);
  if (kind == "ConvNext") {
    Json d = defaults(shortest(384), 2, kHalf, kHalf);
    d["crop_pct"] = 224.0 / 256;
    return d;
  }
  if (kind == "Detr" || kind == "Yolos") {
    Json d = defaults({{"shortest_edge", 800}, {"longest_edge", 1333}}, 2, kImagenetMean, kImagenetStd);
    d["do_pad"] = true;
    return d;
  }
  if (kind == "Yolox" || kind == "Yolo") {
    Json d = defaults(square(640), 2, kHalf, kHalf);
    d["do_normalize"] = false;
    d["do_rescale"] = kind == "Yolo";
    return d;
  }
  fail(ErrorCode::failure,
       "preprocessor_config.json: image processor \"{}\" is not known, expected ViT, DeiT, Bit, CLIP, Siglip, Blip, Segformer, ConvNext, Detr, Yolos, DPT, EfficientNet, Llava, "
       "Idefics, VideoMAE, Donut, Yolox or Yolo", kind);
}

// "CLIPImageProcessorFast", "ViTFeatureExtractor" -> "CLIP", "ViT"
std::string kind_of(const Json& config) {
  std::string name = nn::config_string(config, "image_processor_type", nn::config_string(config, "feature_extractor_type", "ViTImageProcessor"));
  for (const std::string_view ending : {"Fast", "ImageProcessor", "FeatureExtractor"})
    if (name.ends_with(ending)) name.resize(name.size() - ending.size());
  return name;
}

struct Size {
  int64_t height = 0, width = 0;
};

int64_t side(const Json& size, const char* key) {
  return nn::config_int(size, key, {}, 1, 1 << 16);
}

// A size whose shorter side is `edge`, the other following, its product cut.
Size by_shortest(const media::Image& image, int64_t edge) {
  const int64_t longer = static_cast<int64_t>(static_cast<double>(edge * std::max(image.width, image.height)) / static_cast<double>(std::min(image.width, image.height)));
  return image.width <= image.height ? Size{longer, edge} : Size{edge, longer};
}

// DETR's rule: the shorter side is `edge` unless the longer would pass `longest`. YOLOS keeps both multiples of 16.
Size by_both_edges(const media::Image& image, int64_t edge, int64_t longest, bool multiples) {
  const auto small = static_cast<double>(std::min(image.width, image.height)), large = static_cast<double>(std::max(image.width, image.height));
  double raw = 0;
  int64_t size = edge;
  if (large / small * static_cast<double>(edge) > static_cast<double>(longest)) {
    raw = static_cast<double>(longest) * small / large;
    size = static_cast<int64_t>(std::nearbyint(raw));
  }
  Size out{image.height, image.width};
  if (image.width < image.height) {
    out.width = size;
    out.height = static_cast<int64_t>(raw != 0 ? raw * static_cast<double>(image.height) / static_cast<double>(image.width)
                                               : static_cast<double>(size * image.height) / static_cast<double>(image.width));
  } else if (multiples || image.height < image.width || size != image.height) {
    out.height = size;
    out.width = static_cast<int64_t>(raw != 0 ? raw * static_cast<double>(image.width) / static_cast<double>(image.height)
                                              : static_cast<double>(size * image.width) / static_cast<double>(image.height));
  }
  if (multiples) {
    out.height -= out.height % 16;
    out.width -= out.width % 16;
  }
  return {std::max<int64_t>(out.height, 1), std::max<int64_t>(out.width, 1)};
}

// DPT's rule: sides that are multiples of a number; with the shape kept, whichever scale changes the picture less.
Size by_multiples(const media::Image& image, Size to, bool keep_shape, int64_t multiple) {
  const auto height = static_cast<double>(image.height), width = static_cast<double>(image.width);
  double down = static_cast<double>(to.height) / height, across = static_cast<double>(to.width) / width;
  if (keep_shape) {
    if (std::abs(1 - across) < std::abs(1 - down)) down = across;
    else across = down;
  }
  const auto rounded = [&](double size) {
    const auto whole = static_cast<int64_t>(std::nearbyint(size / static_cast<double>(multiple))) * multiple;
    return whole > 0 ? whole : static_cast<int64_t>(std::ceil(size / static_cast<double>(multiple))) * multiple;
  };
  return {std::max<int64_t>(rounded(down * height), 1), std::max<int64_t>(rounded(across * width), 1)};
}

media::Image center_crop(const media::Image& image, Size to) {
  // A picture smaller than the crop is centred in black, the larger border above and left.
  const auto start = [](int64_t have, int64_t want) { return have >= want ? (have - want) / 2 : -((want - have + 1) / 2); };
  return media::crop(image, start(image.width, to.width), start(image.height, to.height), to.width, to.height);
}

}  // namespace

ImageProcessor::ImageProcessor(const Json& config) : config_(config) {
  const std::string kind = kind_of(config);
  settings_ = defaults_of(kind);
  for (const auto& [key, value] : config.items())
    if (!value.is_null()) settings_[key] = value;
  settings_["kind"] = kind;
  require(kind != "DPT" || !nn::config_bool(settings_, "do_pad", false), "preprocessor_config.json: do_pad is not supported for DPT");
  pads_ = nn::config_bool(settings_, "do_pad", nn::config_bool(settings_, "pad_and_return_pixel_mask", false)) && (kind == "Detr" || kind == "Yolos");
  if (kind == "Idefics" && settings_.contains("image_size")) settings_["size"] = square(nn::config_int(settings_, "image_size"));
  // Old files give one number: the shorter edge for those that keep the shape, both sides otherwise.
  const Json& before = defaults_of(kind)["size"];
  Json& size = settings_["size"];
  if (size.is_number_integer()) {
    const int64_t edge = size.get<int64_t>();
    size = before.contains("shortest_edge") ? shortest(edge) : square(edge);
    if (before.contains("longest_edge")) size["longest_edge"] = nn::config_int(settings_, "max_size", 1333);
  } else if (size.is_array() && size.size() == 2) {
    size = {{"height", size[0]}, {"width", size[1]}};
  }
  if (settings_["crop_size"].is_number_integer()) settings_["crop_size"] = square(settings_["crop_size"].get<int64_t>());
  require(settings_["size"].is_object(), "preprocessor_config.json: size is {}, expected an object", settings_["size"].dump());
}

ImageProcessor ImageProcessor::changed(const Json& settings) const {
  Json config = config_;
  config.update(settings);
  return ImageProcessor(config);
}

bool ImageProcessor::letterboxes() const { return settings_["kind"] == "Yolox" || settings_["kind"] == "Yolo"; }

media::Letterbox ImageProcessor::letterbox(const media::Image& image) const {
  const Json& size = settings_["size"];
  return media::fit(image.width, image.height, side(size, "width"), side(size, "height"), settings_["kind"] == "Yolo");
}

int64_t ImageProcessor::square_side() const {
  const Json& size = settings_[nn::config_bool(settings_, "do_center_crop", false) ? "crop_size" : "size"];
  require(size.is_object() && size.contains("height") && size["height"] == size.value("width", Json()), "preprocessor_config.json: size is {}, expected a square", size.dump());
  return side(size, "height");
}

// The picture in the middle of a square of the mean colour.
media::Image ImageProcessor::squared(const media::Image& image) const {
  if (image.width == image.height) return image;
  const int64_t edge = std::max(image.width, image.height), left = (edge - image.width) / 2, top = (edge - image.height) / 2;
  std::array<uint8_t, 3> mean{};
  for (size_t c = 0; c < 3; ++c) mean[c] = static_cast<uint8_t>(settings_["image_mean"].at(c).get<double>() * 255);
  media::Image out{edge, edge, std::vector<uint8_t>(static_cast<size_t>(edge * edge * 3))};
  for (size_t i = 0; i < out.rgb.size(); ++i) out.rgb[i] = mean[i % 3];
  for (int64_t y = 0; y < image.height; ++y)
    std::copy_n(image.rgb.begin() + y * image.width * 3, image.width * 3, out.rgb.begin() + ((top + y) * edge + left) * 3);
  return out;
}

// Donut's pages: the long side laid along the frame's, made small enough for the frame and put into its middle.
media::Image ImageProcessor::framed(media::Image image) const {
  const Json& size = settings_["size"];
  const Size to{side(size, "height"), side(size, "width")};
  const bool lies = image.width > image.height, stands = image.width < image.height;
  if (nn::config_bool(settings_, "do_align_long_axis", false) && ((to.width < to.height && lies) || (to.width > to.height && stands))) image = media::turn(std::move(image), 6);
  if (nn::config_bool(settings_, "do_resize", true)) {
    const Size larger = by_shortest(image, std::min(to.height, to.width));
    image = media::resize(image, larger.width, larger.height, static_cast<media::Filter>(nn::config_int(settings_, "resample", 2, 0, 5)));
  }
  Size small{std::min(image.height, to.height), std::min(image.width, to.width)};
  if (nn::config_bool(settings_, "do_thumbnail", true) && (small.height != image.height || small.width != image.width)) {
    const auto follows = [](int64_t other, int64_t now, int64_t was) { return static_cast<int64_t>(static_cast<double>(other * now) / static_cast<double>(was)); };
    if (image.height > image.width) small.width = follows(image.width, small.height, image.height);
    else if (image.width > image.height) small.height = follows(image.height, small.width, image.width);
    image = media::resize(image, std::max<int64_t>(small.width, 1), std::max<int64_t>(small.height, 1), media::Filter::bicubic);
  }
  if (!nn::config_bool(settings_, "do_pad", true)) return image;
  return media::crop(image, -((to.width - image.width) / 2), -((to.height - image.height) / 2), to.width, to.height);
}

media::Image ImageProcessor::place(const media::Image& given) const {
  const Json& size = settings_["size"];
  const auto filter = static_cast<media::Filter>(nn::config_int(settings_, "resample", 2, 0, 5));
  const std::string kind = settings_["kind"];
  if (kind == "Donut") return framed(given);
  if (letterboxes()) return media::letterboxed(given, letterbox(given), side(size, "width"), side(size, "height"));
  const media::Image image = kind == "Llava" && nn::config_bool(settings_, "do_pad", false) ? squared(given) : given;
  media::Image out = image;
  if (nn::config_bool(settings_, "do_resize", true)) {
    if (kind == "ConvNext" && size.contains("shortest_edge")) {
      const int64_t edge = side(size, "shortest_edge");
      if (edge >= 384) return media::resize(image, edge, edge, filter);
      const Size larger = by_shortest(image, static_cast<int64_t>(static_cast<double>(edge) / nn::config_number(settings_, "crop_pct", 224.0 / 256)));
      return center_crop(media::resize(image, larger.width, larger.height, filter), {edge, edge});
    }
    Size to;
    if (kind == "DPT") to = by_multiples(image, {side(size, "height"), side(size, "width")}, nn::config_bool(settings_, "keep_aspect_ratio", false),
                                         nn::config_int(settings_, "ensure_multiple_of", 1));
    else if (size.contains("height")) to = {side(size, "height"), side(size, "width")};
    else if (size.contains("longest_edge") && size.contains("shortest_edge")) to = by_both_edges(image, side(size, "shortest_edge"), side(size, "longest_edge"), kind == "Yolos");
    else to = by_shortest(image, side(size, "shortest_edge"));
    out = media::resize(image, to.width, to.height, filter);
  }
  if (nn::config_bool(settings_, "do_center_crop", false)) {
    const Json& crop = settings_["crop_size"];
    out = crop.contains("height") ? center_crop(out, {side(crop, "height"), side(crop, "width")})
                                  : center_crop(out, {side(crop, "shortest_edge"), side(crop, "shortest_edge")});
  }
  return out;
}

nn::NamedTensors ImageProcessor::operator()(std::span<const media::Image> images) const {
  require(!images.empty(), "image processor: no images");
  std::vector<media::Image> placed;
  int64_t height = 0, width = 0;
  for (const media::Image& image : images) {
    placed.push_back(place(image));
    height = std::max(height, placed.back().height);
    width = std::max(width, placed.back().width);
  }
  for (const media::Image& image : placed)
    require(pads_ || (image.height == height && image.width == width), "image processor: images of {}x{} and {}x{} do not make one batch; give them one by one", image.width,
            image.height, width, height);
  const bool rescale = nn::config_bool(settings_, "do_rescale", true), normalize = nn::config_bool(settings_, "do_normalize", true);
  const double factor = rescale ? nn::config_number(settings_, "rescale_factor", 1 / 255.0) : 1;
  std::array<float, 3> mean{}, std{1, 1, 1};
  // EfficientNet may shift what it scaled, and with its top divides once more.
  const bool again = nn::config_bool(settings_, "include_top", false);
  for (size_t c = 0; (normalize || again) && c < 3; ++c) {
    const auto channel = [&](const char* key) {
      const Json& v = settings_[key];
      require((v.is_array() && v.size() == 3 && v[c].is_number()) || v.is_number(), "preprocessor_config.json: {} is {}, expected three numbers", key, v.dump());
      return v.is_number() ? v.get<float>() : v[c].get<float>();
    };
    mean[c] = channel("image_mean");
    std[c] = channel("image_std");
  }
  const float offset = rescale && nn::config_bool(settings_, "rescale_offset", false) ? 1.0f : 0.0f;
  const bool blue_first = settings_["kind"] == "Yolox";
  const auto count = static_cast<int64_t>(placed.size());
  Tensor pixels = Tensor::zeros({count, 3, height, width}), mask = Tensor::zeros({count, height, width});
  for (int64_t b = 0; b < count; ++b) {
    const media::Image& image = placed[static_cast<size_t>(b)];
    for (int64_t y = 0; y < image.height; ++y)
      for (int64_t x = 0; x < image.width; ++x) {
        mask.data<float>()[(b * height + y) * width + x] = 1;
        for (int64_t c = 0; c < 3; ++c) {
          const auto i = static_cast<size_t>(c);
          float value = static_cast<float>(image.rgb[static_cast<size_t>((y * image.width + x) * 3 + c)] * factor) - offset;
          if (normalize) value = (value - mean[i]) / std[i];
          const int64_t channel = blue_first ? 2 - c : c;
          pixels.data<float>()[((b * 3 + channel) * height + y) * width + x] = again ? value / std[i] : value;
        }
      }
  }
  nn::NamedTensors out{{"pixel_values", pixels}};
  if (pads_ && settings_["kind"] == "Detr") out["pixel_mask"] = mask;
  return out;
}

}  // namespace mynah::bundle
