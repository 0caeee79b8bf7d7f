#include "bundle/sound_processor.h"

#include <algorithm>
#include <cmath>

#include "base/require.h"
#include "media/fbank.h"
#include "media/spectrogram.h"
#include "mynah/ops.h"
#include "nn/config.h"

namespace mynah::bundle {
namespace {

// Mean 0 and variance 1.
void normalise(std::span<float> x) {
  double total = 0, squares = 0;
  for (const float v : x) total += v;
  const double mean = total / static_cast<double>(x.size());
  for (const float v : x) squares += (v - mean) * (v - mean);
  const double scale = 1 / std::sqrt(squares / static_cast<double>(x.size()) + 1e-7);
  for (float& v : x) v = static_cast<float>((v - mean) * scale);
}

}  // namespace

SoundProcessor::SoundProcessor(const Json& config)
    : config_(config), rate_(0) {
  const std::string kind = nn::config_string(config, "feature_extractor_type", "");
  clap_ = kind == "ClapFeatureExtractor";
  rate_ = nn::config_int(config, "sampling_rate", clap_ ? 48000 : 16000, 1, 768000);
  whisper_ = kind == "WhisperFeatureExtractor";
  fbank_ = kind == "ASTFeatureExtractor";
  speecht5_ = kind == "SpeechT5FeatureExtractor";
  require(whisper_ || fbank_ || speecht5_ || clap_ || kind == "Wav2Vec2FeatureExtractor",
          "preprocessor_config.json: feature extractor \"{}\" is not known, expected that of Whisper, Wav2Vec2, "
          "SpeechT5, AST or CLAP",
          kind);
}

std::vector<float> SoundProcessor::heard(const media::Sound& sound) const {
  std::vector<float> samples = media::resample(sound, rate_).samples;
  require(!samples.empty(), "sound processor: a sound without samples");
  // One that is no number would make all features so.
  for (const float s : samples) require(std::isfinite(s), "sound processor: a sound with samples that are no numbers");
  return samples;
}

Tensor SoundProcessor::log_mel(std::vector<float> samples) const {
  const int64_t mels = nn::config_int(config_, "feature_size", 80), hop = nn::config_int(config_, "hop_length", 160), n_fft = nn::config_int(config_, "n_fft", 400, 2);
  const auto one = media::log_mel(samples, rate_, mels, n_fft, hop);
  return Tensor::from(std::span<const float>(one), {1, mels, static_cast<int64_t>(one.size()) / mels});
}

int64_t SoundProcessor::window_seconds() const { return whisper_ ? nn::config_int(config_, "chunk_length", 30, 1, 3600) : 0; }

nn::NamedTensors SoundProcessor::whole(const media::Sound& sound) const {
  if (!whisper_) {
    nn::NamedTensors out = (*this)({&sound, 1});
    out["attention_mask"] = Tensor::full(out["input_values"].shape(), 1);
    return out;
  }
  std::vector<float> samples = heard(sound);
  const auto own = static_cast<int64_t>(samples.size()), hop = nn::config_int(config_, "hop_length", 160);
  samples.resize(std::max(samples.size(), static_cast<size_t>(window_seconds() * rate_)));
  const Tensor features = log_mel(std::move(samples));
  Tensor mask = Tensor::zeros({1, features.size(2)});
  std::fill_n(mask.data<float>(), std::min((own + hop - 1) / hop, features.size(2)), 1.0f);
  return {{"input_features", features}, {"attention_mask", mask}};
}

nn::NamedTensors SoundProcessor::operator()(std::span<const media::Sound> sounds) const {
  require(!sounds.empty(), "sound processor: no sounds");
  const auto count = static_cast<int64_t>(sounds.size());
  std::vector<std::vector<float>> heard;
  size_t longest = 0;
  for (const media::Sound& sound : sounds) {
    heard.push_back(this->heard(sound));
    longest = std::max(longest, heard.back().size());
  }
  if (whisper_) {
    std::vector<Tensor> features;
    for (auto& samples : heard) {
      samples.resize(static_cast<size_t>(window_seconds() * rate_));
      features.push_back(log_mel(std::move(samples)));
    }
    return {{"input_features", cat(features, 0)}};
  }
  if (fbank_) return filter_banks(heard);
  if (clap_) return clap(std::move(heard));
  Tensor values = Tensor::zeros({count, static_cast<int64_t>(longest)}),
         mask = Tensor::zeros({count, static_cast<int64_t>(longest)});
  const bool masked = nn::config_bool(config_, "return_attention_mask", speecht5_),
             normalize = nn::config_bool(config_, "do_normalize", !speecht5_);
  for (int64_t b = 0; b < count; ++b) {
    auto& one = heard[static_cast<size_t>(b)];
    const size_t own = one.size();
    // Without a mask the reference takes mean and variance over the padding too.
    if (!masked) one.resize(longest);
    if (normalize) normalise(one);
    std::copy(one.begin(), one.end(), values.data<float>() + b * static_cast<int64_t>(longest));
    std::fill_n(mask.data<float>() + b * static_cast<int64_t>(longest), own, 1.0f);
  }
  nn::NamedTensors out{{"input_values", values}};
  if (masked) out["attention_mask"] = mask;
  return out;
}

nn::NamedTensors SoundProcessor::clap(std::vector<std::vector<float>> sounds) const {
  const int64_t mels = nn::config_int(config_, "feature_size", 64, 1, 4096), n_fft = nn::config_int(config_, "fft_window_size", 1024, 2, 1 << 20),
                hop = nn::config_int(config_, "hop_length", 480, 1, 1 << 20), count = static_cast<int64_t>(sounds.size());
  const auto most = static_cast<size_t>(nn::config_int(config_, "nb_max_samples", nn::config_int(config_, "max_length_s", 10, 1, 3600) * rate_));
  const std::string cut = nn::config_string(config_, "truncation", "fusion"), fill = nn::config_string(config_, "padding", "repeatpad");
  require(cut == "fusion" || cut == "rand_trunc", "preprocessor_config.json: truncation \"{}\" is not known, expected fusion or rand_trunc", cut);
  const bool fuses = cut == "fusion";
  const auto mel = [&](const std::vector<float>& samples) {
    const std::vector<float> all = media::decibel_mel(samples, rate_, mels, n_fft, hop, nn::config_number(config_, "frequency_min", 0), nn::config_number(config_, "frequency_max", 14000),
                                                      fuses ? media::MelScale::htk : media::MelScale::slaney);
    return Tensor::from(std::span<const float>(all), {1, 1, static_cast<int64_t>(all.size()) / mels, mels});
  };
  std::vector<Tensor> features;
  std::vector<int64_t> longer;
  for (std::vector<float>& one : sounds) {
    const bool is_longer = one.size() > most;
    if (is_longer && !fuses) one.resize(most);
    if (!is_longer) {
      const size_t own = one.size(), times = most / own + (fill == "repeat" ? 1 : 0);
      for (size_t i = 1; (fill == "repeat" || fill == "repeatpad") && i < times; ++i) one.insert(one.end(), one.begin(), one.begin() + static_cast<long>(own));
      one.resize(most);
    }
    const Tensor all = mel(one);
    const int64_t frames = all.size(2), room = static_cast<int64_t>(most) / hop + 1;
    if (!fuses) {
      features.push_back(all);
      longer.push_back(is_longer);
    } else if (frames <= room) {
      features.push_back(cat({all, all, all, all}, 1));
      longer.push_back(0);
    } else {
      // The whole made small, and of each third of the places where a stretch may begin the one in its middle.
      std::vector<Tensor> parts{interpolate(all, room, mels, Interpolation::bilinear)};
      for (int64_t third = 0; third < 3; ++third) parts.push_back(narrow(all, 2, (frames - room) * (2 * third + 1) / 6, room));
      features.push_back(cat(parts, 1));
      longer.push_back(1);
    }
  }
  // Of sounds that all are short the reference calls one longer, chosen at random.
  if (fuses && std::find(longer.begin(), longer.end(), 1) == longer.end()) longer.front() = 1;
  return {{"input_features", features.size() == 1 ? features[0] : cat(features, 0)}, {"is_longer", Tensor::from(std::span<const int64_t>(longer), {count, 1})}};
}

// [B, max_length, num_mel_bins]: cut or filled with zeros, then shifted by the config's mean and divided by twice its
// deviation.
nn::NamedTensors SoundProcessor::filter_banks(const std::vector<std::vector<float>>& sounds) const {
  const int64_t mels = nn::config_int(config_, "num_mel_bins", 128, 1, 4096),
                frames = nn::config_int(config_, "max_length", 1024, 1, 1 << 20);
  const bool normalize = nn::config_bool(config_, "do_normalize", true);
  const auto mean = static_cast<float>(nn::config_number(config_, "mean", -4.2677393)),
             std = static_cast<float>(nn::config_number(config_, "std", 4.5689974));
  Tensor values = Tensor::zeros({static_cast<int64_t>(sounds.size()), frames, mels});
  for (size_t b = 0; b < sounds.size(); ++b) {
    const std::vector<float> one = media::kaldi_fbank(sounds[b], rate_, mels);
    std::copy_n(one.begin(), std::min<size_t>(one.size(), static_cast<size_t>(frames * mels)),
                values.data<float>() + static_cast<int64_t>(b) * frames * mels);
  }
  for (int64_t i = 0; normalize && i < values.numel(); ++i)
    values.data<float>()[i] = (values.data<float>()[i] - mean) / (std * 2);
  return {{"input_values", values}};
}

}  // namespace mynah::bundle
