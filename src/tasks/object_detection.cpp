// object-detection: boxes of the objects in a picture and what they are.
#include <algorithm>
#include <cmath>

#include "base/require.h"
#include "media/draw.h"
#include "media/resize.h"
#include "nn/config.h"
#include "tasks/candidates.h"
#include "tasks/options.h"
#include "tasks/picture_results.h"
#include "tasks/pictures.h"
#include "tasks/scores.h"
#include "tasks/show.h"

namespace mynah {
namespace {
namespace t = tasks;

// The most probable class of each query that is not the last, "no object", and its box in the picture.
std::vector<t::FoundObject> set_detections(const nn::NamedTensors& outputs, const media::Image& picture, float threshold) {
  const Tensor& logits = outputs.at("logits");
  const std::vector<float> all = logits.to_vector(), boxes = outputs.at("pred_boxes").to_vector();
  const auto classes = static_cast<size_t>(logits.size(2)), queries = static_cast<size_t>(logits.size(1));
  const auto width = static_cast<float>(picture.width), height = static_cast<float>(picture.height);
  std::vector<t::FoundObject> found;
  for (size_t q = 0; q < queries; ++q) {
    const std::vector<float> chances = t::softmax({all.data() + q * classes, classes});
    const size_t best = t::argmax({chances.data(), classes - 1});
    if (!(chances[best] > threshold)) continue;
    const float *b = boxes.data() + q * 4, half_width = 0.5f * b[2], half_height = 0.5f * b[3];
    found.push_back({chances[best], static_cast<int64_t>(best), {(b[0] - half_width) * width, (b[1] - half_height) * height, (b[0] + half_width) * width, (b[1] + half_height) * height}});
  }
  return found;
}

int64_t whole(double x) { return static_cast<int64_t>(x); }

// Boxes of detectors that give many: the best class of each, without those that overlap a better one of their class.
std::vector<t::FoundObject> dense_detections(const t::OpenTask& task, const nn::NamedTensors& outputs, const media::Image& picture, float threshold, float overlap) {
  const std::vector<float> boxes = outputs.at("pred_boxes").to_vector(), scores = outputs.at("scores").to_vector();
  const auto count = static_cast<size_t>(outputs.at("pred_boxes").size(1)), classes = static_cast<size_t>(outputs.at("scores").size(2));
  std::vector<t::Candidate> all;
  for (size_t i = 0; i < count; ++i) {
    const size_t best = t::argmax({scores.data() + i * classes, classes});
    const float* box = boxes.data() + i * 4;
    const bool finite = std::all_of(box, box + 4, [](float x) { return std::isfinite(x); });
    if (finite && scores[i * classes + best] > threshold) all.push_back({scores[i * classes + best], static_cast<int64_t>(best), {box[0], box[1], box[2], box[3]}});
  }
  const media::Letterbox place = task.image_processor->letterbox(picture);
  const auto back = [&](float x, int64_t start, int64_t most) { return std::clamp((static_cast<double>(x) - static_cast<double>(start)) / place.ratio, 0.0, static_cast<double>(most)); };
  std::vector<t::FoundObject> found;
  for (const t::Candidate& c : t::without_overlaps(std::move(all), overlap)) {
    const std::array<double, 4> b = {back(c.box[0], place.left, picture.width), back(c.box[1], place.top, picture.height), back(c.box[2], place.left, picture.width),
                                     back(c.box[3], place.top, picture.height)};
    if (whole(b[2]) <= whole(b[0]) || whole(b[3]) <= whole(b[1])) continue;  // outside, or thinner than a pixel
    found.push_back({c.score, c.label, b});
  }
  return found;
}

std::vector<Json> run_object_detection(const t::OpenTask& task, const std::vector<Json>& inputs, const Json& options) {
  std::vector<Json> results;
  for (const Json& input : inputs) results.push_back(t::objects_in(task, t::read_picture(task, input), options));
  return results;
}

std::string show_object_detection(const Json& input, const Json& result, const t::Style& style) {
  std::string out = fmt::format("{}: {} object{}\n", t::emphasised(t::picture_name(input), style), result.size(), result.size() == 1 ? "" : "s");
  size_t widest = 5;
  for (const Json& entry : result) widest = std::max(widest, entry["label"].get_ref<const std::string&>().size());
  if (!result.empty()) out += t::dimmed(fmt::format("   score  {:<{}}  {:>6} {:>6} {:>6} {:>6}\n", "label", widest, "left", "top", "right", "bottom"), style);
  for (const Json& entry : result) {
    const Json& box = entry["box"];
    out += fmt::format("  {:.4f}  {:<{}}  {:>6} {:>6} {:>6} {:>6}\n", entry["score"].get<double>(), entry["label"].get<std::string>(), widest, box["xmin"].get<int64_t>(),
                       box["ymin"].get<int64_t>(), box["xmax"].get<int64_t>(), box["ymax"].get<int64_t>());
  }
  return out;
}

// The bottom of a label on top of a box, or below it as far as other labels need.
int64_t free_place(const media::Image& picture, const std::vector<media::Box>& others, const media::Box& box, const std::string& text, int64_t scale) {
  int64_t bottom = box.top;
  for (int tries = 0; tries < 16; ++tries) {
    const media::Box place = media::label_place(picture, box.left, bottom, text, scale);
    const auto covers = [&](const media::Box& other) { return other.left <= place.right && place.left <= other.right && other.top <= place.bottom && place.top <= other.bottom; };
    const auto found = std::find_if(others.begin(), others.end(), covers);
    if (found == others.end()) return bottom;
    bottom = found->bottom + 1 + (place.bottom - place.top + 1);
  }
  return box.top;
}

// Small pictures are drawn some times as large. Edges of boxes that lie outside are drawn along the picture's.
media::Image draw_object_detection(media::Image picture, const Json& result) {
  const int64_t larger = media::readable_scale(picture);
  if (larger > 1) picture = media::resize(picture, picture.width * larger, picture.height * larger, media::Filter::bicubic);
  const int64_t thickness = media::pen_width(picture);
  const auto boxed = [&](const Json& box) -> media::Box {
    const auto at = [&](const char* key, int64_t size, int64_t shift) { return std::clamp<int64_t>(box[key].get<int64_t>() * larger + shift, 0, size - 1); };
    return {at("xmin", picture.width, 0), at("ymin", picture.height, 0), at("xmax", picture.width, -1), at("ymax", picture.height, -1)};
  };
  for (const Json& entry : result) media::draw_frame(picture, boxed(entry["box"]), thickness, media::color_of(entry["label"].get_ref<const std::string&>()));
  std::vector<media::Box> labels;
  for (const Json& entry : result) {  // over all frames
    const std::string& label = entry["label"].get_ref<const std::string&>();
    const media::Box box = boxed(entry["box"]);
    const std::string text = fmt::format("{} {:.0f}%", label, 100 * entry["score"].get<double>());
    const int64_t bottom = free_place(picture, labels, box, text, thickness);
    labels.push_back(media::label_place(picture, box.left, bottom, text, thickness));
    media::draw_label(picture, box.left, bottom, text, thickness, media::color_of(label));
  }
  return picture;
}

}  // namespace

std::vector<tasks::FoundObject> tasks::found_objects(const OpenTask& task, const media::Image& picture, const Json& options) {
  const Json& config = task.bundle().config;
  const auto threshold = static_cast<float>(number(options, "threshold", nn::config_number(config, "score_threshold", 0.5)));
  const auto overlap = static_cast<float>(number(options, "iou_threshold", nn::config_number(config, "iou_threshold", 0.45)));
  const nn::NamedTensors outputs = look(task, picture);
  return outputs.count("scores") ? dense_detections(task, outputs, picture, threshold, overlap) : set_detections(outputs, picture, threshold);
}

Json tasks::objects_in(const OpenTask& task, const media::Image& picture, const Json& options) {
  Json found = Json::array();
  for (const FoundObject& o : found_objects(task, picture, options))
    found.push_back({{"score", o.score},
                     {"label", label_name(task.bundle(), o.label)},
                     {"box", {{"xmin", whole(o.box[0])}, {"ymin", whole(o.box[1])}, {"xmax", whole(o.box[2])}, {"ymax", whole(o.box[3])}}}});
  return found;
}

extern const TaskEntry task_object_detection{
    .name = "object-detection",
    .help = "boxes of the objects in a picture",
    .input = "PICTURE",
    .heads = {nn::HeadKind::object_detection},
    .options = {{"threshold", t::OptionType::number, "the least score of an object (0.5; YOLO 0.25, YOLOX 0.3)"},
                {"iou_threshold", t::OptionType::number, "YOLO: how much boxes of one class may overlap (0.45; v8 0.7)"},
                t::kImageOption, t::kTimeoutOption},
    .suggestion = "good ones to pull: facebook/detr-resnet-50, hustvl/yolos-tiny",
    .run = run_object_detection,
    .inputs = t::picture_inputs,
    .show = show_object_detection,
    .medium = t::Medium::picture,
    .draw = draw_object_detection};

}  // namespace mynah
