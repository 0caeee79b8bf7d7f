// Sound -> input_features or input_values, as the feature extractor named in a model's preprocessor_config.json makes them
// (transformers 4.57). Known: Whisper's log-mel windows, Wav2Vec2's normalised samples.
#pragma once
#include <nlohmann/json.hpp>
#include <span>

#include "base/json.h"
#include "media/sound.h"
#include "nn/model.h"

namespace mynah::bundle {

class SoundProcessor {
 public:
  // Throws failure for a kind that is not known.
  explicit SoundProcessor(const Json& config);
  int64_t rate() const { return rate_; }  // Hz that the model hears
  // Sounds at any rate, one channel. Whisper: input_features [B,mels,frames], cut or filled to chunk_length. Wav2Vec2: input_values
  // [B,samples] filled with zeros to the longest, attention_mask [B,samples] if the config returns it.
  nn::NamedTensors operator()(std::span<const media::Sound> sounds) const;

 private:
  Json config_;
  bool whisper_ = false;
  int64_t rate_ = 16000;
};

}  // namespace mynah::bundle
