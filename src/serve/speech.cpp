#include "serve/speech.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "bundle/speech.h"
#include "media/sound.h"
#include "serve/openai.h"

namespace mynah::serve {
namespace {

std::string as_text(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Texts of a size that is spoken within a request.
constexpr size_t kMostCharacters = 4096;

void check_text(const std::string& text, const char* field) {
  if (text.empty()) throw ApiError(400, fmt::format("\"{}\" is empty", field), field);
  if (text.size() > 4 * kMostCharacters)
    throw ApiError(400, fmt::format("\"{}\" has more than {} characters", field, kMostCharacters), field);
}

// A voice by the model's own names and numbers; OpenAI's names mean the model's first.
std::optional<int64_t> voice_of(const bundle::Speech& speech, const Fields& f) {
  const Json* voice = f.find("voice");
  if (!voice) return std::nullopt;
  if (voice->is_number_integer()) return voice->get<int64_t>();
  if (!voice->is_string()) f.wrong("voice", "string");
  const std::string name = voice->get<std::string>();
  for (const char* known : {"alloy", "ash", "ballad", "coral", "echo", "fable", "nova", "onyx", "sage", "shimmer",
                            "verse", "marin", "cedar", "default", ""})
    if (name == known) return std::nullopt;
  try {
    return speech.speaker(name);
  } catch (const Error& error) {
    throw ApiError(400, error.what(), "voice");
  }
}

// Sentences go out as they are spoken.
void stream_speech(Call& call, const bundle::Speech& speech, const std::string& text,
                   const nn::VoiceSettings& settings, bool wav, int64_t rate) {
  const ReplyPtr reply = call.reply;
  speech.say(text, settings, true, [&](std::span<const float> samples) {
    const media::Sound sound = media::resample({speech.sampling_rate(), {samples.begin(), samples.end()}}, rate);
    if (!reply->begun()) {
      reply->begin(200, media::media_type(wav ? media::SoundFormat::wav : media::SoundFormat::pcm));
      if (wav) reply->write(as_text(media::endless_wav_header(rate)));
    }
    reply->write(as_text(media::encode_sound(sound, media::SoundFormat::pcm)));
    return !reply->gone();
  });
  reply->end();
}

void openai_speech(Call& call) {
  const Json body = call.body();
  const Fields f(body);
  f.refuse("instructions", "voices have no other way of speaking");
  const std::string name = model_name(call, f);
  const auto text = f.text("input");
  if (!text) throw ApiError(400, "\"input\" is missing", "input");
  check_text(*text, "input");
  const std::string format_name = f.text_or("response_format", "mp3");
  media::SoundFormat format;
  try {
    format = media::sound_format(format_name);
  } catch (const Error&) {
    throw ApiError(
        400, fmt::format("response_format \"{}\" is not supported; expected mp3, opus, flac, wav or pcm", format_name),
        "response_format");
  }
  const std::string stream = f.text_or("stream_format", "audio");
  if (stream != "audio")
    throw ApiError(400, fmt::format("stream_format \"{}\" is not supported; expected audio", stream), "stream_format");
  const auto speed = f.number("speed", 0.25, 4.0);
  const auto lease = call.acquire(name);
  if (!speaks(*lease)) throw ApiError(400, fmt::format("\"{}\" does not speak", name), "model");
  const bundle::Speech speech(lease->model.bundle());
  nn::VoiceSettings settings;
  if (speed) settings.speaking_rate = static_cast<float>(*speed);
  settings.seed = static_cast<uint64_t>(f.integer("seed", 0).value_or(0));
  settings.speaker = voice_of(speech, f);
  constexpr int64_t kPcmRate = 24000;  // what OpenAI's clients expect of samples without a header
  if (format == media::SoundFormat::pcm) return stream_speech(call, speech, *text, settings, false, kPcmRate);
  if (format == media::SoundFormat::wav && f.boolean("stream").value_or(false))
    return stream_speech(call, speech, *text, settings, true, speech.sampling_rate());
  const media::Sound sound{speech.sampling_rate(), speech.say(*text, settings)};
  call.reply->send({200, media::media_type(format), as_text(media::encode_sound(sound, format)), {}});
}

}  // namespace

bool speaks(const LoadedModel& model) {
  return dynamic_cast<const nn::SpeechModel*>(model.model.bundle().network.get()) != nullptr;
}

void hf_speech(Call& call, const LoadedModel& model, const Json& body) {
  const Fields f(body);
  const Json* inputs = f.find("inputs");
  if (!inputs || !inputs->is_string()) throw ApiError(400, "Error in `inputs`: a text is required", "inputs");
  check_text(inputs->get<std::string>(), "inputs");
  if (!speaks(model)) throw ApiError(400, fmt::format("\"{}\" does not speak", model.name), "model");
  const bundle::Speech speech(model.model.bundle());
  nn::VoiceSettings settings;
  const Json none = Json::object();
  const Json* given = f.object("parameters");
  const Json* forward = given ? Fields(*given, "parameters.").object("forward_params") : nullptr;
  for (const Json* object : {given, forward}) {
    const Fields p(object ? *object : none, "parameters.");
    if (const auto rate = p.number("speaking_rate", 0.1, 10)) settings.speaking_rate = static_cast<float>(*rate);
    if (const auto scale = p.number("noise_scale", 0, 10)) settings.noise_scale = static_cast<float>(*scale);
    if (const auto scale = p.number("noise_scale_duration", 0, 10))
      settings.noise_scale_duration = static_cast<float>(*scale);
    if (const auto who = p.integer("speaker_id", 0)) settings.speaker = who;
    if (const auto seed = p.integer("seed", 0)) settings.seed = static_cast<uint64_t>(*seed);
  }
  const std::string_view accept = call.request->header("accept");
  media::SoundFormat format = media::SoundFormat::wav;
  if (accept.find("audio/flac") != std::string_view::npos)
    format = media::SoundFormat::flac;
  else if (accept.find("audio/ogg") != std::string_view::npos)
    format = media::SoundFormat::opus;
  else if (accept.find("audio/mpeg") != std::string_view::npos)
    format = media::SoundFormat::mp3;
  const media::Sound sound{speech.sampling_rate(), speech.say(inputs->get<std::string>(), settings)};
  call.reply->send(
      {200, media::media_type(format), as_text(media::encode_sound(sound, format)), {{"x-compute-type", "cpu"}}});
}

std::span<const Route> speech_routes() {
  static const Route routes[] = {{"POST", "/v1/audio/speech", openai_speech}};
  return routes;
}

}  // namespace mynah::serve
