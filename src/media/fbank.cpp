#include "media/fbank.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/require.h"
#include "base/thread_pool.h"
#include "media/spectrogram.h"

namespace mynah::media {
namespace {

double to_kaldi_mel(double hz) { return 1127 * std::log(1 + hz / 700); }

// [mels][bins]
std::vector<std::vector<double>> triangles(int64_t bins, int64_t mels, int64_t rate) {
  const double low = to_kaldi_mel(20), high = to_kaldi_mel(static_cast<double>(rate / 2)),
               step = (high - low) / static_cast<double>(mels + 1);
  const double width = static_cast<double>(rate) / static_cast<double>((bins - 1) * 2);
  std::vector<std::vector<double>> filters(static_cast<size_t>(mels), std::vector<double>(static_cast<size_t>(bins)));
  for (int64_t m = 0; m < mels; ++m)
    for (int64_t b = 0; b < bins; ++b) {
      const double mel = to_kaldi_mel(width * static_cast<double>(b)), left = low + step * static_cast<double>(m);
      filters[static_cast<size_t>(m)][static_cast<size_t>(b)] =
          std::max(0.0, std::min((mel - left) / step, (left + 2 * step - mel) / step));
    }
  return filters;
}

}  // namespace

std::vector<float> kaldi_fbank(std::span<const float> samples, int64_t rate, int64_t mels) {
  const int64_t window = rate * 25 / 1000, hop = rate / 100;
  require(window > 1 && hop > 0 && mels > 0 && mels <= 4096, "fbank: {} mel bins at {} Hz", mels, rate);
  int64_t n_fft = 1;
  while (n_fft < window) n_fft *= 2;
  const auto n = static_cast<int64_t>(samples.size());
  const int64_t frames = n < window ? 0 : 1 + (n - window) / hop, bins = n_fft / 2 + 1;
  const auto filters = triangles(bins, mels, rate);
  std::vector<double> shape(static_cast<size_t>(window));
  for (int64_t i = 0; i < window; ++i)
    shape[static_cast<size_t>(i)] =
        0.5 - 0.5 * std::cos(2 * std::numbers::pi * static_cast<double>(i) / static_cast<double>(window - 1));
  constexpr double kFloor = 1.192092955078125e-07, kEmphasis = 0.97;
  std::vector<float> out(static_cast<size_t>(frames * mels));
  parallel_for(frames, 64, [&](int64_t t, int64_t end) {
    RealFft fft(n_fft);
    std::vector<double> frame(static_cast<size_t>(n_fft));
    std::vector<std::complex<double>> spectrum(static_cast<size_t>(bins));
    for (; t < end; ++t) {
      double mean = 0;
      for (int64_t i = 0; i < window; ++i) mean += samples[static_cast<size_t>(t * hop + i)];
      mean /= static_cast<double>(window);
      double before = samples[static_cast<size_t>(t * hop)] - mean;  // the first sample is its own predecessor
      for (int64_t i = 0; i < window; ++i) {
        const double now = samples[static_cast<size_t>(t * hop + i)] - mean;
        frame[static_cast<size_t>(i)] = (now - kEmphasis * before) * shape[static_cast<size_t>(i)];
        before = now;
      }
      fft.forward(frame.data(), spectrum.data());
      for (int64_t m = 0; m < mels; ++m) {
        double total = 0;
        for (int64_t b = 0; b < bins; ++b)
          total +=
              filters[static_cast<size_t>(m)][static_cast<size_t>(b)] * std::norm(spectrum[static_cast<size_t>(b)]);
        out[static_cast<size_t>(t * mels + m)] = static_cast<float>(std::log(std::max(total, kFloor)));
      }
    }
  });
  return out;
}

}  // namespace mynah::media
