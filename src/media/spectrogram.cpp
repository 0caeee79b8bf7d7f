#include "media/spectrogram.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/require.h"
#include "base/thread_pool.h"

namespace mynah::media {

namespace {

using Complex = std::complex<double>;

// Multiplication without the standard's care for infinities.
Complex times(Complex a, Complex b) { return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()}; }

}  // namespace

RealFft::RealFft(int64_t n) : n_(n), half_(n % 2 == 0 ? n / 2 : n) {
  require(n > 0 && n <= (1 << 24), "fft: a length of {}", n);
  const auto root = [](int64_t k, int64_t of) { return std::polar(1.0, -2 * std::numbers::pi * static_cast<double>(k) / static_cast<double>(of)); };
  for (int64_t k = 0; k < half_; ++k) roots_.push_back(root(k, half_));
  for (int64_t k = 0; k <= n / 2; ++k) unpacking_.push_back(root(k, n));
  for (int64_t rest = half_; rest > 1;) {
    int64_t p = rest % 4 == 0 ? 4 : 2;
    while (rest % p != 0) ++p;
    factors_.push_back(p);
    rest /= p;
  }
  in_.resize(static_cast<size_t>(half_));
  out_.resize(static_cast<size_t>(half_));
}

// Stockham's order: each factor p turns `stride` interleaved transforms of p m values into p times as many of m values.
void RealFft::transform() {
  int64_t rest = half_, stride = 1;
  std::vector<Complex> a;
  for (const int64_t p : factors_) {
    const int64_t m = rest / p;
    const int64_t step = half_ / p;  // between the p-th roots of one
    a.resize(static_cast<size_t>(p));
    for (int64_t k = 0; k < m; ++k)
      for (int64_t q = 0; q < stride; ++q) {
        const Complex* from = in_.data() + q + stride * k;
        Complex* to = out_.data() + q + stride * p * k;
        if (p == 2) {
          const Complex x = from[0], y = from[stride * m];
          to[0] = x + y;
          to[stride] = times(x - y, roots_[static_cast<size_t>(k * stride)]);
          continue;
        }
        if (p == 4) {
          const Complex x = from[0], y = from[stride * m], z = from[2 * stride * m], w = from[3 * stride * m];
          const Complex even = x + z, odd = y + w, cross = x - z, turned((y - w).imag(), -(y - w).real());  // -i (y - w)
          to[0] = even + odd;
          to[stride] = times(cross + turned, roots_[static_cast<size_t>(k * stride)]);
          to[2 * stride] = times(even - odd, roots_[static_cast<size_t>(2 * k * stride)]);
          to[3 * stride] = times(cross - turned, roots_[static_cast<size_t>(3 * k * stride)]);
          continue;
        }
        for (int64_t r = 0; r < p; ++r) a[static_cast<size_t>(r)] = from[r * stride * m];
        for (int64_t j = 0; j < p; ++j) {
          Complex total = a[0];
          for (int64_t r = 1; r < p; ++r) total += times(a[static_cast<size_t>(r)], roots_[static_cast<size_t>(r * j % p * step)]);
          to[j * stride] = times(total, roots_[static_cast<size_t>(j * k * stride)]);
        }
      }
    stride *= p;
    rest = m;
    std::swap(in_, out_);
  }
}

void RealFft::forward(const double* in, Complex* out) {
  if (half_ == n_) {
    std::copy_n(in, n_, in_.begin());
    transform();
    std::copy_n(in_.begin(), n_ / 2 + 1, out);
    return;
  }
  // Even and odd values as one complex number each; what belongs to which follows from symmetry.
  for (int64_t i = 0; i < half_; ++i) in_[static_cast<size_t>(i)] = {in[2 * i], in[2 * i + 1]};
  transform();
  for (int64_t k = 0; k <= half_; ++k) {
    const Complex z = in_[static_cast<size_t>(k % half_)], mirrored = std::conj(in_[static_cast<size_t>((half_ - k) % half_)]);
    const Complex odd = z - mirrored;
    out[k] = 0.5 * (z + mirrored) + 0.5 * times(Complex(odd.imag(), -odd.real()), unpacking_[static_cast<size_t>(k)]);
  }
}

namespace {

// Slaney's mel scale: linear below 1 kHz, logarithmic above.
const double kLogStep = std::log(6.4) / 27;
double to_slaney_mel(double hz) { return hz < 1000 ? 3 * hz / 200 : 15 + std::log(hz / 1000) / kLogStep; }
double to_hz(double mel) { return mel < 15 ? 200 * mel / 3 : 1000 * std::exp((mel - 15) * kLogStep); }

}  // namespace

std::vector<std::vector<double>> mel_filters(int64_t bins, int64_t mels, double low, double high, int64_t rate, MelScale scale) {
  require(bins > 1 && mels > 0, "mel filters: {} of {} bins", mels, bins);
  const bool slaney = scale == MelScale::slaney;
  const auto to_mel = [&](double hz) { return slaney ? to_slaney_mel(hz) : 2595 * std::log10(1 + hz / 700); };
  const auto from_mel = [&](double mel) { return slaney ? to_hz(mel) : 700 * (std::pow(10, mel / 2595) - 1); };
  std::vector<double> edges;
  for (int64_t i = 0; i < mels + 2; ++i) edges.push_back(from_mel(to_mel(low) + (to_mel(high) - to_mel(low)) * static_cast<double>(i) / static_cast<double>(mels + 1)));
  std::vector<std::vector<double>> filters(static_cast<size_t>(mels), std::vector<double>(static_cast<size_t>(bins)));
  for (size_t m = 0; m < filters.size(); ++m)
    for (int64_t b = 0; b < bins; ++b) {
      const double hz = static_cast<double>(rate / 2) * static_cast<double>(b) / static_cast<double>(bins - 1);
      const double up = (hz - edges[m]) / (edges[m + 1] - edges[m]), down = (edges[m + 2] - hz) / (edges[m + 2] - edges[m + 1]);
      filters[m][static_cast<size_t>(b)] = std::max(0.0, std::min(up, down)) * (slaney ? 2 / (edges[m + 2] - edges[m]) : 1);
    }
  return filters;
}

namespace {

// Power of Hann windows of n_fft samples around every hop-th one, ends reflected, through the filters: put(frame, filter, power).
template <class Put>
void mel_powers(std::span<const float> samples, const std::vector<std::vector<double>>& filters, int64_t n_fft, int64_t hop, int64_t frames, const Put& put) {
  const auto n = static_cast<int64_t>(samples.size());
  const int64_t half = n_fft / 2, bins = half + 1;
  // Each filter is a triangle over few of the bins.
  std::vector<std::pair<int64_t, int64_t>> spans;
  for (const auto& filter : filters) {
    const auto some = [](double v) { return v != 0; };
    const auto first = std::find_if(filter.begin(), filter.end(), some) - filter.begin(), last = filter.rend() - std::find_if(filter.rbegin(), filter.rend(), some);
    spans.emplace_back(std::min(first, last), last);
  }
  std::vector<double> window(static_cast<size_t>(n_fft));
  for (int64_t i = 0; i < n_fft; ++i) window[static_cast<size_t>(i)] = 0.5 - 0.5 * std::cos(2 * std::numbers::pi * static_cast<double>(i) / static_cast<double>(n_fft));
  parallel_for(frames, 64, [&](int64_t t, int64_t end) {
    RealFft fft(n_fft);
    std::vector<double> frame(static_cast<size_t>(n_fft));
    std::vector<std::complex<double>> spectrum(static_cast<size_t>(bins));
    std::vector<double> power(static_cast<size_t>(bins));
    for (; t < end; ++t) {
      bool silent = true;
      for (int64_t i = 0; i < n_fft; ++i) {
        int64_t at = t * hop + i - half;
        if (at < 0) at = -at;
        if (at >= n) at = 2 * (n - 1) - at;
        const auto sample = static_cast<double>(samples[static_cast<size_t>(std::clamp<int64_t>(at, 0, n - 1))]);
        frame[static_cast<size_t>(i)] = sample * window[static_cast<size_t>(i)];
        silent = silent && sample == 0;
      }
      if (!silent) fft.forward(frame.data(), spectrum.data());
      for (int64_t b = 0; b < bins; ++b) power[static_cast<size_t>(b)] = silent ? 0 : std::norm(spectrum[static_cast<size_t>(b)]);
      for (size_t m = 0; m < filters.size(); ++m) {
        const auto [first, last] = spans[m];
        double total = 0;
        for (int64_t b = first; b < last; ++b) total += filters[m][static_cast<size_t>(b)] * power[static_cast<size_t>(b)];
        put(t, static_cast<int64_t>(m), total);
      }
    }
  });
}

}  // namespace

std::vector<float> decibel_mel(std::span<const float> samples, int64_t rate, int64_t mels, int64_t n_fft, int64_t hop, double low, double high, MelScale scale) {
  const auto n = static_cast<int64_t>(samples.size());
  require(n_fft > 1 && hop > 0 && n > n_fft / 2, "log-mel: {} samples, expected more than {}", n, n_fft / 2);
  const int64_t frames = n / hop + 1;
  std::vector<float> out(static_cast<size_t>(mels * frames));
  mel_powers(samples, mel_filters(n_fft / 2 + 1, mels, low, high, rate, scale), n_fft, hop, frames,
             [&](int64_t t, int64_t m, double power) { out[static_cast<size_t>(t * mels + m)] = static_cast<float>(10 * std::log10(std::max(power, 1e-10))); });
  return out;
}

std::vector<float> log_mel(std::span<const float> samples, int64_t rate, int64_t mels, int64_t n_fft, int64_t hop) {
  const auto n = static_cast<int64_t>(samples.size());
  const int64_t frames = hop > 0 ? n / hop : 0;
  require(n_fft > 1 && hop > 0 && n > n_fft / 2, "log-mel: {} samples, expected more than {}", n, n_fft / 2);
  std::vector<float> out(static_cast<size_t>(mels * frames));
  mel_powers(samples, mel_filters(n_fft / 2 + 1, mels, 0, 8000, rate), n_fft, hop, frames,
             [&](int64_t t, int64_t m, double power) { out[static_cast<size_t>(m * frames + t)] = static_cast<float>(std::log10(std::max(power, 1e-10))); });
  const float floor = *std::max_element(out.begin(), out.end()) - 8;
  for (float& x : out) x = (std::max(x, floor) + 4) / 4;
  return out;
}

}  // namespace mynah::media
