#include "media/voice_activity.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <complex>
#include <numbers>

#include "base/require.h"
#include "media/spectrogram.h"

namespace mynah::media {
namespace {

constexpr double kFrameSeconds = 0.032, kHopSeconds = 0.01;
constexpr size_t kBands = 16;
constexpr double kLowHz = 100, kHighHz = 3800;
constexpr double kLowestPitchHz = 70, kHighestPitchHz = 400;

constexpr double kQuiet = 1e-3;          // no frame whose root mean square is below this is active
constexpr double kAbove = 4;             // a band counts where its power is so many times the noise's
constexpr double kBelowLoudest = 3e-5;   // weaker bands may be leakage of the loudest
constexpr size_t kBandsToBegin = 6, kBandsToGoOn = 4;
constexpr double kDifference = 0.9;
constexpr double kVoiced = 0.45;          // correlation of a frame with itself, one period later
constexpr double kQuietRoom = 2e-4;      // root mean square of the noise that is assumed until enough was heard
constexpr size_t kNoiseFrames = 200;     // the noise of a band is its least power within so many frames ...
constexpr size_t kNoiseBlock = 20;       // ... found block by block
constexpr double kMinimumBias = 2;       // how much the mean of noise lies above its least smoothed power
constexpr double kSmoothing = 0.7;
constexpr size_t kOnsetFrames = 40, kOnsetActive = 14, kOnsetVoiced = 8, kOnsetGap = 12;
constexpr size_t kRun = 3;               // active frames in a row that are more than a click

using Powers = std::array<double, kBands>;

// The least smoothed power of each band in the last kNoiseFrames frames.
class NoiseFloor {
 public:
  explicit NoiseFloor(double quiet_band) : quiet_(quiet_band) {}

  void take(const Powers& powers) {
    for (size_t b = 0; b < kBands; ++b) {
      smoothed_[b] = frames_ == 0 ? powers[b] : kSmoothing * smoothed_[b] + (1 - kSmoothing) * powers[b];
      block_[b] = frames_ % kNoiseBlock == 0 ? smoothed_[b] : std::min(block_[b], smoothed_[b]);
    }
    if (++frames_ % kNoiseBlock != 0) return;
    blocks_.push_back(block_);
    if (blocks_.size() > kNoiseFrames / kNoiseBlock) blocks_.pop_front();
    least_ = blocks_.front();
    for (const Powers& one : blocks_)
      for (size_t b = 0; b < kBands; ++b) least_[b] = std::min(least_[b], one[b]);
  }
  double operator[](size_t b) const {
    // Who starts to speak with the first sample is heard above a quiet room.
    if (frames_ < kNoiseFrames) return blocks_.empty() ? quiet_ : std::min(quiet_, kMinimumBias * least_[b]);
    return std::max(kMinimumBias * least_[b], 0.01 * quiet_);
  }

 private:
  double quiet_;
  size_t frames_ = 0;
  Powers smoothed_{}, block_{}, least_{};
  std::deque<Powers> blocks_;
};

struct SoundFrame {
  bool begins = false, goes_on = false;
  bool voiced = false;  // looked at only where a frame begins something
};

}  // namespace

struct VoiceActivity::State {
  const int64_t size, hop;
  const int64_t pause, margin, longest;  // samples
  const int64_t shortest_lag, longest_lag;
  RealFft fft;
  std::vector<double> window, frame, plain, difference, squares;
  std::vector<std::complex<double>> spectrum;
  std::array<std::pair<size_t, size_t>, kBands> bands;  // of the spectrum's places
  double window_power = 0;
  NoiseFloor floor;

  std::vector<float> held;  // samples from `at` on
  int64_t at = 0, heard = 0;
  std::deque<SoundFrame> recent;  // the last kOnsetFrames frames
  size_t run = 0;
  bool speaking = false;
  int64_t begin = 0, active_until = 0, last_end = 0;

  State(int64_t rate, const VoiceSettings& s)
      : size(static_cast<int64_t>(std::lround(kFrameSeconds * static_cast<double>(rate)))),
        hop(static_cast<int64_t>(std::lround(kHopSeconds * static_cast<double>(rate)))),
        pause(samples(s.pause_seconds, rate)),
        margin(samples(s.margin_seconds, rate)),
        longest(std::max(samples(s.longest_seconds, rate), pause + hop)),
        shortest_lag(samples(1 / kHighestPitchHz, rate)),
        longest_lag(samples(1 / kLowestPitchHz, rate)),
        fft(size),
        window(static_cast<size_t>(size)),
        frame(static_cast<size_t>(size)),
        plain(static_cast<size_t>(size)),
        difference(static_cast<size_t>(size)),
        squares(static_cast<size_t>(size + 1)),
        spectrum(static_cast<size_t>(size / 2 + 1)),
        floor(kQuietRoom * kQuietRoom / kBands) {
    for (size_t i = 0; i < window.size(); ++i) {
      window[i] = 0.5 - 0.5 * std::cos(2 * std::numbers::pi * static_cast<double>(i) / static_cast<double>(size));
      window_power += window[i] * window[i];
    }
    // Bands of equal width on a logarithmic scale, each of one place at least.
    const double top = std::min(kHighHz, 0.475 * static_cast<double>(rate)), places = static_cast<double>(size) / static_cast<double>(rate);
    size_t first = static_cast<size_t>(std::ceil(kLowHz * places));
    for (size_t b = 0; b < kBands; ++b) {
      const double edge = kLowHz * std::pow(top / kLowHz, static_cast<double>(b + 1) / kBands) * places;
      const size_t end = std::max(first + 1, static_cast<size_t>(std::ceil(edge)));
      bands[b] = {first, std::min(end, spectrum.size())};
      first = end;
    }
  }

  static int64_t samples(double seconds, int64_t rate) { return static_cast<int64_t>(std::lround(seconds * static_cast<double>(rate))); }

  // The frame's mean square, band by band.
  Powers band_powers() {
    for (size_t i = 0; i < frame.size(); ++i) frame[i] *= window[i];
    fft.forward(frame.data(), spectrum.data());
    Powers out;
    const double scale = 2 / (window_power * static_cast<double>(size));
    for (size_t b = 0; b < kBands; ++b) {
      double total = 0;
      for (size_t k = bands[b].first; k < bands[b].second; ++k) total += std::norm(spectrum[k]);
      out[b] = total * scale;
    }
    return out;
  }

  // The largest correlation of the frame with itself at the lags of a voice's pitch; of a pure repetition 1. Differences of
  // samples are compared: rumble is like itself at any lag.
  double periodicity() {
    double best = 0;
    const auto n = static_cast<size_t>(size);
    for (size_t i = 0; i < n; ++i) {
      difference[i] = plain[i] - (i > 0 ? kDifference * plain[i - 1] : 0);
      squares[i + 1] = squares[i] + difference[i] * difference[i];
    }
    for (auto lag = static_cast<size_t>(shortest_lag); lag <= static_cast<size_t>(longest_lag) && lag + 32 < n; ++lag) {
      double product = 0;
      for (size_t i = 0; i + lag < n; ++i) product += difference[i] * difference[i + lag];
      const double energy = std::sqrt(squares[n - lag] * (squares[n] - squares[lag]));
      if (energy > 0) best = std::max(best, product / energy);
    }
    return best;
  }

  SoundFrame next_frame(const float* samples_of_it) {
    double mean = 0, square = 0;
    for (size_t i = 0; i < frame.size(); ++i) {
      const float s = samples_of_it[i];
      frame[i] = std::isfinite(s) ? std::clamp(static_cast<double>(s), -1.0, 1.0) : 0;
      mean += frame[i];
    }
    mean /= static_cast<double>(size);
    for (double& v : frame) {
      v -= mean;
      square += v * v;
    }
    const bool loud = square / static_cast<double>(size) > kQuiet * kQuiet;
    SoundFrame out;
    std::copy(frame.begin(), frame.end(), plain.begin());
    const Powers powers = band_powers();
    const double least = kBelowLoudest * *std::max_element(powers.begin(), powers.end());
    size_t above = 0;
    for (size_t b = 0; b < kBands; ++b) above += powers[b] > std::max(kAbove * floor[b], least);
    floor.take(powers);
    out.begins = loud && above >= kBandsToBegin;
    out.goes_on = loud && above >= kBandsToGoOn;
    out.voiced = out.begins && !speaking && periodicity() > kVoiced;
    return out;
  }

  // The frame whose first sample is `at`.
  void advance(const float* samples_of_it, std::vector<Utterance>* found) {
    const SoundFrame f = next_frame(samples_of_it);
    recent.push_back(f);
    if (recent.size() > kOnsetFrames) recent.pop_front();
    run = f.goes_on ? run + 1 : 0;
    const int64_t end = at + size;
    if (!speaking) {
      size_t active = 0, voiced = 0;
      for (const SoundFrame& one : recent) {
        active += one.begins;
        voiced += one.voiced;
      }
      if (active < kOnsetActive || voiced < kOnsetVoiced) return;
      // Back to where the activity became dense: single frames before it are noise.
      size_t first = recent.size() - 1;
      for (size_t i = recent.size(); i-- > 0 && first - i <= kOnsetGap;)
        if (recent[i].begins) first = i;
      speaking = true;
      active_until = end;
      begin = std::max(at - static_cast<int64_t>(recent.size() - 1 - first) * hop - margin, last_end);
      return;
    }
    if (run >= kRun) active_until = end;
    if (end - active_until >= pause || end - begin >= longest) close(std::min(active_until + margin, end), found);
  }

  void close(int64_t end, std::vector<Utterance>* found) {
    found->push_back({begin, end});
    last_end = end;
    speaking = false;
    recent.clear();
    run = 0;
  }
};

VoiceActivity::VoiceActivity(int64_t rate, const VoiceSettings& settings) {
  require(rate >= 8000 && rate <= 768'000, "voice activity: samples at {} Hz, expected 8000 to 768000", rate);
  state_ = std::make_unique<State>(rate, settings);
}
VoiceActivity::~VoiceActivity() = default;
VoiceActivity::VoiceActivity(VoiceActivity&&) noexcept = default;

std::vector<Utterance> VoiceActivity::push(std::span<const float> samples) {
  std::vector<Utterance> found;
  State& s = *state_;
  // In pieces, so that what is held stays small.
  for (size_t done = 0; done < samples.size();) {
    const size_t n = std::min<size_t>(samples.size() - done, 1 << 16);
    s.held.insert(s.held.end(), samples.begin() + static_cast<long>(done), samples.begin() + static_cast<long>(done + n));
    s.heard += static_cast<int64_t>(n);
    done += n;
    int64_t used = 0;
    for (; static_cast<int64_t>(s.held.size()) - used >= s.size; used += s.hop, s.at += s.hop) s.advance(s.held.data() + used, &found);
    s.held.erase(s.held.begin(), s.held.begin() + used);
  }
  return found;
}

std::vector<Utterance> VoiceActivity::finish() {
  std::vector<Utterance> found;
  if (state_->speaking) state_->close(std::min(state_->active_until + state_->margin, state_->heard), &found);
  return found;
}

std::optional<int64_t> VoiceActivity::speaking_since() const { return state_->speaking ? std::optional(state_->begin) : std::nullopt; }

std::vector<Utterance> utterances(const Sound& sound, const VoiceSettings& settings) {
  // Voices lie below 4 kHz: higher rates would only cost time.
  constexpr int64_t kRate = 16000;
  const Sound* heard = &sound;
  Sound lower;
  if (sound.rate > kRate || sound.rate < 8000) {
    lower = resample(sound, kRate);
    heard = &lower;
  }
  VoiceActivity activity(heard->rate, settings);
  std::vector<Utterance> all = activity.push(heard->samples);
  for (const Utterance& last : activity.finish()) all.push_back(last);
  if (heard == &lower) {
    const double factor = static_cast<double>(sound.rate) / kRate;
    const auto most = static_cast<int64_t>(sound.samples.size());
    for (Utterance& u : all) {
      u.begin = std::min(static_cast<int64_t>(std::lround(static_cast<double>(u.begin) * factor)), most);
      u.end = std::min(static_cast<int64_t>(std::lround(static_cast<double>(u.end) * factor)), most);
    }
  }
  return all;
}

}  // namespace mynah::media
