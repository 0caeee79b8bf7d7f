// What models that speak offer beyond forward(): the sound of one text's tokens, with settings that a caller may
// change.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "nn/model.h"

namespace mynah::nn {

struct VoiceSettings {
  uint64_t seed = 0;                   // of the noise
  std::optional<float> speaking_rate;  // absent: the checkpoint's own, as for all that follow
  std::optional<float> noise_scale, noise_scale_duration;
  std::optional<int64_t> speaker;                             // of models with several voices
  Tensor speaker_embedding;                                   // [1, size], for models that take a voice as numbers
  float threshold = 0.5f, minlenratio = 0, maxlenratio = 20;  // when models that write frame by frame stop
};

class SpeechModel : public Model {
 public:
  // Samples in [-1, 1]. Throws failure for ids outside the vocabulary and settings that the model does not have.
  virtual std::vector<float> speak(std::span<const int32_t> ids, const VoiceSettings& settings) const = 0;
  virtual int64_t sampling_rate() const = 0;  // Hz
};

// A model that writes a spectrogram, which a vocoder makes sound.
class SpectrogramModel : public Model {
 public:
  // [1, frames, bins]. Throws failure as SpeechModel::speak does.
  virtual Tensor spectrogram(std::span<const int32_t> ids, const VoiceSettings& settings) const = 0;
  virtual int64_t speaker_size() const = 0;  // numbers that describe a voice
};

class VocoderModel : public Model {
 public:
  virtual Tensor waveform(const Tensor& spectrogram) const = 0;  // [B, frames, bins] -> [B, samples]
  virtual int64_t sampling_rate() const = 0;                     // Hz
};

}  // namespace mynah::nn
