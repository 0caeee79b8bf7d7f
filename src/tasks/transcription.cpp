#include "tasks/transcription.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/languages.h"
#include "base/require.h"
#include "bundle/bundle.h"
#include "bundle/processor.h"
#include "media/voice_activity.h"
#include "nn/seq2seq_lm.h"
#include "tasks/speech_text.h"
#include "tasks/speech_words.h"

namespace mynah::tasks {
namespace {

std::string_view transcription_stripped(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

std::string language_of(const Tokenizer& tokenizer, int32_t token) {
  if (token < 0) return "";
  const std::string text = tokenizer.token_text(token);
  return text.size() > 4 ? std::string(language_name(std::string_view(text).substr(2, text.size() - 4))) : "";
}

TranscribedSegment segment_of(const Tokenizer& tokenizer, const SpeechSegment& s, std::string_view language) {
  const int32_t begin = timestamp_begin(tokenizer).value_or(INT32_MAX);
  std::vector<int32_t> text;
  std::vector<std::pair<double, double>> times;
  for (size_t i = 0; i < s.tokens.size(); ++i) {
    if (s.tokens[i] >= begin || tokenizer.is_special(s.tokens[i])) continue;
    text.push_back(s.tokens[i]);
    if (!s.token_times.empty()) times.emplace_back(i == 0 ? s.start : static_cast<double>(s.token_times[i - 1]), static_cast<double>(s.token_times[i]));
  }
  TranscribedSegment out{s.start, s.end, tokenizer.decode(text, false), s.tokens, {}};
  if (!times.empty())
    for (const TokenWord& w : words_of(tokenizer, text, language)) out.words.push_back({times[w.tokens.front()].first, times[w.tokens.back()].second, w.text});
  return out;
}

// 00:00:02,500; hours are left out where they may be.
std::string clock(double seconds, char point, bool hours) {
  const auto ms = static_cast<int64_t>(std::llround(std::max(seconds, 0.0) * 1000));
  const std::string tail = fmt::format("{:02}:{:02}{}{:03}", ms / 60000 % 60, ms / 1000 % 60, point, ms % 1000);
  return hours || ms >= 3600000 ? fmt::format("{:02}:{}", ms / 3600000, tail) : tail;
}

struct Cue {
  double start, end;
  std::string text;
};
std::vector<Cue> cues(const Transcription& t) {
  std::vector<Cue> out;
  for (const auto& s : t.segments) {
    for (const auto& w : s.words) out.push_back({w.start, w.end, std::string(transcription_stripped(w.text))});
    if (s.words.empty()) out.push_back({s.start, s.end, std::string(transcription_stripped(s.text))});
  }
  return out;
}

// The stretches in which somebody speaks, with what a model's times may be off. Short sounds hold too little to tell.
class Voices {
 public:
  Voices(const media::Sound& sound, bool everywhere) {
    constexpr double kShort = 0.5;
    const auto rate = static_cast<double>(sound.rate), length = static_cast<double>(sound.samples.size()) / rate;
    if (!is_silent(sound) && (everywhere || length < kShort)) {
      stretches_.emplace_back(0, length);
      return;
    }
    for (const media::Utterance& u : media::utterances(sound)) stretches_.emplace_back(static_cast<double>(u.begin) / rate - kSlack, static_cast<double>(u.end) / rate + kSlack);
  }
  bool none() const { return stretches_.empty(); }
  bool within(double start, double end) const {
    return std::any_of(stretches_.begin(), stretches_.end(), [&](const auto& s) { return start <= s.second && end >= s.first; });
  }

 private:
  static constexpr double kSlack = 1;  // seconds
  std::vector<std::pair<double, double>> stretches_;
};

}  // namespace

bool is_silent(const media::Sound& sound) {
  if (std::all_of(sound.samples.begin(), sound.samples.end(), [](float s) { return std::abs(s) < 1e-4f; })) return true;
  constexpr double kQuiet = 0.01;
  const auto piece = static_cast<size_t>(std::max<int64_t>(sound.rate / 10, 1));
  for (size_t at = 0; at < sound.samples.size(); at += piece) {
    const size_t n = std::min(piece, sound.samples.size() - at);
    double squares = 0;
    for (size_t i = at; i < at + n; ++i) squares += static_cast<double>(sound.samples[i]) * static_cast<double>(sound.samples[i]);
    if (!(squares <= kQuiet * kQuiet * static_cast<double>(n))) return false;
  }
  return media::utterances(sound).empty();
}

GenerationConfig transcription_defaults(const Model& model) {
  GenerationConfig c = generation_defaults(model);
  c.speech.return_timestamps = true;
  c.speech.temperature = {0, 0.2f, 0.4f, 0.6f, 0.8f, 1};
  // The reference's own advice for long sounds: its ratio counts tokens, not characters.
  c.speech.compression_ratio_threshold = 1.35f;
  c.speech.logprob_threshold = -1;
  c.speech.no_speech_threshold = 0.6f;
  return c;
}

Transcription transcribe(const Model& model, const media::Sound& given, GenerationConfig config, const std::string& prompt,
                         const std::function<bool(const TranscribedSegment&)>& on_segment, bool everywhere) {
  const bundle::Bundle& b = model.bundle();
  const nn::Seq2SeqLM* lm = b.network->seq2seq_lm();
  require(lm && lm->decoding() && b.tokenizer, "transcribe: {} holds a {}, which does not write down speech; whisper-base does", b.name, b.architecture());
  const bundle::SoundProcessor processor = bundle::sound_processor(b.path);
  const media::Sound sound = media::resample(given, processor.rate());
  require(!sound.samples.empty(), "transcribe: a sound without samples");
  Transcription out;
  out.task = config.speech.task.value_or("transcribe");
  out.duration = static_cast<double>(sound.samples.size()) / static_cast<double>(sound.rate);
  const Voices voices(sound, everywhere);
  if (voices.none()) return out;
  if (!prompt.empty()) {
    const auto previous = b.tokenizer->token_id("<|startofprev|>");
    require(previous.has_value(), "transcribe: this model's tokenizer has no <|startofprev|>, so it takes no prompt");
    config.speech.prompt_ids = {*previous};
    for (const int32_t id : b.tokenizer->encode_ids(" " + std::string(transcription_stripped(prompt)), false, false)) config.speech.prompt_ids.push_back(id);
    const auto most = static_cast<size_t>(lm->max_positions() / 2);  // the last words of a long one
    if (config.speech.prompt_ids.size() > most) config.speech.prompt_ids.erase(config.speech.prompt_ids.begin() + 1, config.speech.prompt_ids.end() - static_cast<long>(most) + 1);
  }
  // Segments that the model puts behind the end of the sound lie in its filling.
  const auto put = [&](const SpeechSegment& s) {
    TranscribedSegment segment = segment_of(*b.tokenizer, s, "");
    segment.end = std::min(segment.end, std::max(out.duration, segment.start));
    return segment;
  };
  config.speech.on_segment = [&](int64_t, const SpeechSegment& s) {
    const TranscribedSegment segment = put(s);
    return transcription_stripped(segment.text).empty() || !voices.within(segment.start, segment.end) || !on_segment || on_segment(segment);
  };
  GenerateInputs in;
  in.media = processor.whole(sound);
  const GenerateOutputs result = generate(model, in, config);
  const Transcript& said = result.transcripts.at(0);
  out.language = language_of(*b.tokenizer, said.language);
  for (const SpeechSegment& s : said.segments) {
    TranscribedSegment segment = segment_of(*b.tokenizer, s, out.language);
    segment.end = std::min(segment.end, std::max(out.duration, segment.start));
    if (transcription_stripped(segment.text).empty() || !voices.within(segment.start, segment.end)) continue;
    out.text += segment.text;
    out.segments.push_back(std::move(segment));
  }
  out.text = transcription_stripped(out.text);
  return out;
}

Json transcript_json(const Transcription& t) {
  Json out = {{"task", t.task}, {"language", t.language.empty() ? Json() : Json(t.language)}, {"duration", t.duration}, {"text", t.text}, {"segments", Json::array()}};
  for (size_t i = 0; i < t.segments.size(); ++i) {
    const TranscribedSegment& s = t.segments[i];
    Json one = {{"id", i}, {"start", s.start}, {"end", s.end}, {"text", s.text}, {"tokens", s.tokens}};
    for (const auto& w : s.words) one["words"].push_back({{"word", w.text}, {"start", w.start}, {"end", w.end}});
    out["segments"].push_back(std::move(one));
  }
  return out;
}

std::string segment_line(const TranscribedSegment& s) {
  const bool hours = s.end >= 3600;
  return fmt::format("[{} --> {}] {}\n", clock(s.start, '.', hours), clock(s.end, '.', hours), transcription_stripped(s.text));
}

std::string transcript_file(const Transcription& t, std::string_view format) {
  std::string out;
  if (format == "json") return transcript_json(t).dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  if (format == "txt") {
    for (const auto& s : t.segments) out += std::string(transcription_stripped(s.text)) + "\n";
    return out;
  }
  if (format == "tsv") {
    out = "start\tend\ttext\n";
    for (const auto& s : t.segments) {
      std::string text(transcription_stripped(s.text));
      std::replace(text.begin(), text.end(), '\t', ' ');
      out += fmt::format("{}\t{}\t{}\n", std::llround(s.start * 1000), std::llround(s.end * 1000), text);
    }
    return out;
  }
  const bool srt = format == "srt";
  if (!srt && format != "vtt") fail(ErrorCode::usage, "transcribe: \"{}\" is not a format; there are txt, srt, vtt, tsv, json", format);
  if (!srt) out = "WEBVTT\n\n";
  int64_t number = 0;
  for (Cue& cue : cues(t)) {
    // An arrow would end the text of a cue.
    for (size_t at; (at = cue.text.find("-->")) != std::string::npos;) cue.text.replace(at, 3, "->");
    if (srt) out += fmt::format("{}\n", ++number);
    out += fmt::format("{} --> {}\n{}\n\n", clock(cue.start, srt ? ',' : '.', srt), clock(cue.end, srt ? ',' : '.', srt), cue.text);
  }
  return out;
}

}  // namespace mynah::tasks
