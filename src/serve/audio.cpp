// OpenAI's POST /v1/audio/transcriptions and /v1/audio/translations.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <span>

#include "media/sound.h"
#include "nn/seq2seq_lm.h"
#include "serve/media.h"
#include "serve/multipart.h"
#include "serve/openai.h"
#include "serve/task_pipeline.h"
#include "tasks/transcription.h"

namespace mynah::serve {
namespace {

struct Form {
  std::string model, language, prompt, format = "json", file;
  double temperature = 0;
  bool stream = false, words = false, segments = false;
};

Form form_of(const Call& call) {
  Form form;
  bool has_file = false;
  for (const FormPart& part : parse_form(call.request->body, call.request->header("content-type"))) {
    const std::string value(part.content.substr(
        0, part.name == "file" ? part.content.size() : std::min<size_t>(part.content.size(), 10000)));
    if (part.name == "file") {
      form.file = value;
      has_file = true;
    } else if (part.name == "model") {
      form.model = value;
    } else if (part.name == "language") {
      form.language = value;
    } else if (part.name == "prompt") {
      form.prompt = value;
    } else if (part.name == "response_format") {
      form.format = value;
    } else if (part.name == "stream") {
      if (value != "true" && value != "false") throw ApiError(400, "\"stream\" must be true or false", "stream");
      form.stream = value == "true";
    } else if (part.name == "temperature") {
      char* end = nullptr;
      const double t = std::strtod(value.c_str(), &end);
      if (value.empty() || *end != 0 || !(t >= 0 && t <= 1))
        throw ApiError(400, "\"temperature\" must be a number from 0 to 1", "temperature");
      form.temperature = t;
    } else if (part.name == "timestamp_granularities[]" || part.name == "timestamp_granularities") {
      if (value == "word")
        form.words = true;
      else if (value == "segment")
        form.segments = true;
      else
        throw ApiError(400, "\"timestamp_granularities\" must be word or segment", "timestamp_granularities");
    } else if (part.name == "include[]" || part.name == "chunking_strategy" || part.name == "known_speaker_names[]") {
      throw ApiError(400, fmt::format("\"{}\" is not supported", part.name), part.name);
    }
  }
  if (!has_file || form.file.empty()) throw ApiError(400, "\"file\" is missing", "file");
  if (form.model.empty()) form.model = call.service.models.default_name();
  if (form.model.empty()) throw ApiError(400, "you must provide a model parameter: model is required", "model");
  constexpr std::string_view kFormats[] = {"json", "text", "srt", "vtt", "verbose_json"};
  if (std::find(std::begin(kFormats), std::end(kFormats), form.format) == std::end(kFormats))
    throw ApiError(400,
                   fmt::format("\"response_format\" is \"{}\", expected json, text, srt, vtt or verbose_json",
                               form.format.substr(0, 40)),
                   "response_format");
  return form;
}

// What the windows of a model like Whisper's say, segment by segment.
tasks::Transcription heard(const Call& call, const LoadedModel& model, const Form& form, bool translate, const media::Sound& sound,
                           const std::function<void(const tasks::TranscribedSegment&)>& on_segment) {
  GenerationConfig config = tasks::transcription_defaults(model.model);
  if (translate) config.speech.task = "translate";
  if (!form.language.empty()) config.speech.language = {form.language};
  if (form.temperature > 0) {  // else other temperatures are tried where an answer looks wrong
    config.speech.temperature = {static_cast<float>(form.temperature)};
    config.seed = random_seed();
  }
  config.speech.return_token_timestamps = form.words;
  return tasks::transcribe(model.model, sound, config, form.prompt, [&](const tasks::TranscribedSegment& s) {
    on_segment(s);
    return !call.reply->gone();
  });
}

// What other models write down: one segment of all words, timed where that is asked for.
tasks::Transcription spelled(const Call& call, LoadedModel& model, const Form& form, bool timed, const media::Sound& sound) {
  if (!form.language.empty() || !form.prompt.empty() || form.temperature > 0)
    throw ApiError(400, fmt::format("\"{}\" takes no language, prompt or temperature", form.model), !form.language.empty() ? "language" : !form.prompt.empty() ? "prompt" : "temperature");
  MediaFiles files;
  const Json result = run_pipeline(call, model, "automatic-speech-recognition", files.add(form.file), timed ? Json{{"return_timestamps", "word"}} : Json::object());
  tasks::Transcription out;
  out.task = "transcribe";
  out.duration = static_cast<double>(sound.samples.size()) / static_cast<double>(sound.rate);
  out.text = result.value("text", "");
  tasks::TranscribedSegment all{0, out.duration, out.text, {}, {}};
  if (const auto chunks = result.find("chunks"); chunks != result.end())
    for (const Json& c : *chunks) all.words.push_back({c["timestamp"][0].get<double>(), c["timestamp"][1].get<double>(), c.value("text", "")});
  if (!all.words.empty()) {
    all.start = all.words.front().start;
    all.end = all.words.back().end;
  }
  out.segments.push_back(std::move(all));
  return out;
}

// The object of "verbose_json": segments, words or both, with their times.
Json verbose(const tasks::Transcription& t, const Form& form) {
  Json words = Json::array(), segments = Json::array();
  for (const auto& s : t.segments) {
    segments.push_back({{"id", segments.size()}, {"start", s.start}, {"end", s.end}, {"text", s.text}, {"tokens", s.tokens}});
    for (const auto& w : s.words) words.push_back({{"word", w.text}, {"start", w.start}, {"end", w.end}});
  }
  Json json = {{"task", t.task}, {"duration", t.duration}, {"language", t.language.empty() ? form.language : t.language}, {"text", t.text}};
  if (form.words) json["words"] = words;
  if (form.segments || !form.words) json["segments"] = segments;
  json["usage"] = {{"type", "duration"}, {"seconds", static_cast<int64_t>(std::ceil(t.duration))}};
  return json;
}

void transcribe(Call& call, bool translate) {
  const Form form = form_of(call);
  auto lease = call.acquire(form.model);
  const nn::Seq2SeqLM* lm = lease->model.bundle().network->seq2seq_lm();
  const bool windows = lm && lm->decoding();
  if (translate && !windows) throw ApiError(400, fmt::format("\"{}\" does not translate", form.model), "model");
  const media::Sound sound = media::decode_sound(std::as_bytes(std::span(form.file)), "the file");
  const bool timed = form.format == "srt" || form.format == "vtt" || form.format == "verbose_json";
  EventStream events(call.reply);
  const auto tell = [&](const std::string& piece) {
    if (form.stream) events.data({{"type", "transcript.text.delta"}, {"delta", piece}});
  };
  tasks::Transcription t;
  try {
    t = windows ? heard(call, *lease, form, translate, sound,
                        [&](const tasks::TranscribedSegment& s) { tell(events.begun() ? s.text : s.text.substr(std::min(s.text.find_first_not_of(' '), s.text.size()))); })
                : spelled(call, *lease, form, timed, sound);
  } catch (...) {
    if (!events.begun()) throw;
    events.data(error_json(call.dialect, as_api_error(std::current_exception())));
    return events.done();
  }
  if (form.stream) {
    if (!windows) tell(t.text);
    events.data({{"type", "transcript.text.done"}, {"text", t.text}});
    return events.done();
  }
  if (form.format == "text") return call.reply->send({200, "text/plain; charset=utf-8", t.text + "\n", {}});
  if (form.format == "srt" || form.format == "vtt")
    return call.reply->send({200, form.format == "vtt" ? "text/vtt; charset=utf-8" : "text/plain; charset=utf-8", tasks::transcript_file(t, form.format), {}});
  if (form.format == "json") return call.send_json({{"text", t.text}});
  call.send_json(verbose(t, form));
}

void transcriptions(Call& call) { transcribe(call, false); }
void translations(Call& call) { transcribe(call, true); }

}  // namespace

std::span<const Route> audio_routes() {
  static const Route routes[] = {{"POST", "/v1/audio/transcriptions", transcriptions},
                                 {"POST", "/v1/audio/translations", translations}};
  return routes;
}

}  // namespace mynah::serve
