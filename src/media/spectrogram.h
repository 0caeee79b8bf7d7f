// Short-time spectra of sound: the FFT of any length, mel filters, log-mel features. Rules: reference of each function.
#pragma once
#include <complex>
#include <cstdint>
#include <span>
#include <vector>

namespace mynah::media {

// Discrete Fourier transform of real input, any length n: the n / 2 + 1 first coefficients.
class RealFft {
 public:
  explicit RealFft(int64_t n);
  int64_t size() const { return n_; }
  void forward(const double* in, std::complex<double>* out);

 private:
  void transform();  // in_ to in_, by way of out_

  int64_t n_, half_;  // half_: length of the complex transform
  std::vector<int64_t> factors_;
  std::vector<std::complex<double>> roots_, unpacking_, in_, out_;  // roots_[k] = e^(-2 pi i k / half_), unpacking_[k] = e^(-2 pi i k / n)
};

// slaney: its scale, each filter of constant area, as librosa's default; htk: HTK's scale, each filter 1 at its peak, as torchaudio's.
enum class MelScale { slaney, htk };

// Triangular filters [mels][bins] over `bins` frequencies from 0 to rate / 2, between low and high Hz.
std::vector<std::vector<double>> mel_filters(int64_t bins, int64_t mels, double low, double high, int64_t rate, MelScale scale = MelScale::slaney);

// Features [frames, mels] of CLAP (arXiv:2211.06687): as below, but of filters between low and high Hz, in decibels down to -100, with a frame
// at the end: frames = samples / hop + 1.
std::vector<float> decibel_mel(std::span<const float> samples, int64_t rate, int64_t mels, int64_t n_fft, int64_t hop, double low, double high, MelScale scale);

// Features [mels, frames] of Whisper (arXiv:2212.04356): Hann windows of n_fft samples every `hop`, reflected ends, power, mel
// filters to 8 kHz, log10 down to 1e-10, cut 8 below the largest, (x + 4) / 4. frames = samples / hop.
std::vector<float> log_mel(std::span<const float> samples, int64_t rate, int64_t mels, int64_t n_fft, int64_t hop);

}  // namespace mynah::media
