// video-classification: which label fits a video, from frames of it.
#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/require.h"
#include "media/animation.h"
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
namespace fs = std::filesystem;

constexpr int64_t kMostFrames = 4096;

// Takes the frames of a file, or of bytes in base64, until `take` returns false.
void for_each_frame_of(const Json& input, double rate, const media::TakeFrame& take) {
  if (!input.is_string()) fail(ErrorCode::failure, "video-classification: an input is {}, expected the path of a video", input.dump());
  const std::string& text = input.get_ref<const std::string&>();
  if (text.starts_with("http://") || text.starts_with("https://")) fail(ErrorCode::usage, "video-classification: {}: videos are not fetched; download it and give its path", text);
  std::error_code error;
  const size_t comma = text.starts_with("data:") ? text.find(',') : std::string::npos;
  if (comma == std::string::npos || fs::exists(text, error)) return media::for_each_frame(text, rate, take);
  const auto bytes = text::decode_base64(std::string_view(text).substr(comma + 1));
  if (!bytes) fail(ErrorCode::failure, "video-classification: the video is not base64");
  const auto all = std::as_bytes(std::span(*bytes));
  if (!media::is_animated_webp(all)) fail(ErrorCode::failure, "video-classification: of videos that are no files, animated WebP is read; give a path");
  media::decode_animation(all, "the video", take);
}

// Frames 0, r, 2r ... as the reference chooses them: `count` places that lie evenly on 0 .. count * r - 1.
std::vector<int64_t> places(int64_t count, int64_t rate) {
  const int64_t last = count * rate - 1;
  std::vector<int64_t> all;
  for (int64_t i = 0; i < count; ++i) all.push_back(count == 1 ? 0 : i + 1 == count ? last : static_cast<int64_t>(static_cast<double>(i) * (static_cast<double>(last) / static_cast<double>(count - 1))));
  return all;
}

std::vector<media::Image> chosen_frames(const Json& input, int64_t count, int64_t rate) {
  const std::vector<int64_t> wanted = places(count, rate);
  std::vector<media::Image> frames;
  int64_t seen = 0;
  for_each_frame_of(input, 0, [&](media::Frame&& frame) {
    if (std::binary_search(wanted.begin(), wanted.end(), seen)) frames.push_back(std::move(frame.image));
    return ++seen <= wanted.back();
  });
  require(static_cast<int64_t>(frames.size()) == count, "video-classification: {}: {} frames, and {} of the first {} are looked at; give a longer video, or fewer with --num-frames",
          t::picture_name(input), seen, count, wanted.back() + 1);
  return frames;
}

// Scores of the labels by `function`.
std::vector<float> scores_of(std::vector<float> logits, const std::string& function) {
  if (function == "softmax") return t::softmax(logits);
  if (function == "sigmoid")
    for (float& x : logits) x = 1 / (1 + std::exp(-x));
  return logits;
}

// A network that sees several frames at once.
std::vector<float> of_clip(const t::OpenTask& task, const Json& input, const Json& options, const std::string& function) {
  const int64_t own = nn::config_int(task.bundle().config, "num_frames", 16);
  const std::vector<media::Image> frames = chosen_frames(input, t::integer(options, "num_frames", own, 1), t::integer(options, "frame_sampling_rate", 1, 1));
  const NoGrad no_grad;
  nn::NamedTensors inputs = (*task.image_processor)(frames);
  inputs["pixel_values"] = unsqueeze(inputs.at("pixel_values"), 0);
  return scores_of(task.bundle().network->forward(inputs, {}).at("logits").to_vector(), function);
}

// A classifier of pictures: the mean over frames, one a second unless told otherwise.
std::vector<float> of_frames(const t::OpenTask& task, const Json& input, const Json& options, const std::string& function) {
  std::vector<float> sum;
  int64_t looked = 0;
  const auto add = [&](const media::Image& picture) {
    const std::vector<float> scores = scores_of(t::look(task, picture).at("logits").to_vector(), function);
    sum.resize(scores.size());
    for (size_t i = 0; i < scores.size(); ++i) sum[i] += scores[i];
    ++looked;
  };
  if (t::has(options, "num_frames") || t::has(options, "frame_sampling_rate")) {
    for (const media::Image& frame : chosen_frames(input, t::integer(options, "num_frames", 16, 1), t::integer(options, "frame_sampling_rate", 1, 1))) add(frame);
  } else {
    for_each_frame_of(input, 1, [&](media::Frame&& frame) {
      add(frame.image);
      return looked < kMostFrames;
    });
  }
  require(looked > 0, "video-classification: {}: no frames", t::picture_name(input));
  for (float& s : sum) s /= static_cast<float>(looked);
  return sum;
}

std::vector<Json> run_video_classification(const t::OpenTask& task, const std::vector<Json>& inputs, const Json& options) {
  const auto count = static_cast<size_t>(t::integer(options, "top_k", 5, 1));
  const std::string function = t::text(options, "function_to_apply").value_or("softmax");
  if (function != "sigmoid" && function != "softmax" && function != "none")
    fail(ErrorCode::usage, "video-classification: function_to_apply is \"{}\", expected softmax, sigmoid or none", function);
  const bool clip = task.bundle().config.contains("tubelet_size");
  std::vector<Json> results;
  for (const Json& input : inputs) {
    const std::vector<float> scores = clip ? of_clip(task, input, options, function) : of_frames(task, input, options, function);
    Json rows = Json::array();
    for (const size_t i : t::largest(scores, count)) rows.push_back({{"score", scores[i]}, {"label", t::label_name(task.bundle(), static_cast<int64_t>(i))}});
    results.push_back(std::move(rows));
  }
  return results;
}

std::string show_video_classification(const Json& input, const Json& result, const t::Style& style) { return t::emphasised(t::picture_name(input), style) + "\n" + t::score_table(result, style); }

}  // namespace

extern const TaskEntry task_video_classification{
    .name = "video-classification",
    .help = "which label fits a video",
    .input = "VIDEO",
    .heads = {nn::HeadKind::image_classification},
    .options = {{"top_k", t::OptionType::integer, "so many labels, best first (5)"},
                {"num_frames", t::OptionType::integer, "frames that are looked at (the model's; of a classifier of pictures one a second)"},
                {"frame_sampling_rate", t::OptionType::integer, "every how many frames one is taken (1)"},
                {"function_to_apply", t::OptionType::text, "softmax, sigmoid or none (softmax)"}},
    .suggestion = "good ones to pull: MCG-NJU/videomae-base-finetuned-kinetics, google/vit-base-patch16-224",
    .run = run_video_classification,
    .show = show_video_classification,
    .medium = t::Medium::picture};

}  // namespace mynah
