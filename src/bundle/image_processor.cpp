#include "bundle/image_processor.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/require.h"
#include "media/decoders.h"
#include "media/resize.h"
#include "mynah/ops.h"
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
  if (kind == "Sam") {
    Json d = defaults({{"longest_edge", 1024}}, 2, kImagenetMean, kImagenetStd);
    d["do_pad"] = true;
    d["pad_size"] = square(1024);
    return d;
  }
  if (kind == "Qwen2VL") return defaults({{"shortest_edge", 56 * 56}, {"longest_edge", 28 * 28 * 1280}}, 3, kClipMean, kClipStd);
  if (kind == "Yolox" || kind == "Yolo") {
    Json d = defaults(square(640), 2, kHalf, kHalf);
    d["do_normalize"] = false;
    d["do_rescale"] = kind == "Yolo";
    return d;
  }
  fail(ErrorCode::failure,
       "preprocessor_config.json: image processor \"{}\" is not known, expected ViT, DeiT, Bit, CLIP, Siglip, Blip, Segformer, ConvNext, Detr, Yolos, DPT, EfficientNet, Llava, "
       "Idefics, VideoMAE, Donut, Qwen2VL, Sam, Yolox or Yolo", kind);
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

// Qwen2-VL's rule: sides that are multiples of `multiple`, and no fewer pixels than `least` nor more than `most`, the shape nearly kept.
Size by_area(const media::Image& image, int64_t multiple, int64_t least, int64_t most) {
  const auto height = static_cast<double>(image.height), width = static_cast<double>(image.width), unit = static_cast<double>(multiple);
  require(std::max(height, width) / std::min(height, width) <= 200, "image processor: a picture of {}x{} is too narrow, expected one side at most 200 times the other", image.width, image.height);
  Size to{static_cast<int64_t>(std::nearbyint(height / unit)) * multiple, static_cast<int64_t>(std::nearbyint(width / unit)) * multiple};
  if (to.height * to.width > most) {
    const double shrink = std::sqrt(height * width / static_cast<double>(most));
    to = {static_cast<int64_t>(std::floor(height / shrink / unit)) * multiple, static_cast<int64_t>(std::floor(width / shrink / unit)) * multiple};
  } else if (to.height * to.width < least) {
    const double grow = std::sqrt(static_cast<double>(least) / (height * width));
    to = {static_cast<int64_t>(std::ceil(height * grow / unit)) * multiple, static_cast<int64_t>(std::ceil(width * grow / unit)) * multiple};
  }
  return {std::max(to.height, multiple), std::max(to.width, multiple)};
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
  if (kind == "Sam") {
    if (!nn::config_bool(settings_, "do_resize", true)) return given;
    const double scale = static_cast<double>(side(size, "longest_edge")) / static_cast<double>(std::max(given.width, given.height));
    const auto rounded = [&](int64_t edge) { return std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(edge) * scale + 0.5)); };
    return media::resize(given, rounded(given.width), rounded(given.height), filter);
  }
  if (kind == "Qwen2VL") {
    const int64_t multiple = nn::config_int(settings_, "patch_size", 14, 1, 1024) * nn::config_int(settings_, "merge_size", 2, 1, 64);
    const auto pixels = [&](const char* own, const char* edge) { return nn::config_int(settings_, own, nn::config_int(size, edge)); };
    if (!nn::config_bool(settings_, "do_resize", true)) {
      require(given.width % multiple == 0 && given.height % multiple == 0, "image processor: a picture of {}x{}, expected sides that {} divides", given.width, given.height, multiple);
      return given;
    }
    const Size to = by_area(given, multiple, pixels("min_pixels", "shortest_edge"), pixels("max_pixels", "longest_edge"));
    return media::resize(given, to.width, to.height, filter);
  }
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

ImageProcessor::Levels ImageProcessor::levels() const {
  const bool rescale = nn::config_bool(settings_, "do_rescale", true), normalize = nn::config_bool(settings_, "do_normalize", true);
  const double factor = rescale ? nn::config_number(settings_, "rescale_factor", 1 / 255.0) : 1;
  // EfficientNet may shift what it scaled, and with its top divides once more.
  const bool again = nn::config_bool(settings_, "include_top", false);
  const float offset = rescale && nn::config_bool(settings_, "rescale_offset", false) ? 1.0f : 0.0f;
  Levels all{};
  for (size_t c = 0; c < 3; ++c) {
    const auto channel = [&](const char* key) {
      const Json& v = settings_[key];
      require((v.is_array() && v.size() == 3 && v[c].is_number()) || v.is_number(), "preprocessor_config.json: {} is {}, expected three numbers", key, v.dump());
      return v.is_number() ? v.get<float>() : v[c].get<float>();
    };
    const float mean = normalize || again ? channel("image_mean") : 0, std = normalize || again ? channel("image_std") : 1;
    for (size_t level = 0; level < 256; ++level) {
      float value = static_cast<float>(static_cast<double>(level) * factor) - offset;
      if (normalize) value = (value - mean) / std;
      all[c][level] = again ? value / std : value;
    }
  }
  return all;
}

// Pictures of any size as rows of patches: those of a merge x merge neighbourhood one after another, each a still of temporal_patch_size frames.
nn::NamedTensors ImageProcessor::patches(std::span<const media::Image> images) const {
  const int64_t patch = nn::config_int(settings_, "patch_size", 14, 1, 1024), frames = nn::config_int(settings_, "temporal_patch_size", 2, 1, 64),
                merge = nn::config_int(settings_, "merge_size", 2, 1, 64);
  const Levels level = levels();
  std::vector<int64_t> grid;
  std::vector<Tensor> rows;
  for (const media::Image& given : images) {
    const media::Image image = place(given);
    const int64_t height = image.height / patch, width = image.width / patch, plane = patch * patch;
    grid.insert(grid.end(), {1, height, width});
    Tensor all = Tensor::empty({height * width, 3 * frames * plane});
    float* to = all.data<float>();
    for (int64_t i = 0; i < height * width; ++i) {
      const int64_t inside = i % (merge * merge), block = i / (merge * merge), blocks = width / merge;
      const int64_t top = (block / blocks * merge + inside / merge) * patch, left = (block % blocks * merge + inside % merge) * patch;
      for (int64_t c = 0; c < 3; ++c)
        for (int64_t f = 0; f < frames; ++f)
          for (int64_t p = 0; p < plane; ++p)
            *to++ = level[static_cast<size_t>(c)][image.rgb[static_cast<size_t>(((top + p / patch) * image.width + left + p % patch) * 3 + c)]];
    }
    rows.push_back(all);
  }
  return {{"pixel_values", rows.size() == 1 ? rows[0] : cat(rows, 0)}, {"image_grid_thw", Tensor::from(std::span<const int64_t>(grid), {static_cast<int64_t>(images.size()), 3})}};
}

nn::NamedTensors ImageProcessor::operator()(std::span<const media::Image> images) const {
  require(!images.empty(), "image processor: no images");
  if (settings_["kind"] == "Qwen2VL") return patches(images);
  std::vector<media::Image> placed;
  int64_t height = 0, width = 0;
  for (const media::Image& image : images) {
    placed.push_back(place(image));
    height = std::max(height, placed.back().height);
    width = std::max(width, placed.back().width);
  }
  for (const media::Image& image : placed)
    require(pads_ || settings_["kind"] == "Sam" || (image.height == height && image.width == width), "image processor: images of {}x{} and {}x{} do not make one batch; give them one by one", image.width,
            image.height, width, height);
  const bool fills = settings_["kind"] == "Sam" && nn::config_bool(settings_, "do_pad", true);
  if (fills) {
    const Json& square = settings_["pad_size"];
    const Size to{side(square, "height"), side(square, "width")};
    require(height <= to.height && width <= to.width, "image processor: a picture of {}x{} does not fit into pad_size {}", width, height, square.dump());
    height = to.height;
    width = to.width;
  }
  const bool blue_first = settings_["kind"] == "Yolox", masked = pads_ && settings_["kind"] == "Detr";
  const Levels level = levels();
  const auto count = static_cast<int64_t>(placed.size());
  Tensor pixels = pads_ || fills ? Tensor::zeros({count, 3, height, width}) : Tensor::empty({count, 3, height, width});
  Tensor mask = masked ? Tensor::zeros({count, height, width}) : Tensor();
  for (int64_t b = 0; b < count; ++b) {
    const media::Image& image = placed[static_cast<size_t>(b)];
    for (int64_t y = 0; y < image.height; ++y) {
      const uint8_t* from = image.rgb.data() + y * image.width * 3;
      for (int64_t c = 0; c < 3; ++c) {
        const std::array<float, 256>& own = level[static_cast<size_t>(c)];
        float* to = pixels.data<float>() + ((b * 3 + (blue_first ? 2 - c : c)) * height + y) * width;
        for (int64_t x = 0; x < image.width; ++x) to[x] = own[from[3 * x + c]];
      }
      if (masked) std::fill_n(mask.data<float>() + (b * height + y) * width, image.width, 1.0f);
    }
  }
  nn::NamedTensors out{{"pixel_values", pixels}};
  if (masked) out["pixel_mask"] = mask;
  if (settings_["kind"] == "Sam") {
    const auto sizes = [&](std::span<const media::Image> all) {
      std::vector<int64_t> sides;
      for (const media::Image& image : all) sides.insert(sides.end(), {image.height, image.width});
      return Tensor::from(std::span<const int64_t>(sides), {count, 2});
    };
    out["original_sizes"] = sizes(images);
    out["reshaped_input_sizes"] = sizes(placed);
  }
  return out;
}

}  // namespace mynah::bundle
