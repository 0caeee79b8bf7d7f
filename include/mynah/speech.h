// Speech: settings of models that write down sound (Whisper), named as in transformers' generate(), and what they give beside text.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace mynah {

// A stretch of speech. Times are seconds from the beginning of the sound.
struct SpeechSegment {
  double start = 0, end = 0;
  std::vector<int32_t> tokens;      // timestamps included
  std::vector<float> token_times;   // when each token ends, if asked for
};

struct SpeechSettings {
  std::vector<std::string> language;  // "en", "english" or "<|en|>": one for all sounds, or one for each; empty: heard from the sound
  std::optional<std::string> task;    // "transcribe" or "translate" (to English)
  std::optional<bool> is_multilingual;
  std::optional<bool> return_timestamps;   // always on for sounds longer than a window
  bool return_token_timestamps = false;
  std::vector<int32_t> prompt_ids;         // text that came before, <|startofprev|> first
  std::string prompt_condition_type = "first-segment";  // or "all-segments"
  std::optional<bool> condition_on_prev_tokens;         // each window reads what the last ones said
  std::vector<float> temperature;          // tried in order while an answer looks wrong; above 0 it is sampled. Empty: never sampled
  // What looks wrong: text that compresses better, or is less likely on average; and what is silence: an unlikely text where the
  // probability of no speech is higher.
  std::optional<float> compression_ratio_threshold, logprob_threshold, no_speech_threshold;
  std::string asked;                       // one of these that the caller named, for refusing it where it means nothing
  // Called with each segment of a sound as it is found, in order; returning false ends the work.
  std::function<bool(int64_t row, const SpeechSegment& segment)> on_segment;
};

// What one sound says.
struct Transcript {
  std::vector<int32_t> tokens;            // of all segments
  std::vector<SpeechSegment> segments;
  int32_t language = -1;                  // the token of the language that was given or heard
};

}  // namespace mynah
