// Speech as people keep it: segments with their times, words, the language; and the files that are made of it.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "media/sound.h"
#include "mynah/generate.h"
#include "mynah/pipeline.h"

namespace mynah::tasks {

struct TranscribedWord {
  double start, end;  // seconds
  std::string text;   // with the blank before it, as the model says it
};
struct TranscribedSegment {
  double start, end;
  std::string text;
  std::vector<int32_t> tokens;  // timestamps included
  std::vector<TranscribedWord> words;
};
struct Transcription {
  std::string text, language, task;  // language: its name, empty if the model says none
  double duration = 0;               // seconds of the sound
  std::vector<TranscribedSegment> segments;
};

// How long sounds are written down well: the model's settings, timestamps, other tries where an answer looks wrong, silence left out.
GenerationConfig transcription_defaults(const Model& model);

// `on_segment` is called with each segment as it is found; returning false ends the work. `prompt`: text that came before. Where nobody
// speaks (media/voice_activity.h) there are no segments, whatever the model makes of the noise, unless `everywhere`. Throws failure for
// a model that does not hear.
Transcription transcribe(const Model& model, const media::Sound& sound, GenerationConfig config, const std::string& prompt,
                         const std::function<bool(const TranscribedSegment&)>& on_segment, bool everywhere = false);

// Whether there is nothing to be heard: every sample is within 1e-4 of zero, or all is quiet (no 100 ms louder than 0.01 on average)
// and nobody speaks.
bool is_silent(const media::Sound& sound);

constexpr std::string_view kTranscriptFormats[] = {"txt", "srt", "vtt", "tsv", "json"};
// The text of a file of one of these formats. With words, srt and vtt show one word at a time.
std::string transcript_file(const Transcription& t, std::string_view format);
Json transcript_json(const Transcription& t);
// "[00:00.000 --> 00:02.500] text"
std::string segment_line(const TranscribedSegment& segment);

}  // namespace mynah::tasks
