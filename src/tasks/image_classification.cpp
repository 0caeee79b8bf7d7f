// image-classification: which of a model's labels fits a picture.
#include <algorithm>
#include <cctype>
#include <cmath>

#include "base/require.h"
#include "nn/config.h"
#include "tasks/options.h"
#include "tasks/picture_results.h"
#include "tasks/pictures.h"
#include "tasks/scores.h"
#include "tasks/show.h"

namespace mynah {
namespace {
namespace t = tasks;

// "sigmoid", "softmax" or "none".
std::string image_classification_function_of(const t::OpenTask& task, const Json& options, size_t labels) {
  if (auto name = t::text(options, "function_to_apply")) {
    std::string lower = *name;
    std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (lower != "sigmoid" && lower != "softmax" && lower != "none")
      fail(ErrorCode::usage, "image-classification: function_to_apply is \"{}\", expected sigmoid, softmax or none", *name);
    return lower;
  }
  const std::string problem = nn::config_string(task.bundle().config, "problem_type", "");
  return problem == "multi_label_classification" || labels == 1 ? "sigmoid" : "softmax";
}

std::vector<Json> run_image_classification(const t::OpenTask& task, const std::vector<Json>& inputs, const Json& options) {
  std::vector<Json> results;
  for (const Json& input : inputs) results.push_back(t::labels_of(task, t::read_picture(task, input), options));
  return results;
}

std::string show_image_classification(const Json& input, const Json& result, const t::Style& style) {
  return t::emphasised(t::picture_name(input), style) + "\n" + t::score_table(result, style);
}

}  // namespace

Json tasks::labels_of(const OpenTask& task, const media::Image& picture, const Json& options) {
  const auto count = static_cast<size_t>(integer(options, "top_k", 5, 1));
  std::vector<float> scores = look(task, picture).at("logits").to_vector();
  const std::string function = image_classification_function_of(task, options, scores.size());
  if (function == "softmax") scores = softmax(scores);
  if (function == "sigmoid")
    for (float& x : scores) x = 1 / (1 + std::exp(-x));
  Json rows = Json::array();
  for (const size_t i : largest(scores, count)) rows.push_back({{"label", label_name(task.bundle(), static_cast<int64_t>(i))}, {"score", scores[i]}});
  return rows;
}

extern const TaskEntry task_image_classification{
    .name = "image-classification",
    .help = "which label fits a picture",
    .input = "PICTURE",
    .heads = {nn::HeadKind::image_classification},
    .options = {{"top_k", t::OptionType::integer_or_none, "so many labels, best first (5)"},
                {"function_to_apply", t::OptionType::text, "softmax, sigmoid or none; else as the model was trained"},
                t::kImageOption,
                t::kTimeoutOption},
    .suggestion = "good ones to pull: google/vit-base-patch16-224, microsoft/resnet-50, facebook/convnext-tiny-224",
    .run = run_image_classification,
    .inputs = t::picture_inputs,
    .show = show_image_classification,
    .medium = t::Medium::picture};

}  // namespace mynah
