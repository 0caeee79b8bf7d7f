// audio-classification: the likeliest labels of a sound. As transformers 4.57's pipeline.
#include <algorithm>
#include <cmath>

#include "base/require.h"
#include "bundle/processor.h"
#include "mynah/autograd.h"
#include "mynah/ops.h"
#include "tasks/options.h"
#include "tasks/scores.h"
#include "tasks/show.h"
#include "tasks/sound_input.h"

namespace mynah {
namespace {
namespace t = tasks;

std::vector<Json> run_audio_classification(const t::OpenTask& task, const std::vector<Json>& inputs, const Json& options) {
  NoGrad no_grad;
  const bundle::SoundProcessor processor = bundle::sound_processor(task.bundle().path);
  const std::string function = t::text(options, "function_to_apply").value_or("softmax");
  if (function != "softmax" && function != "sigmoid" && function != "none")
    fail(ErrorCode::usage, "audio-classification: function_to_apply is \"{}\", expected softmax, sigmoid or none", function);
  std::vector<Json> out;
  for (const Json& input : inputs) {
    const media::Sound sound = media::resample(t::sound_of(task, input), processor.rate());
    const Tensor logits = task.bundle().network->forward(processor({&sound, 1}), {}).at("logits");
    const std::vector<float> scores = (function == "softmax" ? softmax(logits) : function == "sigmoid" ? sigmoid(logits) : logits).to_vector();
    const bool all = !options.contains("top_k") || options["top_k"].is_null();
    Json list = Json::array();
    for (const size_t i : t::largest(scores, all ? scores.size() : static_cast<size_t>(t::integer(options, "top_k", 1, 1))))
      list.push_back({{"score", scores[i]}, {"label", t::label_name(task.bundle(), static_cast<int64_t>(i))}});
    out.push_back(std::move(list));
  }
  return out;
}

std::string show_audio_classification(const Json&, const Json& result, const t::Style& style) {
  return t::score_table(result, style);
}

const std::vector<t::TaskOption> kAudioClassificationOptions = {
    {"top_k", t::OptionType::integer_or_none, "how many labels (all)"},
    {"function_to_apply", t::OptionType::text, "to the logits: softmax, sigmoid or none"},
};

}  // namespace

extern const TaskEntry task_audio_classification{"audio-classification",
                                                 {},
                                                 "the likeliest labels of a sound",
                                                 "SOUND",
                                                 t::is_sound,
                                                 {nn::HeadKind::sequence_classification},
                                                 kAudioClassificationOptions,
                                                 false,
                                                 nullptr,
                                                 "good ones to pull: superb/wav2vec2-base-superb-ks, sanchit-gandhi/whisper-medium-fleurs-lang-id",
                                                 run_audio_classification,
                                                 nullptr,
                                                 nullptr,
                                                 show_audio_classification,
                                                 t::Medium::sound};

}  // namespace mynah
