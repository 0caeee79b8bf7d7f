// Sound -> input_features or input_values, as the feature extractor named in a model's preprocessor_config.json makes
// them (transformers 4.57). Known: Whisper's log-mel windows, the samples of Wav2Vec2 and SpeechT5, AST's filter banks,
// CLAP's spectrograms.
#pragma once
#include <span>
#include <vector>

#include "base/json.h"
#include "media/sound.h"
#include "nn/model.h"

namespace mynah::bundle {

class SoundProcessor {
 public:
  // Throws failure for a kind that is not known.
  explicit SoundProcessor(const Json& config);
  int64_t rate() const { return rate_; }  // Hz that the model hears
  // Sounds at any rate, one channel. Whisper: input_features [B,mels,frames], cut or filled to chunk_length. Wav2Vec2:
  // input_values [B,samples] filled with zeros to the longest, attention_mask [B,samples] if the config returns it.
  // AST: input_values [B,frames,mels]. CLAP: input_features [B,1 or 4,frames,mels] and is_longer [B,1]; of a sound longer than max_length_s
  // the reference takes stretches at random, here its beginning or the middles of its thirds.
  nn::NamedTensors operator()(std::span<const media::Sound> sounds) const;
  // One sound as it is, however long: what operator() gives, but Whisper's features [1,mels,frames] are not cut; and an attention_mask
  // [1,frames] or [1,samples] of what is not filling.
  nn::NamedTensors whole(const media::Sound& sound) const;
  // Seconds that Whisper's windows have; 0 for others.
  int64_t window_seconds() const;

 private:
  Tensor log_mel(std::vector<float> samples) const;  // [1,mels,frames]
  std::vector<float> heard(const media::Sound& sound) const;
  nn::NamedTensors clap(std::vector<std::vector<float>> sounds) const;
  nn::NamedTensors filter_banks(const std::vector<std::vector<float>>& sounds) const;

  Json config_;
  bool whisper_ = false, speecht5_ = false, fbank_ = false, clap_ = false;
  int64_t rate_ = 16000;
};

}  // namespace mynah::bundle
