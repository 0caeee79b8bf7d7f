// zero-shot-image-classification: which of the caller's own labels fits a picture, asked of a model that sees pictures and texts in
// one space (CLIP, SigLIP).
#include "tasks/candidate_labels.h"
#include "tasks/picture_results.h"
#include "tasks/pictures.h"
#include "tasks/show.h"

namespace mynah {
namespace {
namespace t = tasks;

std::vector<Json> run_zero_shot_image_classification(const t::OpenTask& task, const std::vector<Json>& inputs, const Json& options) {
  const std::vector<std::string> labels = t::candidate_labels(task, options);
  const nn::NamedTensors texts = t::zero_shot_texts(task, labels, options);
  std::vector<Json> results;
  for (const Json& input : inputs) results.push_back(t::own_labels_of(task, t::read_picture(task, input), labels, texts));
  return results;
}

std::string show_zero_shot_image_classification(const Json& input, const Json& result, const t::Style& style) {
  return t::emphasised(t::picture_name(input), style) + "\n" + t::score_table(result, style);
}

}  // namespace

extern const TaskEntry task_zero_shot_image_classification{
    .name = "zero-shot-image-classification",
    .help = "which of your own labels fits a picture",
    .input = "PICTURE",
    .heads = {nn::HeadKind::bare},
    .options = {{"candidate_labels", t::OptionType::names, "the labels to choose from"},
                {"hypothesis_template", t::OptionType::text, "the sentence of a label, {} being the label (This is a photo of {}.)"},
                {"tokenizer_kwargs", t::OptionType::json, "arguments of the tokenizer: {\"max_length\": 64, ...}"},
                t::kImageOption,
                t::kTimeoutOption},
    .suggestion = "good ones to pull: openai/clip-vit-base-patch32, google/siglip-base-patch16-224",
    .run = run_zero_shot_image_classification,
    .inputs = t::picture_inputs,
    .show = show_zero_shot_image_classification,
    .medium = t::Medium::picture};

}  // namespace mynah
