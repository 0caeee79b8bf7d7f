#include "nn/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>

#include "base/require.h"
#include "mynah/json.h"

namespace mynah::nn {
namespace {

double number(const Json& object, const char* key, std::optional<double> otherwise = {}) {
  const auto it = object.find(key);
  if (it == object.end() || it->is_null()) {
    require(otherwise.has_value(), "config.json: rope scaling needs {}", key);
    return *otherwise;
  }
  require(it->is_number(), "config.json: {} is {}, expected a number", key, it->dump());
  return it->get<double>();
}

std::vector<float> numbers(const Json& object, const char* key, size_t count) {
  const auto it = object.find(key);
  require(it != object.end() && it->is_array() && it->size() == count, "config.json: {} must be a list of {} numbers", key, count);
  std::vector<float> values;
  for (const auto& v : *it) {
    require(v.is_number(), "config.json: {} holds {}, expected numbers", key, v.dump());
    values.push_back(v.get<float>());
  }
  return values;
}

// theta^(2i/R) in f32, as the reference computes it.
std::vector<float> wavelengths(double theta, int64_t rotary) {
  std::vector<float> out;
  for (int64_t i = 0; i < rotary; i += 2)
    out.push_back(std::pow(static_cast<float>(theta), static_cast<float>(i) / static_cast<float>(rotary)));
  return out;
}

double yarn_magnitude(double scale, double m) { return scale <= 1 ? 1.0 : 0.1 * m * std::log(scale) + 1.0; }

struct Settings {
  double theta;
  int64_t rotary, max_positions;
};

// YaRN: low frequencies are interpolated, high ones kept, a ramp between the dimensions that turn beta_slow and beta_fast times.
std::vector<float> yarn_frequencies(const Json& scaling, const Settings& s, float* attention_factor) {
  const double factor = number(scaling, "factor");
  double original = number(scaling, "original_max_position_embeddings", 0.0);
  if (original == 0) original = static_cast<double>(s.max_positions);
  const double mscale = number(scaling, "mscale", 0.0), mscale_all = number(scaling, "mscale_all_dim", 0.0);
  const double inferred = mscale != 0 && mscale_all != 0 ? yarn_magnitude(factor, mscale) / yarn_magnitude(factor, mscale_all) : yarn_magnitude(factor, 1);
  *attention_factor = static_cast<float>(number(scaling, "attention_factor", inferred));
  double fast = number(scaling, "beta_fast", 0.0), slow = number(scaling, "beta_slow", 0.0);
  if (fast == 0) fast = 32;
  if (slow == 0) slow = 1;
  const auto dimension = [&](double turns) {
    return static_cast<double>(s.rotary) * std::log(original / (turns * 2 * std::numbers::pi)) / (2 * std::log(s.theta));
  };
  double low = dimension(fast), high = dimension(slow);
  const auto truncate = scaling.find("truncate");
  if (truncate == scaling.end() || !truncate->is_boolean() || truncate->get<bool>()) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(s.rotary - 1));
  if (low == high) high += 0.001;
  std::vector<float> out = wavelengths(s.theta, s.rotary);
  for (size_t i = 0; i < out.size(); ++i) {
    const float ramp = std::clamp((static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low), 0.0f, 1.0f);
    const float keep = 1 - ramp, extrapolated = 1.0f / out[i], interpolated = 1.0f / (static_cast<float>(factor) * out[i]);
    out[i] = interpolated * (1 - keep) + extrapolated * keep;
  }
  return out;
}

// Llama 3.1: long wavelengths are stretched by the factor, short ones kept, a smooth blend between.
void apply_llama3(const Json& scaling, std::vector<float>* frequencies) {
  const float factor = static_cast<float>(number(scaling, "factor")), low = static_cast<float>(number(scaling, "low_freq_factor")),
              high = static_cast<float>(number(scaling, "high_freq_factor")),
              original = static_cast<float>(number(scaling, "original_max_position_embeddings"));
  for (float& f : *frequencies) {
    const float wavelength = 2 * std::numbers::pi_v<float> / f;
    if (wavelength > original / low) {
      f /= factor;
    } else if (wavelength >= original / high) {
      const float smooth = (original / wavelength - low) / (high - low);
      f = (1 - smooth) * f / factor + smooth * f;
    }
  }
}

}  // namespace

Json rope_settings(const Json& config) {
  for (const char* key : {"rope_parameters", "rope_scaling"})
    if (const auto it = config.find(key); it != config.end() && it->is_object() && !it->empty()) return *it;
  return Json::object();
}

std::string rope_type(const Json& settings) {
  for (const char* key : {"rope_type", "type"})
    if (const auto it = settings.find(key); it != settings.end() && it->is_string()) return it->get<std::string>();
  return "default";
}

Rope::Rope(const Json& config, int64_t head_dim, double default_theta) {
  const Json scaling = rope_settings(config);
  theta_ = number(scaling, "rope_theta", number(config, "rope_theta", default_theta));
  const double partial = number(scaling, "partial_rotary_factor", number(config, "partial_rotary_factor", 1.0));
  rotary_ = static_cast<int64_t>(static_cast<double>(head_dim) * partial);
  max_positions_ = static_cast<int64_t>(number(config, "max_position_embeddings", 2048.0));
  require(theta_ > 0 && rotary_ > 0 && rotary_ % 2 == 0 && rotary_ <= head_dim && max_positions_ > 0,
          "config.json: rope over {} of {} elements with base {} is not possible", rotary_, head_dim, theta_);

  const std::string type = rope_type(scaling);
  inverse_frequencies_ = wavelengths(theta_, rotary_);
  for (float& f : inverse_frequencies_) f = 1.0f / f;
  if (type == "linear") {
    const float factor = static_cast<float>(number(scaling, "factor"));
    for (float& f : inverse_frequencies_) f /= factor;
  } else if (type == "llama3") {
    apply_llama3(scaling, &inverse_frequencies_);
  } else if (type == "yarn") {
    inverse_frequencies_ = yarn_frequencies(scaling, {theta_, rotary_, max_positions_}, &attention_factor_);
  } else if (type == "dynamic") {
    type_ = Type::dynamic;
    factor_ = number(scaling, "factor");
  } else if (type == "longrope" || type == "su") {
    type_ = Type::longrope;
    const auto half = static_cast<size_t>(rotary_ / 2);
    short_factors_ = numbers(scaling, "short_factor", half);
    long_factors_ = numbers(scaling, "long_factor", half);
    original_positions_ = static_cast<int64_t>(number(config, "original_max_position_embeddings", 0.0));
    double factor = number(scaling, "factor", 1.0);
    if (original_positions_ > 0) factor = static_cast<double>(max_positions_) / static_cast<double>(original_positions_);
    else original_positions_ = max_positions_;
    const double inferred = factor <= 1 ? 1.0 : std::sqrt(1 + std::log(factor) / std::log(static_cast<double>(original_positions_)));
    attention_factor_ = static_cast<float>(number(scaling, "attention_factor", inferred));
  } else {
    require(type == "default" || type == "none", "config.json: rope type \"{}\" is not known; known: default, linear, dynamic, yarn, longrope, llama3", type);
  }
}

std::vector<float> Rope::frequencies(int64_t length) const {
  std::vector<float> out = inverse_frequencies_;
  if (type_ == Type::dynamic && length > max_positions_) {
    const double stretch = factor_ * static_cast<double>(length) / static_cast<double>(max_positions_) - (factor_ - 1);
    const double theta = theta_ * std::pow(stretch, static_cast<double>(rotary_) / static_cast<double>(rotary_ - 2));
    out = wavelengths(theta, rotary_);
    for (float& f : out) f = 1.0f / f;
  } else if (type_ == Type::longrope) {
    const auto& factors = length > original_positions_ ? long_factors_ : short_factors_;
    out = wavelengths(theta_, rotary_);
    for (size_t i = 0; i < out.size(); ++i) out[i] = 1.0f / (factors[i] * out[i]);
  }
  return out;
}

std::pair<Tensor, Tensor> Rope::tables(std::span<const int32_t> positions, std::span<const int64_t> sequence_lengths, std::span<const int64_t> reach) const {
  const int64_t n = static_cast<int64_t>(positions.size()), half = rotary_ / 2;
  int64_t total = 0;
  for (const int64_t length : sequence_lengths) total += length;
  MYNAH_CHECK(total == n);
  Tensor cosines = Tensor::empty({n, half}), sines = Tensor::empty({n, half});
  float *c = cosines.data<float>(), *s = sines.data<float>();
  int64_t row = 0;
  for (size_t sequence = 0; sequence < sequence_lengths.size(); ++sequence) {
    int64_t longest = reach.empty() ? 0 : reach[sequence];
    const int64_t end = row + sequence_lengths[sequence];
    for (int64_t i = row; i < end; ++i) longest = std::max<int64_t>(longest, positions[i] + 1);
    const std::vector<float> f = frequencies(longest);
    for (; row < end; ++row) {
      for (int64_t i = 0; i < half; ++i) {
        const float angle = static_cast<float>(positions[row]) * f[i];
        c[row * half + i] = std::cos(angle) * attention_factor_;
        s[row * half + i] = std::sin(angle) * attention_factor_;
      }
    }
  }
  return {cosines, sines};
}

std::pair<Tensor, Tensor> Rope::tables(std::span<const std::array<int32_t, 3>> axes, std::span<const int64_t> sections) const {
  MYNAH_CHECK(type_ == Type::plain && sections.size() == 3);
  const int64_t n = static_cast<int64_t>(axes.size()), half = rotary_ / 2;
  Tensor cosines = Tensor::empty({n, half}), sines = Tensor::empty({n, half});
  float *c = cosines.data<float>(), *s = sines.data<float>();
  for (const std::array<int32_t, 3>& place : axes)
    for (int64_t i = 0; i < half; ++i) {
      const size_t axis = i < sections[0] ? 0 : i < sections[0] + sections[1] ? 1 : 2;
      const float angle = static_cast<float>(place[axis]) * inverse_frequencies_[static_cast<size_t>(i)];
      *c++ = std::cos(angle) * attention_factor_;
      *s++ = std::sin(angle) * attention_factor_;
    }
  return {cosines, sines};
}

}  // namespace mynah::nn
