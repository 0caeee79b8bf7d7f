#include "media/media_program.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <optional>

#include "base/process.h"
#include "base/require.h"
#include "media/decoders.h"
#include "media/media_pipe.h"

namespace mynah::media {
namespace {

using media_pipe::Kind;

constexpr uint32_t kMostPiece = 512u << 20;
constexpr double kMostSeconds = 24 * 3600;
constexpr int kSilentSeconds = 120;       // the program says something within so long
constexpr size_t kMostAtOnce = 2u << 30;  // of what comes from bytes in memory

std::optional<std::string> program() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) {
    const auto beside = self.parent_path() / "mynah-media";
    if (std::filesystem::is_regular_file(beside, error)) return beside.string();
  }
  if (const auto found = find_program("mynah-media")) return found->string();
  return std::nullopt;
}

std::string needed_program(const std::string& where) {
  const auto found = program();
  if (!found) fail(ErrorCode::not_found, "{}: needs mynah-media{}", where, media_program_hint());
  return *found;
}

uint32_t number_at(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

// Takes the pieces apart as their bytes come. What the program says is not trusted more than the file.
class Pieces {
 public:
  using Take = std::function<bool(Kind kind, std::string_view bytes)>;
  Pieces(std::string where, Take take) : where_(std::move(where)), take_(std::move(take)) {}

  // False when nobody wants more, or all has come.
  bool push(std::string_view bytes) {
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
  void finish() const { require(ended_, "{}: mynah-media ended early: it takes more memory or time than is allowed", where_); }

 private:
  std::string where_;
  Take take_;
  std::string held_;
  bool ended_ = false;
};

void read_pieces(const std::vector<std::string>& arguments, const std::string& where, const Pieces::Take& take) {
  ProgramOutput output(arguments);
  Pieces pieces(where, take);
  std::vector<std::byte> bytes(1 << 20);
  for (;;) {
    const auto n = output.read(bytes, kSilentSeconds * 1000);
    require(n.has_value(), "{}: mynah-media has not said anything for {} seconds", where, kSilentSeconds);
    if (*n == 0) break;
    if (!pieces.push({reinterpret_cast<const char*>(bytes.data()), *n})) break;
  }
  pieces.finish();
}

void filter_pieces(const std::vector<std::string>& arguments, std::span<const std::byte> input, const std::string& where, const Pieces::Take& take) {
  const std::string all = run_filter(arguments, {reinterpret_cast<const char*>(input.data()), input.size()}, kMostAtOnce, kSilentSeconds);
  Pieces pieces(where, take);
  pieces.push(all);
  pieces.finish();
}

// One channel of the samples, as decode_sound() mixes them.
class Mixer {
 public:
  Mixer(std::string where, Mix mix) : where_(std::move(where)), mix_(mix) {}
  bool take(Kind kind, std::string_view bytes) {
    if (kind == Kind::sound) {
      require(bytes.size() == 8 && sound_.rate == 0, "{}: mynah-media describes the sound in {} bytes", where_, bytes.size());
      sound_.rate = number_at(bytes, 0);
      channels_ = number_at(bytes, 4);
      require(sound_.rate >= 1 && sound_.rate <= 768'000 && channels_ >= 1 && channels_ <= 64, "{}: {} channels at {} Hz, expected up to 64 and 768000", where_, channels_, sound_.rate);
    } else if (kind == Kind::samples) {
      require(channels_ > 0 && bytes.size() % (4 * channels_) == 0, "{}: {} bytes of samples of {} channels", where_, bytes.size(), channels_);
      std::vector<float> values(bytes.size() / 4);
      std::memcpy(values.data(), bytes.data(), bytes.size());
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
  Sound result() {
    require(sound_.rate > 0, "{}: there is no sound in it", where_);
    return std::move(sound_);
  }

 private:
  std::string where_;
  Mix mix_;
  Sound sound_{0, {}};
  size_t channels_ = 0;
};

Image frame_of(std::string_view bytes, const std::string& where, double* seconds) {
  require(bytes.size() >= 16, "{}: mynah-media gives a picture of {} bytes", where, bytes.size());
  std::memcpy(seconds, bytes.data(), 8);
  Image image;
  prepare(image, number_at(bytes, 8), number_at(bytes, 12), where);
  require(bytes.size() - 16 == image.rgb.size(), "{}: mynah-media gives {} bytes for {}x{} pixels", where, bytes.size() - 16, image.width, image.height);
  std::memcpy(image.rgb.data(), bytes.data() + 16, image.rgb.size());
  return image;
}

// A name that no option begins with.
std::string as_argument(const std::filesystem::path& path) { return std::filesystem::absolute(path).string(); }

}  // namespace

bool has_media_program() { return program().has_value(); }

std::string media_program_hint() {
  return has_media_program() ? "" : "; others need mynah-media (Debian: apt-get install libavformat-dev libavcodec-dev libswscale-dev libswresample-dev, then build again)";
}

Sound program_sound(const std::filesystem::path& path, Mix mix) {
  Mixer mixer(path.string(), mix);
  read_pieces({needed_program(path.string()), "sound", as_argument(path)}, path.string(), [&](Kind kind, std::string_view bytes) { return mixer.take(kind, bytes); });
  return mixer.result();
}

Sound program_sound(std::span<const std::byte> bytes, const std::string& where, Mix mix) {
  Mixer mixer(where, mix);
  filter_pieces({needed_program(where), "sound", "-"}, bytes, where, [&](Kind kind, std::string_view piece) { return mixer.take(kind, piece); });
  return mixer.result();
}

Image program_picture(std::span<const std::byte> bytes, const std::string& where) {
  Image image;
  filter_pieces({needed_program(where), "frames", "-", "--frames", "1"}, bytes, where, [&](Kind kind, std::string_view piece) {
    double seconds = 0;
    if (kind == Kind::frame && image.width == 0) image = frame_of(piece, where, &seconds);
    return true;
  });
  require(image.width > 0, "{}: there is no picture in it", where);
  return image;
}

void program_frames(const std::filesystem::path& path, double rate, const std::function<bool(double, Image&&)>& take) {
  const std::string where = path.string();
  std::vector<std::string> arguments = {needed_program(where), "frames", as_argument(path)};
  if (rate > 0) arguments.insert(arguments.end(), {"--rate", fmt::format("{}", rate)});
  read_pieces(arguments, where, [&](Kind kind, std::string_view piece) {
    if (kind != Kind::frame) return true;
    double seconds = 0;
    Image image = frame_of(piece, where, &seconds);
    return take(seconds, std::move(image));
  });
}

}  // namespace mynah::media
