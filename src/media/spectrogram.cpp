#include "media/spectrogram.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/require.h"
#include "base/thread_pool.h"

namespace mynah::media {

RealFft::RealFft(int64_t n) : n_(n) {
  require(n > 0 && n <= (1 << 24), "fft: a length of {}", n);
  for (int64_t k = 0; k < n; ++k) roots_.push_back(std::polar(1.0, -2 * std::numbers::pi * static_cast<double>(k) / static_cast<double>(n)));
  in_.resize(static_cast<size_t>(n));
  out_.resize(static_cast<size_t>(n));
  scratch_.resize(static_cast<size_t>(n));
}

// Mixed radix, decimation in time: n = p m splits into p transforms of every p-th value.
void RealFft::transform(const std::complex<double>* in, int64_t stride, int64_t n, std::complex<double>* out) {
  if (n == 1) {
    out[0] = in[0];
    return;
  }
  int64_t p = 2;
  while (n % p != 0) ++p;
  const int64_t m = n / p;
  for (int64_t r = 0; r < p; ++r) transform(in + r * stride, stride * p, m, out + r * m);
  // out[k + j m] = sum over r of part_r[k] w^(r (k + j m)), w the n-th root
  const int64_t step = n_ / n;
  std::vector<std::complex<double>> parts(static_cast<size_t>(p));
  for (int64_t k = 0; k < m; ++k) {
    for (int64_t r = 0; r < p; ++r) parts[static_cast<size_t>(r)] = out[r * m + k];
    for (int64_t j = 0; j < p; ++j) {
      std::complex<double> total = 0;
      for (int64_t r = 0; r < p; ++r) total += parts[static_cast<size_t>(r)] * roots_[static_cast<size_t>(r * (k + j * m) % n * step)];
      scratch_[static_cast<size_t>(j)] = total;
    }
    for (int64_t j = 0; j < p; ++j) out[j * m + k] = scratch_[static_cast<size_t>(j)];
  }
}

void RealFft::forward(const double* in, std::complex<double>* out) {
  std::copy_n(in, n_, in_.begin());
  transform(in_.data(), 1, n_, out_.data());
  std::copy_n(out_.begin(), n_ / 2 + 1, out);
}

namespace {

// Slaney's mel scale: linear below 1 kHz, logarithmic above.
const double kLogStep = std::log(6.4) / 27;
double to_mel(double hz) { return hz < 1000 ? 3 * hz / 200 : 15 + std::log(hz / 1000) / kLogStep; }
double to_hz(double mel) { return mel < 15 ? 200 * mel / 3 : 1000 * std::exp((mel - 15) * kLogStep); }

}  // namespace

std::vector<std::vector<double>> mel_filters(int64_t bins, int64_t mels, double low, double high, int64_t rate) {
  require(bins > 1 && mels > 0, "mel filters: {} of {} bins", mels, bins);
  std::vector<double> edges;
  for (int64_t i = 0; i < mels + 2; ++i) edges.push_back(to_hz(to_mel(low) + (to_mel(high) - to_mel(low)) * static_cast<double>(i) / static_cast<double>(mels + 1)));
  std::vector<std::vector<double>> filters(static_cast<size_t>(mels), std::vector<double>(static_cast<size_t>(bins)));
  for (size_t m = 0; m < filters.size(); ++m)
    for (int64_t b = 0; b < bins; ++b) {
      const double hz = static_cast<double>(rate / 2) * static_cast<double>(b) / static_cast<double>(bins - 1);
      const double up = (hz - edges[m]) / (edges[m + 1] - edges[m]), down = (edges[m + 2] - hz) / (edges[m + 2] - edges[m + 1]);
      filters[m][static_cast<size_t>(b)] = std::max(0.0, std::min(up, down)) * 2 / (edges[m + 2] - edges[m]);
    }
  return filters;
}

std::vector<float> log_mel(std::span<const float> samples, int64_t rate, int64_t mels, int64_t n_fft, int64_t hop) {
  const auto n = static_cast<int64_t>(samples.size());
  const int64_t half = n_fft / 2, bins = half + 1, frames = hop > 0 ? n / hop : 0;
  require(n_fft > 1 && hop > 0 && n > half, "log-mel: {} samples, expected more than {}", n, half);
  const auto filters = mel_filters(bins, mels, 0, 8000, rate);
  std::vector<double> window(static_cast<size_t>(n_fft));
  for (int64_t i = 0; i < n_fft; ++i) window[static_cast<size_t>(i)] = 0.5 - 0.5 * std::cos(2 * std::numbers::pi * static_cast<double>(i) / static_cast<double>(n_fft));
  std::vector<float> out(static_cast<size_t>(mels * frames));
  parallel_for(frames, 64, [&](int64_t t, int64_t end) {
    RealFft fft(n_fft);
    std::vector<double> frame(static_cast<size_t>(n_fft));
    std::vector<std::complex<double>> spectrum(static_cast<size_t>(bins));
    for (; t < end; ++t) {
      for (int64_t i = 0; i < n_fft; ++i) {
        int64_t at = t * hop + i - half;
        if (at < 0) at = -at;
        if (at >= n) at = 2 * (n - 1) - at;
        frame[static_cast<size_t>(i)] = static_cast<double>(samples[static_cast<size_t>(std::clamp<int64_t>(at, 0, n - 1))]) * window[static_cast<size_t>(i)];
      }
      fft.forward(frame.data(), spectrum.data());
      for (int64_t m = 0; m < mels; ++m) {
        double total = 0;
        for (int64_t b = 0; b < bins; ++b) total += filters[static_cast<size_t>(m)][static_cast<size_t>(b)] * std::norm(spectrum[static_cast<size_t>(b)]);
        out[static_cast<size_t>(m * frames + t)] = static_cast<float>(std::log10(std::max(total, 1e-10)));
      }
    }
  });
  const float floor = *std::max_element(out.begin(), out.end()) - 8;
  for (float& x : out) x = (std::max(x, floor) + 4) / 4;
  return out;
}

}  // namespace mynah::media
