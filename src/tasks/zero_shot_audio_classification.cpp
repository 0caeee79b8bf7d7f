// zero-shot-audio-classification: which of the caller's own labels fits a sound, asked of a model that hears sounds and reads texts in one
// space (CLAP). As transformers 4.57's pipeline.
#include "base/require.h"
#include "bundle/processor.h"
#include "mynah/autograd.h"
#include "mynah/ops.h"
#include "tasks/candidate_labels.h"
#include "tasks/options.h"
#include "tasks/picture_results.h"
#include "tasks/scores.h"
#include "tasks/show.h"
#include "tasks/sound_input.h"

namespace mynah {
namespace {
namespace t = tasks;

std::vector<Json> run_zero_shot_audio_classification(const t::OpenTask& task, const std::vector<Json>& inputs, const Json& options) {
  NoGrad no_grad;
  const std::vector<std::string> labels = t::candidate_labels(task, options);
  Json own = options;
  if (!t::has(options, "hypothesis_template")) own["hypothesis_template"] = "This is a sound of {}.";
  const nn::NamedTensors texts = t::zero_shot_texts(task, labels, own);
  const bundle::SoundProcessor processor = bundle::sound_processor(task.bundle().path);
  std::vector<Json> out;
  for (const Json& input : inputs) {
    const media::Sound sound = media::resample(t::sound_of(task, input), processor.rate());
    nn::NamedTensors asked = processor({&sound, 1});
    asked.insert(texts.begin(), texts.end());
    const nn::NamedTensors heard = task.bundle().network->forward(asked, {});
    require(heard.count("logits_per_audio") != 0, "{}: the model does not hear sounds and read texts in one space", task.entry->name);
    const std::vector<float> scores = softmax(heard.at("logits_per_audio")).to_vector();
    Json list = Json::array();
    for (const size_t i : t::largest(scores, scores.size())) list.push_back({{"score", scores[i]}, {"label", labels[i]}});
    out.push_back(std::move(list));
  }
  return out;
}

std::string show_zero_shot_audio_classification(const Json&, const Json& result, const t::Style& style) { return t::score_table(result, style); }

}  // namespace

extern const TaskEntry task_zero_shot_audio_classification{
    .name = "zero-shot-audio-classification",
    .help = "which of your own labels fits a sound",
    .input = "SOUND",
    .reads_json = t::is_sound,
    .heads = {nn::HeadKind::bare},
    .options = {{"candidate_labels", t::OptionType::names, "the labels to choose from"},
                {"hypothesis_template", t::OptionType::text, "the sentence of a label, {} being the label (This is a sound of {}.)"}},
    .suggestion = "good ones to pull: laion/clap-htsat-unfused",
    .run = run_zero_shot_audio_classification,
    .show = show_zero_shot_audio_classification,
    .medium = t::Medium::sound};

}  // namespace mynah
