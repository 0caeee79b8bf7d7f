// image-segmentation: the masks of things in a picture: a class for every pixel, or objects one by one.
#include <algorithm>
#include <cmath>
#include <set>
#include <span>

#include "base/require.h"
#include "media/draw.h"
#include "media/resize.h"
#include "mynah/autograd.h"
#include "mynah/ops.h"
#include "tasks/options.h"
#include "tasks/pictures.h"
#include "tasks/scores.h"
#include "tasks/show.h"
#include "text/base64.h"

namespace mynah {
namespace {
namespace t = tasks;

struct Thresholds {
  float score, mask, overlap;
};

// Class of each pixel of maps [L,h,w] brought to the picture's size; of equals the first.
std::vector<int32_t> classes_of_pixels(const Tensor& maps, const media::Image& picture) {
  const Tensor sized = contiguous(interpolate(maps, picture.height, picture.width, Interpolation::bilinear));
  const int64_t pixels = picture.height * picture.width, classes = sized.size(1);
  std::vector<int32_t> best(static_cast<size_t>(pixels), 0);
  const float* values = sized.data<float>();
  for (int64_t c = 1; c < classes; ++c)
    for (int64_t i = 0; i < pixels; ++i)
      if (values[c * pixels + i] > values[best[static_cast<size_t>(i)] * pixels + i]) best[static_cast<size_t>(i)] = static_cast<int32_t>(c);
  return best;
}

std::string mask_of(const std::vector<int32_t>& pixels, int32_t wanted, const media::Image& picture) {
  std::vector<uint8_t> mask;
  for (const int32_t x : pixels) mask.push_back(x == wanted ? 255 : 0);
  const auto png = media::encode_png(picture.width, picture.height, 1, mask.data());
  return text::encode_base64({reinterpret_cast<const char*>(png.data()), png.size()});
}

Json semantic(const t::OpenTask& task, const nn::NamedTensors& outputs, const media::Image& picture) {
  Tensor maps = outputs.at("logits");
  if (const auto masks = outputs.find("pred_masks"); masks != outputs.end()) {
    // Every query gives its classes to the pixels of its mask.
    const Tensor& m = masks->second;
    const Tensor classes = narrow(softmax(maps), 2, 0, maps.size(2) - 1);
    maps = reshape(matmul(transpose(classes, 1, 2), reshape(sigmoid(m), {m.size(0), m.size(1), m.size(2) * m.size(3)})), {m.size(0), classes.size(2), m.size(2), m.size(3)});
  }
  const std::vector<int32_t> pixels = classes_of_pixels(maps, picture);
  Json found = Json::array();
  for (const int32_t c : std::set<int32_t>(pixels.begin(), pixels.end()))
    found.push_back({{"score", nullptr}, {"label", t::label_name(task.bundle(), c)}, {"mask", mask_of(pixels, c, picture)}});
  return found;
}

// Queries that are sure of an object take the pixels where they weigh most; those that lose too many of theirs are left out.
Json objects(const t::OpenTask& task, const nn::NamedTensors& outputs, const media::Image& picture, const Thresholds& least) {
  const Tensor &logits = outputs.at("logits"), &masks = outputs.at("pred_masks");
  const std::vector<float> all = logits.to_vector();
  const auto classes = static_cast<size_t>(logits.size(2)), queries = static_cast<size_t>(logits.size(1));
  struct Kept {
    float score;
    int64_t label;
  };
  std::vector<Kept> kept;
  std::vector<int64_t> rows;
  for (size_t q = 0; q < queries; ++q) {
    const std::vector<float> chances = t::softmax({all.data() + q * classes, classes});
    const size_t best = t::argmax(chances);
    if (best + 1 == classes || !(chances[best] > least.score)) continue;
    kept.push_back({chances[best], static_cast<int64_t>(best)});
    rows.push_back(static_cast<int64_t>(q));
  }
  Json found = Json::array();
  if (kept.empty()) return found;
  const Tensor chosen = unsqueeze(index_rows(select(sigmoid(masks), 0, 0), rows), 0);
  const Tensor sized = contiguous(interpolate(chosen, picture.height, picture.width, Interpolation::bilinear));
  const auto pixels = static_cast<size_t>(picture.height * picture.width);
  const float* values = sized.data<float>();
  const auto weight = [&](size_t k, size_t i) { return values[k * pixels + i] * kept[k].score; };
  std::vector<int32_t> owner(pixels, 0);
  for (size_t i = 0; i < pixels; ++i)
    for (size_t k = 1; k < kept.size(); ++k)
      if (weight(k, i) > weight(static_cast<size_t>(owner[i]), i)) owner[i] = static_cast<int32_t>(k);
  for (size_t k = 0; k < kept.size(); ++k) {
    int64_t owned = 0, claimed = 0;
    for (size_t i = 0; i < pixels; ++i) {
      owned += owner[i] == static_cast<int32_t>(k);
      claimed += weight(k, i) >= least.mask;
    }
    if (owned == 0 || claimed == 0 || !(static_cast<float>(owned) / static_cast<float>(claimed) > least.overlap)) continue;
    found.push_back({{"score", std::round(static_cast<double>(kept[k].score) * 1e6) / 1e6},
                     {"label", t::label_name(task.bundle(), kept[k].label)},
                     {"mask", mask_of(owner, static_cast<int32_t>(k), picture)}});
  }
  return found;
}

std::vector<Json> run_image_segmentation(const t::OpenTask& task, const std::vector<Json>& inputs, const Json& options) {
  const auto least = [&](const char* name, double otherwise) { return static_cast<float>(t::number(options, name, otherwise)); };
  const Thresholds thresholds{least("threshold", 0.9), least("mask_threshold", 0.5), least("overlap_mask_area_threshold", 0.5)};
  const std::string subtask = t::text(options, "subtask").value_or("");
  if (!subtask.empty() && subtask != "semantic" && subtask != "instance" && subtask != "panoptic")
    fail(ErrorCode::usage, "image-segmentation: subtask is \"{}\", expected semantic, instance or panoptic", subtask);
  std::vector<Json> results;
  for (const Json& input : inputs) {
    const media::Image picture = t::read_picture(task, input);
    const nn::NamedTensors outputs = t::look(task, picture);
    const bool has_objects = outputs.count("pred_masks") != 0;
    if (!has_objects && !subtask.empty() && subtask != "semantic")
      fail(ErrorCode::usage, "image-segmentation: {} has no subtask \"{}\", expected semantic", task.bundle().architecture(), subtask);
    NoGrad no_grad;
    results.push_back(has_objects && subtask != "semantic" ? objects(task, outputs, picture, thresholds) : semantic(task, outputs, picture));
  }
  return results;
}

media::Image decoded(const Json& entry) {
  const auto bytes = text::decode_base64(entry["mask"].get_ref<const std::string&>());
  return media::decode_image(std::as_bytes(std::span(*bytes)), "the mask");
}

std::string show_image_segmentation(const Json& input, const Json& result, const t::Style& style) {
  std::string out = fmt::format("{}: {} mask{}\n", t::emphasised(t::picture_name(input), style), result.size(), result.size() == 1 ? "" : "s");
  for (const Json& entry : result) {
    const media::Image mask = decoded(entry);
    const auto on = static_cast<double>(std::count(mask.rgb.begin(), mask.rgb.end(), 255)), all = static_cast<double>(mask.rgb.size());
    out += fmt::format("  {}  {:5.1f}% of the picture  {}\n", entry["score"].is_null() ? "      " : fmt::format("{:.4f}", entry["score"].get<double>()), 100 * on / all,
                       entry["label"].get<std::string>());
  }
  return out;
}

// Small pictures are drawn some times as large.
media::Image draw_image_segmentation(media::Image picture, const Json& result) {
  std::vector<std::pair<size_t, const Json*>> labels;  // a place inside the mask
  for (const Json& entry : result) {
    const media::Image mask = decoded(entry);
    std::vector<uint8_t> on;
    std::vector<size_t> places;
    for (size_t i = 0; i < mask.rgb.size(); i += 3) {
      on.push_back(mask.rgb[i]);
      if (mask.rgb[i]) places.push_back(i / 3);
    }
    media::draw_mask(picture, on, media::color_of(entry["label"].get<std::string>()));
    if (!places.empty()) labels.emplace_back(places[places.size() / 2], &entry);
  }
  const int64_t width = picture.width, larger = media::readable_scale(picture);
  if (larger > 1) picture = media::resize(picture, width * larger, picture.height * larger, media::Filter::bicubic);
  const int64_t thickness = media::pen_width(picture);
  for (const auto& [place, entry] : labels) {
    const std::string& name = (*entry)["label"].get_ref<const std::string&>();
    const auto at = static_cast<int64_t>(place);
    media::draw_label(picture, at % width * larger, at / width * larger, name, thickness, media::color_of(name));
  }
  return picture;
}

}  // namespace

extern const TaskEntry task_image_segmentation{
    .name = "image-segmentation",
    .help = "masks of the things in a picture",
    .input = "PICTURE",
    .heads = {nn::HeadKind::image_segmentation},
    .options = {{"subtask", t::OptionType::text, "semantic, instance or panoptic; else what the model can"},
                {"threshold", t::OptionType::number, "the least score of an object (0.9)"},
                {"mask_threshold", t::OptionType::number, "from where on a pixel counts as an object's (0.5)"},
                {"overlap_mask_area_threshold", t::OptionType::number, "the least share of its pixels that an object keeps from others (0.5)"},
                t::kImageOption,
                t::kTimeoutOption},
    .suggestion = "good ones to pull: nvidia/segformer-b0-finetuned-ade-512-512, facebook/detr-resnet-50-panoptic",
    .run = run_image_segmentation,
    .inputs = t::picture_inputs,
    .show = show_image_segmentation,
    .medium = t::Medium::picture,
    .draw = draw_image_segmentation};

}  // namespace mynah
