// The text of what a model with timestamps wrote down, piece by piece of a sound: segments and words with their times, pieces that overlap
// joined where they say the same. As _decode_asr of tokenization_whisper.py in transformers 4.57.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mynah/tokenizer.h"

namespace mynah::tasks {

// One piece of a sound.
struct SpeechPiece {
  std::vector<int32_t> tokens;
  std::vector<float> token_times;          // seconds at which each token ends; for words
  std::string language;                    // its name, "english"; empty: not known
  double length = 0, left = 0, right = 0;  // seconds, those that belong to the pieces around it included; 0: the piece is all there is
};

struct SpeechWord {
  std::string text, language;
  double start, end;
};
struct SpeechChunk {
  std::string text, language;
  std::optional<double> start, end;
  std::vector<SpeechWord> words;
};

struct SpeechTextOptions {
  bool timestamps = false;   // the text is cut where segments end
  bool words = false;
  double time_precision = 0.02;  // seconds between two timestamps
};

std::vector<SpeechChunk> speech_chunks(const Tokenizer& tokenizer, const std::vector<SpeechPiece>& pieces, const SpeechTextOptions& options);

// The first timestamp token; absent for tokenizers without.
std::optional<int32_t> timestamp_begin(const Tokenizer& tokenizer);

}  // namespace mynah::tasks
