// What a checkpoint's generation_config.json says of Whisper's special tokens, and the rules that follow from it.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "nn/decoding.h"

namespace mynah {

struct WhisperRules {
  explicit WhisperRules(const nn::DecodingRequest& request);

  int32_t start, end, pad;
  int32_t no_timestamps = -1;        // -1: there is none
  int32_t timestamps = INT32_MAX;    // the first timestamp, <|0.00|>
  int32_t previous = -1;             // <|startofprev|>; -1: there is none
  std::optional<int64_t> max_initial_timestamp;
  bool detect_timestamps = true;
  bool multilingual = true;
  std::map<std::string, int32_t> languages, tasks;  // "<|en|>", "transcribe" -> token
  std::vector<std::optional<int32_t>> forced;       // the prompt after the start token, for models that say so; empty: a language to be heard
  std::vector<std::pair<int64_t, int64_t>> alignment_heads;  // layer, head

  bool is_timestamp(int32_t token) const { return token >= timestamps; }
  // The token of a language by name, code or token. Throws usage for one that the model does not know.
  int32_t language(const std::string& name) const;
  // The prompt of one sound. `heard`: its language, asked for only where nobody says it.
  template <class Heard>
  std::vector<int32_t> prompt(const SpeechSettings& speech, const std::string* language, bool with_timestamps, const Heard& heard) const {
    std::optional<int32_t> id;
    if (language) id = this->language(*language);
    else if (!languages.empty() && hears(speech)) id = heard();
    return prompt_with(speech, id, language != nullptr, with_timestamps);
  }

  // Timestamps come in pairs and never go back; one begins the text; one is taken where they are likelier together than any word.
  // `begin`: tokens of the prompt.
  void restrict_timestamps(std::span<const int32_t> tokens, int64_t begin, std::span<float> scores) const;

 private:
  bool hears(const SpeechSettings& speech) const;  // whether the language is not given by the model's own prompt
  std::vector<int32_t> prompt_with(const SpeechSettings& speech, std::optional<int32_t> language, bool given, bool with_timestamps) const;
};

// Bytes of the tokens per byte of their zlib form: high for text that repeats itself.
double whisper_compression_ratio(std::span<const int32_t> tokens, int64_t vocabulary);

}  // namespace mynah
