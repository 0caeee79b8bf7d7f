// Log-mel filter banks as Kaldi computes them (compliance of torchaudio and of transformers' own audio_utils).
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace mynah::media {

// Features [frames, mels]: windows of 25 ms every 10 ms that fit into the sound, without their mean, pre-emphasis 0.97,
// symmetric Hann windows, power spectrum of 512 places at 16 kHz, triangles from 20 Hz to rate / 2 that are straight on
// Kaldi's mel scale, natural logarithm down to the smallest step of a float. frames = 1 + (samples - window) / hop, 0
// for shorter sounds.
std::vector<float> kaldi_fbank(std::span<const float> samples, int64_t rate, int64_t mels);

}  // namespace mynah::media
