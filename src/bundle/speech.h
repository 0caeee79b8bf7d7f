// A model that speaks, with what turns text into its tokens: its tokenizer, or phonemes by espeak-ng.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/bundle.h"
#include "nn/speech.h"

namespace mynah::bundle {

class Speech {
 public:
  // Throws failure for a model that does not speak, or writes spectrograms and has no vocoder. Both must be opened with
  // their networks, and live on.
  explicit Speech(const Bundle& model, const Bundle* vocoder = nullptr);

  int64_t sampling_rate() const;  // Hz
  // Numbers that describe a voice, for models that want them; else 0.
  int64_t speaker_size() const { return writer_ ? writer_->speaker_size() : 0; }
  // The number of a voice that the model's files give a name. Throws failure for an unknown one, naming some.
  int64_t speaker(const std::string& name) const;
  // The tokens of one text; none when nothing in it can be spoken.
  std::vector<int32_t> tokens(std::string_view text) const;

  // Speaks a text: a model of phonemes sentence by sentence with pauses between them, others in one go, or likewise
  // with `by_sentence`. `heard` gets the sound as it comes; it returns false to stop. Throws failure when nothing can
  // be spoken.
  std::vector<float> say(std::string_view text, const nn::VoiceSettings& settings, bool by_sentence = false,
                         const std::function<bool(std::span<const float>)>& heard = {}) const;

 private:
  std::vector<int32_t> piper_tokens(std::string_view sentence) const;
  std::vector<int32_t> table_ids(std::string_view phonemes) const;
  std::vector<float> sound_of(std::span<const int32_t> ids, const nn::VoiceSettings& settings) const;

  const Bundle& model_;
  const nn::SpeechModel* network_;      // either this
  const nn::SpectrogramModel* writer_;  // or these two
  const nn::VocoderModel* vocoder_ = nullptr;
  std::shared_ptr<const Tokenizer> tokenizer_;            // null where phonemes are looked up
  std::map<std::string, std::vector<int32_t>> phonemes_;  // of a Piper voice, or of a VitsTokenizer that phonemizes
  Json tokenizer_config_;
};

}  // namespace mynah::bundle
