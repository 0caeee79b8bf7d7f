#include "media/media_pieces.h"

#include <cmath>
#include <cstring>

#include "base/require.h"
#include "media/decoders.h"

namespace mynah::media {

using media_pipe::Kind;

namespace {

constexpr uint32_t kMostPiece = 512u << 20;
constexpr double kMostSeconds = 24 * 3600;

uint32_t number_at(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

}  // namespace

bool MediaPieces::push(std::string_view bytes) {
  held_ += bytes;
  size_t at = 0;
  for (; !ended_ && held_.size() - at >= 8;) {
    const uint32_t kind = number_at(held_, at), size = number_at(held_, at + 4);
    require(size <= kMostPiece, "{}: mynah-media speaks of {} bytes", where_, size);
    if (held_.size() - at - 8 < size) break;
    const std::string_view piece = std::string_view(held_).substr(at + 8, size);
    at += 8 + size;
    if (kind == Kind::error) fail(ErrorCode::failure, "{}: {}", where_, std::string(piece));
    ended_ = kind == Kind::end || !take_(static_cast<Kind>(kind), piece);
  }
  held_.erase(0, at);
  return !ended_;
}

void MediaPieces::finish() const { require(ended_, "{}: mynah-media ended early: it takes more memory or time than is allowed", where_); }

bool SoundPieces::take(Kind kind, std::string_view bytes) {
  if (kind == Kind::sound) {
    require(bytes.size() == 8 && sound_.rate == 0, "{}: mynah-media describes the sound in {} bytes", where_, bytes.size());
    sound_.rate = number_at(bytes, 0);
    channels_ = number_at(bytes, 4);
    require(sound_.rate >= 1 && sound_.rate <= 768'000 && channels_ >= 1 && channels_ <= 64, "{}: {} channels at {} Hz, expected up to 64 and 768000", where_, channels_, sound_.rate);
  } else if (kind == Kind::samples) {
    require(channels_ > 0 && bytes.size() % (4 * channels_) == 0, "{}: {} bytes of samples of {} channels", where_, bytes.size(), channels_);
    std::vector<float> values(bytes.size() / 4);
    if (!values.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
    const float factor = mix_ == Mix::power && channels_ == 2 ? std::sqrt(0.5f) : 1.0f / static_cast<float>(channels_);
    for (size_t i = 0; i < values.size(); i += channels_) {
      float total = 0;
      for (size_t c = 0; c < channels_; ++c) total += values[i + c];
      sound_.samples.push_back(channels_ == 1 ? total : total * factor);
    }
    require(static_cast<double>(sound_.samples.size()) <= kMostSeconds * static_cast<double>(sound_.rate), "{}: more than {} seconds of sound", where_, kMostSeconds);
  }
  return true;
}

Sound SoundPieces::result() {
  require(sound_.rate > 0, "{}: there is no sound in it", where_);
  return std::move(sound_);
}

Image frame_of(std::string_view bytes, const std::string& where, double* seconds) {
  require(bytes.size() >= 16, "{}: mynah-media gives a picture of {} bytes", where, bytes.size());
  std::memcpy(seconds, bytes.data(), 8);
  const std::string_view pixels = bytes.substr(16);
  const uint64_t width = number_at(bytes, 8), height = number_at(bytes, 12);
  // Before anything is allocated for a size that is only claimed.
  require(std::isfinite(*seconds) && pixels.size() % 3 == 0 && width * height == pixels.size() / 3, "{}: mynah-media gives {} bytes for {}x{} pixels", where, pixels.size(), width, height);
  Image image;
  prepare(image, width, height, where);
  std::memcpy(image.rgb.data(), pixels.data(), pixels.size());
  return image;
}

}  // namespace mynah::media
