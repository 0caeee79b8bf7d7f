// OpenAI's POST /v1/audio/transcriptions and /v1/audio/translations, over the task automatic-speech-recognition.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "serve/media.h"
#include "serve/multipart.h"
#include "serve/openai.h"
#include "serve/task_pipeline.h"

namespace mynah::serve {
namespace {

struct Form {
  std::string model, language, prompt, format = "json", file;
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
      if (t > 0) throw ApiError(400, "\"temperature\" above 0 is not supported", "temperature");
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
  if (!form.prompt.empty()) throw ApiError(400, "\"prompt\" is not supported", "prompt");
  return form;
}

std::string clock(double seconds, char point) {
  const auto ms = static_cast<int64_t>(std::llround(std::max(0.0, seconds) * 1000));
  return fmt::format("{:02}:{:02}:{:02}{}{:03}", ms / 3600000, ms / 60000 % 60, ms / 1000 % 60, point, ms % 1000);
}

double second_of(const Json& chunk, size_t which) {
  const Json& t = chunk["timestamp"];
  return t.is_array() && t.size() > which && t[which].is_number() ? t[which].get<double>()
         : which == 0                                             ? 0
                                                                  : second_of(chunk, 0);
}

std::string subtitles(const Json& chunks, bool vtt) {
  std::string text = vtt ? "WEBVTT\n\n" : "";
  int number = 0;
  for (const Json& c : chunks) {
    if (!vtt) text += fmt::format("{}\n", ++number);
    std::string said = c.value("text", "");
    said.erase(0, std::min(said.find_first_not_of(' '), said.size()));
    const char point = vtt ? '.' : ',';
    text += fmt::format("{} --> {}\n{}\n\n", clock(second_of(c, 0), point), clock(second_of(c, 1), point), said);
  }
  return text;
}

void transcribe(Call& call, bool translate) {
  const Form form = form_of(call);
  auto lease = call.service.models.acquire(form.model);
  MediaFiles files;
  const Json sound = files.add(form.file);
  const bool whisper = lease->model.bundle().network->seq2seq_lm() != nullptr;
  Json options = Json::object();
  if (whisper) {
    if (translate) options["task"] = "translate";
    if (!form.language.empty()) options["language"] = form.language;
  } else if (translate) {
    throw ApiError(400, fmt::format("\"{}\" does not translate", form.model), "model");
  }
  const bool timed = form.format == "srt" || form.format == "vtt" || form.format == "verbose_json";
  if (timed) options["return_timestamps"] = form.words ? Json("word") : whisper ? Json(true) : Json("word");
  const Json result = run_pipeline(*lease, "automatic-speech-recognition", sound, options);
  std::string text = result.value("text", "");
  text.erase(0, std::min(text.find_first_not_of(' '), text.size()));
  const Json chunks = result.contains("chunks") ? result["chunks"] : Json::array();
  if (form.stream) {
    EventStream events(call.reply);
    events.data({{"type", "transcript.text.delta"}, {"delta", text}});
    events.data({{"type", "transcript.text.done"}, {"text", text}});
    return events.done();
  }
  if (form.format == "text") return call.reply->send({200, "text/plain; charset=utf-8", text + "\n", {}});
  if (form.format == "srt" || form.format == "vtt")
    return call.reply->send({200,
                             form.format == "vtt" ? "text/vtt; charset=utf-8" : "text/plain; charset=utf-8",
                             subtitles(chunks, form.format == "vtt"),
                             {}});
  if (form.format == "json") return call.send_json({{"text", text}});
  Json rows = Json::array();
  double end = 0;
  for (const Json& c : chunks) {
    end = std::max(end, second_of(c, 1));
    if (form.words)
      rows.push_back({{"word", c.value("text", "")}, {"start", second_of(c, 0)}, {"end", second_of(c, 1)}});
    else
      rows.push_back({{"id", rows.size()},
                      {"start", second_of(c, 0)},
                      {"end", second_of(c, 1)},
                      {"text", c.value("text", "")}});
  }
  Json json = {
      {"task", translate ? "translate" : "transcribe"}, {"duration", end}, {"language", form.language}, {"text", text}};
  json[form.words ? "words" : "segments"] = rows;
  json["usage"] = {{"type", "duration"}, {"seconds", static_cast<int64_t>(std::ceil(end))}};
  call.send_json(json);
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
