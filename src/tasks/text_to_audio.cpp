// text-to-audio: the sound of a text, {"audio": [[samples]], "sampling_rate": Hz}.
#include <algorithm>
#include <array>
#include <cmath>

#include "base/require.h"
#include "bundle/speech.h"
#include "store/store.h"
#include "tasks/encode.h"
#include "tasks/options.h"
#include "tasks/show.h"

namespace mynah {
namespace {
namespace t = tasks;

// Numbers [n] or [[n]] that describe a voice.
Tensor voice(const Json& value, int64_t size) {
  const Json& row = value.is_array() && value.size() == 1 && value[0].is_array() ? value[0] : value;
  if (size == 0) fail(ErrorCode::usage, "text-to-audio: this model takes no speaker_embeddings");
  if (!row.is_array() || static_cast<int64_t>(row.size()) != size)
    fail(ErrorCode::usage, "text-to-audio: speaker_embeddings: expected a list of {} numbers", size);
  std::vector<float> numbers;
  for (const Json& v : row) {
    if (!v.is_number())
      fail(ErrorCode::usage, "text-to-audio: speaker_embeddings holds {}, expected numbers", v.dump());
    numbers.push_back(v.get<float>());
  }
  return Tensor::from(numbers, {1, size});
}

// The model that makes sound of spectrograms, if one is named.
std::shared_ptr<bundle::Bundle> vocoder_of(const Json& options) {
  const auto name = t::text(options, "vocoder");
  if (!name) return nullptr;
  const auto found = store::Store().resolve(*name);
  if (!found) fail(ErrorCode::not_found, "text-to-audio: vocoder: {} is not here; pull it first", *name);
  return bundle::open(found->path, {.name = *name}, {.network = true, .tokenizer = false});
}

nn::VoiceSettings settings_of(const bundle::Speech& speech, const Json& options) {
  nn::VoiceSettings s;
  Json all = options.value("forward_params", Json::object());
  if (!all.is_object()) fail(ErrorCode::usage, "text-to-audio: forward_params is {}, expected an object", all.dump());
  for (const auto& [name, value] : options.items())
    if (name != "forward_params") all[name] = value;
  const auto number = [](const std::string& name, const Json& value) {
    if (!value.is_number() || !std::isfinite(value.get<double>()))
      fail(ErrorCode::usage, "text-to-audio: {} is {}, expected a number", name, value.dump());
    return value.get<float>();
  };
  for (const auto& [name, value] : all.items()) {
    if (value.is_null()) continue;
    if (name == "seed") {
      if (!value.is_number_integer() || value.get<int64_t>() < 0)
        fail(ErrorCode::usage, "text-to-audio: seed is {}, expected 0 or a positive integer", value.dump());
      s.seed = value.get<uint64_t>();
    } else if (name == "speaker_id") {
      s.speaker = speech.speaker(value.is_string() ? value.get<std::string>() : value.dump());
    } else if (name == "speaking_rate") {
      s.speaking_rate = number(name, value);
      if (!(*s.speaking_rate > 0))
        fail(ErrorCode::usage, "text-to-audio: speaking_rate is {}, expected a positive number", value.dump());
    } else if (name == "noise_scale") {
      s.noise_scale = number(name, value);
    } else if (name == "noise_scale_duration") {
      s.noise_scale_duration = number(name, value);
    } else if (name == "threshold") {
      s.threshold = number(name, value);
    } else if (name == "minlenratio") {
      s.minlenratio = number(name, value);
    } else if (name == "maxlenratio") {
      s.maxlenratio = number(name, value);
    } else if (name == "speaker_embeddings") {
      s.speaker_embedding = voice(value, speech.speaker_size());
    } else if (name != "vocoder") {
      fail(ErrorCode::usage,
           "text-to-audio: forward_params has no \"{}\"; there are speaker_id, speaking_rate, noise_scale, "
           "noise_scale_duration, speaker_embeddings, threshold, "
           "minlenratio, maxlenratio and seed",
           name);
    }
  }
  return s;
}

std::vector<Json> run_text_to_audio(const t::OpenTask& task, const std::vector<Json>& inputs, const Json& options) {
  const auto vocoder = vocoder_of(options);
  const bundle::Speech speech(task.bundle(), vocoder.get());
  const nn::VoiceSettings settings = settings_of(speech, options);
  std::vector<Json> results;
  for (const Json& input : inputs)
    results.push_back({{"audio", Json::array({speech.say(t::one_text(task, input), settings)})},
                       {"sampling_rate", speech.sampling_rate()}});
  return results;
}

std::string show_text_to_audio(const Json& input, const Json& result, const t::Style& style) {
  const Json& samples = result["audio"][0];
  const double rate = result["sampling_rate"].get<double>();
  // The loudness of forty parts of it, as a line of bars.
  constexpr size_t kBars = 40;
  static constexpr const char* kLevels[] = {" ",      "\u2581", "\u2582", "\u2583", "\u2584",
                                            "\u2585", "\u2586", "\u2587", "\u2588"};
  std::array<double, kBars> loudest{};
  double most = 1e-9;
  for (size_t i = 0; i < samples.size(); ++i) {
    double& bar = loudest[i * kBars / samples.size()];
    bar = std::max(bar, std::abs(samples[i].get<double>()));
    most = std::max(most, bar);
  }
  std::string bars;
  for (const double bar : loudest) bars += kLevels[static_cast<size_t>(std::lround(8 * bar / most))];
  return fmt::format(
      "{}: {:.2f} seconds at {:.0f} Hz\n{}\n{}\n", t::emphasised(input.get<std::string>(), style),
      static_cast<double>(samples.size()) / rate, rate, bars,
      t::dimmed("mynah speak MODEL TEXT plays it or keeps it with -o FILE.wav; --json prints the samples", style));
}

}  // namespace

extern const TaskEntry task_text_to_audio{
    .name = "text-to-audio",
    .aliases = {"text-to-speech"},
    .help = "speak a text",
    .input = "TEXT",
    .heads = {nn::HeadKind::bare},
    .options = {{"forward_params", t::OptionType::json,
                 "{\"speaker_id\": 1, \"speaking_rate\": 0.9, \"noise_scale\": 0, ...}"},
                {"speaker_id", t::OptionType::text, "which voice of several: a number or a name"},
                {"speaking_rate", t::OptionType::number, "above 1 is faster"},
                {"noise_scale", t::OptionType::number, "how much the voice varies"},
                {"noise_scale_duration", t::OptionType::number, "how much the rhythm varies"},
                {"speaker_embeddings", t::OptionType::json, "numbers that describe a voice, for SpeechT5"},
                {"vocoder", t::OptionType::text,
                 "the model that makes sound of SpeechT5's spectrograms: a SpeechT5HifiGan"},
                {"seed", t::OptionType::integer, "another one varies voice and rhythm in another way"}},
    .default_model = "piper-joe",
    .suggestion = "piper-joe, any Piper voice or a VitsModel will do",
    .run = run_text_to_audio,
    .show = show_text_to_audio,
    .speaks = true};

}  // namespace mynah
