// mask-generation: the masks of everything in a picture, asked of SAM by a grid of points. As transformers 4.57's pipeline with its one crop,
// the whole picture (with more the reference fails).
#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/require.h"
#include "media/draw.h"
#include "mynah/autograd.h"
#include "mynah/ops.h"
#include "nn/config.h"
#include "tasks/options.h"
#include "tasks/pictures.h"
#include "tasks/scores.h"
#include "tasks/show.h"
#include "text/base64.h"

namespace mynah {
namespace {
namespace t = tasks;

struct MaskSettings {
  float quality, stability, threshold, offset, overlap;
  int64_t points, batch;
};

struct FoundMask {
  std::vector<int64_t> runs;  // COCO's lengths, which take little room: column by column, beginning with what is off
  float score;
  std::array<int64_t, 4> box;  // left, top, right, bottom, all included
};

// What a mask [h,w] of the network says of the picture's pixels: the square that the network saw, without filling, at the picture's size.
Tensor at_picture_size(const Tensor& mask, int64_t square_height, int64_t square_width, const int64_t* seen, const media::Image& picture) {
  const Tensor square = interpolate(reshape(mask, {1, 1, mask.size(0), mask.size(1)}), square_height, square_width, Interpolation::bilinear);
  return interpolate(contiguous(narrow(narrow(square, 2, 0, seen[0]), 3, 0, seen[1])), picture.height, picture.width, Interpolation::bilinear);
}

// Keeps a mask that is good enough and changes little where the threshold moves.
void take(const Tensor& mask, float score, const media::Image& picture, const MaskSettings& s, std::vector<FoundMask>* found) {
  const float* values = mask.data<float>();
  const int64_t pixels = picture.width * picture.height;
  if (s.stability > 0) {
    int64_t inside = 0, around = 0;
    for (int64_t i = 0; i < pixels; ++i) inside += values[i] > s.threshold + s.offset, around += values[i] > s.threshold - s.offset;
    if (around == 0 || !(static_cast<float>(inside) / static_cast<float>(around) > s.stability)) return;
  }
  FoundMask one{{}, score, {picture.width, picture.height, -1, -1}};
  bool now = false;
  int64_t length = 0;
  for (int64_t x = 0; x < picture.width; ++x)
    for (int64_t y = 0; y < picture.height; ++y, ++length) {
      const bool on = values[y * picture.width + x] > s.threshold;
      if (on) one.box = {std::min(one.box[0], x), std::min(one.box[1], y), std::max(one.box[2], x), std::max(one.box[3], y)};
      if (on == now) continue;
      one.runs.push_back(length);
      length = 0;
      now = on;
    }
  one.runs.push_back(length);
  if (one.box[2] < 0) one.box = {0, 0, 0, 0};
  found->push_back(std::move(one));
}

double overlap_of(const std::array<int64_t, 4>& a, const std::array<int64_t, 4>& b) {
  const auto area = [](const std::array<int64_t, 4>& x) { return static_cast<double>((x[2] - x[0]) * (x[3] - x[1])); };
  const std::array<int64_t, 4> both = {std::max(a[0], b[0]), std::max(a[1], b[1]), std::max(std::min(a[2], b[2]), std::max(a[0], b[0])), std::max(std::min(a[3], b[3]), std::max(a[1], b[1]))};
  return area(both) / (area(a) + area(b) - area(both));
}

// Best first, without those whose boxes overlap a better one's.
std::vector<FoundMask> apart(std::vector<FoundMask> all, float most) {
  std::stable_sort(all.begin(), all.end(), [](const FoundMask& a, const FoundMask& b) { return a.score > b.score; });
  std::vector<FoundMask> kept;
  for (FoundMask& one : all)
    if (std::none_of(kept.begin(), kept.end(), [&](const FoundMask& k) { return overlap_of(k.box, one.box) > most; })) kept.push_back(std::move(one));
  return kept;
}

// A byte a pixel, 0 or 255.
std::vector<uint8_t> pixels_of(const FoundMask& mask, const media::Image& picture) {
  std::vector<uint8_t> on(static_cast<size_t>(picture.width * picture.height));
  int64_t at = 0;
  for (size_t i = 0; i < mask.runs.size(); ++i)
    for (const int64_t end = at + mask.runs[i]; at < end; ++at)
      if (i % 2 == 1) on[static_cast<size_t>(at % picture.height * picture.width + at / picture.height)] = 255;
  return on;
}

std::vector<FoundMask> masks_in(const t::OpenTask& task, const media::Image& picture, const MaskSettings& s) {
  const nn::NamedTensors seen = (*task.image_processor)({&picture, 1});
  const auto sizes = seen.find("reshaped_input_sizes");
  require(sizes != seen.end(), "{}: {} does not look at pictures as SAM does", task.entry->name, task.bundle().architecture());
  const int64_t* inside = sizes->second.data<int64_t>();
  const int64_t height = seen.at("pixel_values").size(2), width = seen.at("pixel_values").size(3);
  nn::NamedTensors asked = {{"pixel_values", seen.at("pixel_values")}};
  std::vector<FoundMask> found;
  const int64_t count = s.points * s.points;
  for (int64_t first = 0; first < count; first += s.batch) {
    const int64_t now = std::min(s.batch, count - first);
    std::vector<float> points;
    for (int64_t i = first; i < first + now; ++i)
      for (const auto& [at, edge] : {std::pair(i % s.points, inside[1]), std::pair(i / s.points, inside[0])})
        points.push_back(static_cast<float>((static_cast<double>(at) + 0.5) / static_cast<double>(s.points) * static_cast<double>(edge)));
    asked["input_points"] = Tensor::from(std::span<const float>(points), {1, now, 1, 2});
    const nn::NamedTensors out = task.bundle().network->forward(asked, {});
    require(out.count("pred_masks") && out.count("iou_scores"), "{}: {} gives no masks of points; SAM does", task.entry->name, task.bundle().architecture());
    asked = {{"image_embeddings", out.at("image_embeddings")}};  // the picture is looked at once
    const Tensor &masks = out.at("pred_masks"), &scores = out.at("iou_scores");
    const int64_t each = masks.size(2), places = masks.size(3) * masks.size(4);
    const Tensor flat = reshape(masks, {now * each, places});
    for (int64_t i = 0; i < now * each; ++i) {
      const float score = scores.data<float>()[i];
      if (s.quality > 0 && !(score > s.quality)) continue;
      take(at_picture_size(reshape(select(flat, 0, i), {masks.size(3), masks.size(4)}), height, width, inside, picture), score, picture, s, &found);
    }
  }
  return apart(std::move(found), s.overlap);
}

std::vector<Json> run_mask_generation(const t::OpenTask& task, const std::vector<Json>& inputs, const Json& options) {
  NoGrad no_grad;
  const auto setting = [&](const char* name, double otherwise) { return static_cast<float>(t::number(options, name, otherwise)); };
  const MaskSettings s{setting("pred_iou_thresh", 0.88), setting("stability_score_thresh", 0.95), setting("mask_threshold", 0), setting("stability_score_offset", 1),
                       setting("crops_nms_thresh", 0.7), t::integer(options, "points_per_crop", 32, 1), t::integer(options, "points_per_batch", 64, 1)};
  if (s.points > 1024) fail(ErrorCode::usage, "mask-generation: points_per_crop is {}, expected at most 1024", s.points);
  if (t::integer(options, "crops_n_layers", 0, 0) != 0) fail(ErrorCode::usage, "mask-generation: crops_n_layers is {}, expected 0: only the whole picture is asked for", options["crops_n_layers"].dump());
  require(task.image_processor != nullptr, "mask-generation: the model does not say how it takes pictures");
  std::vector<Json> results;
  for (const Json& input : inputs) {
    const media::Image picture = t::read_picture(task, input);
    Json masks = Json::array(), scores = Json::array(), lengths = Json::array(), boxes = Json::array();
    for (const FoundMask& one : masks_in(task, picture, s)) {
      const auto png = media::encode_png(picture.width, picture.height, 1, pixels_of(one, picture).data());
      masks.push_back(text::encode_base64({reinterpret_cast<const char*>(png.data()), png.size()}));
      scores.push_back(one.score);
      lengths.push_back({{"size", {picture.height, picture.width}}, {"counts", one.runs}});
      boxes.push_back({one.box[0], one.box[1], one.box[2], one.box[3]});
    }
    Json result = {{"masks", masks}, {"scores", scores}};
    if (t::boolean(options, "output_rle_mask", false)) result["rle_mask"] = lengths;
    if (t::boolean(options, "output_bboxes_mask", false)) result["bounding_boxes"] = boxes;
    results.push_back(std::move(result));
  }
  return results;
}

media::Image mask_at(const Json& result, size_t i) {
  const auto bytes = text::decode_base64(result["masks"][i].get_ref<const std::string&>());
  return media::decode_image(std::as_bytes(std::span(*bytes)), "the mask");
}

std::string show_mask_generation(const Json& input, const Json& result, const t::Style& style) {
  const size_t count = result["masks"].size();
  std::string out = fmt::format("{}: {} mask{}\n", t::emphasised(t::picture_name(input), style), count, count == 1 ? "" : "s");
  for (size_t i = 0; i < count; ++i) {
    const media::Image mask = mask_at(result, i);
    const auto on = static_cast<double>(std::count(mask.rgb.begin(), mask.rgb.end(), 255)), all = static_cast<double>(mask.rgb.size());
    out += fmt::format("  {:.4f}  {:5.1f}% of the picture\n", result["scores"][i].get<double>(), 100 * on / all);
  }
  return out;
}

media::Image draw_mask_generation(media::Image picture, const Json& result) {
  for (size_t i = 0; i < result["masks"].size(); ++i) {
    const media::Image mask = mask_at(result, i);
    std::vector<uint8_t> on;
    for (size_t p = 0; p < mask.rgb.size(); p += 3) on.push_back(mask.rgb[p]);
    media::draw_mask(picture, on, media::color_of(std::to_string(i)));
  }
  return picture;
}

}  // namespace

extern const TaskEntry task_mask_generation{
    .name = "mask-generation",
    .help = "masks of everything in a picture",
    .input = "PICTURE",
    .heads = {nn::HeadKind::bare},
    .options = {{"points_per_crop", t::OptionType::integer, "points asked about in a row and in a column (32)"},
                {"points_per_batch", t::OptionType::integer, "points asked about at once (64)"},
                {"pred_iou_thresh", t::OptionType::number, "the least quality of a mask by the model's own word (0.88)"},
                {"stability_score_thresh", t::OptionType::number, "how much of a mask stays where the threshold moves (0.95)"},
                {"stability_score_offset", t::OptionType::number, "by how much it moves (1)"},
                {"mask_threshold", t::OptionType::number, "from where on a pixel counts as a mask's (0)"},
                {"crops_nms_thresh", t::OptionType::number, "the most overlap of two masks' boxes (0.7)"},
                {"crops_n_layers", t::OptionType::integer, "0: crops are not asked about"},
                {"output_rle_mask", t::OptionType::boolean, "run lengths of the masks too"},
                {"output_bboxes_mask", t::OptionType::boolean, "boxes around the masks too"},
                t::kImageOption,
                t::kTimeoutOption},
    .suggestion = "good ones to pull: facebook/sam-vit-base",
    .run = run_mask_generation,
    .inputs = t::picture_inputs,
    .show = show_mask_generation,
    .medium = t::Medium::picture,
    .draw = draw_mask_generation};

}  // namespace mynah
