// zero-shot-image-classification: which of the caller's own labels fits a picture, asked of a model that sees pictures and texts in
// one space (CLIP, SigLIP).
#include <algorithm>
#include <cmath>

#include "base/require.h"
#include "nn/config.h"
#include "tasks/candidate_labels.h"
#include "tasks/encode.h"
#include "tasks/options.h"
#include "tasks/pictures.h"
#include "tasks/scores.h"
#include "tasks/show.h"

namespace mynah {
namespace {
namespace t = tasks;

constexpr int64_t kSiglipTokens = 64;

bool is_siglip(const t::OpenTask& task) { return nn::config_string(task.bundle().config, "model_type", "").find("siglip") != std::string::npos; }

Tensor integers(const std::vector<Encoding>& rows, std::vector<int32_t> Encoding::*field) {
  std::vector<int64_t> all;
  for (const Encoding& e : rows) all.insert(all.end(), (e.*field).begin(), (e.*field).end());
  return Tensor::from(std::span<const int64_t>(all), {static_cast<int64_t>(rows.size()), static_cast<int64_t>(rows[0].ids.size())});
}

// The text side of the model's inputs, tokenizer arguments of the caller included.
nn::NamedTensors text_inputs(const t::OpenTask& task, const std::vector<std::string>& labels, const Json& options) {
  require(task.bundle().tokenizer != nullptr, "zero-shot-image-classification: {} comes without a tokenizer", task.bundle().path.string());
  const std::string pattern = t::text(options, "hypothesis_template").value_or("This is a photo of {}.");
  Json arguments = is_siglip(task) ? Json{{"padding", "max_length"}, {"max_length", kSiglipTokens}, {"truncation", true}} : Json{{"padding", true}};
  if (const auto it = options.find("tokenizer_kwargs"); it != options.end() && !it->is_null()) {
    if (!it->is_object()) fail(ErrorCode::usage, "zero-shot-image-classification: tokenizer_kwargs is {}, expected an object", it->dump());
    arguments.update(*it);
  }
  const EncodeOptions encode = t::encode_options(arguments);
  std::vector<Encoding> rows;
  for (const std::string& label : labels) rows.push_back(t::encode(task, {t::hypothesis(task, pattern, label), std::nullopt}, encode));
  PaddingOptions padding;
  if (arguments["padding"] == "max_length") padding.length = encode.max_length.value_or(task.tokenizer().model_max_length().value_or(0));
  task.tokenizer().pad(rows, padding);
  nn::NamedTensors out{{"input_ids", integers(rows, &Encoding::ids)}};
  const auto names = task.tokenizer_config.find("model_input_names");
  const bool masked = names == task.tokenizer_config.end() ? !is_siglip(task) : std::find(names->begin(), names->end(), Json("attention_mask")) != names->end();
  if (masked) out["attention_mask"] = integers(rows, &Encoding::attention_mask);
  return out;
}

std::vector<Json> run(const t::OpenTask& task, const std::vector<Json>& inputs, const Json& options) {
  const std::vector<std::string> labels = t::candidate_labels(task, options);
  const nn::NamedTensors texts = text_inputs(task, labels, options);
  std::vector<Json> results;
  for (const Json& input : inputs) {
    const nn::NamedTensors outputs = t::look(task, t::read_picture(task, input), texts);
    require(outputs.count("logits_per_image") != 0, "zero-shot-image-classification: {} does not compare pictures with texts", task.bundle().architecture());
    std::vector<float> scores = outputs.at("logits_per_image").to_vector();
    if (is_siglip(task))
      for (float& x : scores) x = 1 / (1 + std::exp(-x));
    else
      scores = t::softmax(scores);
    Json rows = Json::array();
    for (const size_t i : t::largest(scores, scores.size())) rows.push_back({{"score", scores[i]}, {"label", labels[i]}});
    results.push_back(std::move(rows));
  }
  return results;
}

std::string show(const Json& input, const Json& result, const t::Style& style) {
  return t::emphasised(t::picture_name(input), style) + "\n" + t::score_table(result, style);
}

}  // namespace

extern const TaskEntry task_zero_shot_image_classification{
    .name = "zero-shot-image-classification",
    .aliases = {},
    .help = "which of your own labels fits a picture",
    .input = "PICTURE",
    .reads_json = nullptr,
    .heads = {nn::HeadKind::bare},
    .options = {{"candidate_labels", t::OptionType::names, "the labels to choose from"},
                {"hypothesis_template", t::OptionType::text, "the sentence of a label, {} being the label (This is a photo of {}.)"},
                {"tokenizer_kwargs", t::OptionType::json, "arguments of the tokenizer: {\"max_length\": 64, ...}"},
                t::kImageOption,
                t::kTimeoutOption},
    .generates = false,
    .default_model = nullptr,
    .suggestion = "good ones to pull: openai/clip-vit-base-patch32, google/siglip-base-patch16-224",
    .run = run,
    .inputs = t::picture_inputs,
    .answer = nullptr,
    .show = show,
    .medium = t::Medium::picture};

}  // namespace mynah
