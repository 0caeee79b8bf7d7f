#include "media/media_program.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "base/process.h"
#include "base/require.h"
#include "media/media_pieces.h"

namespace mynah::media {
namespace {

using media_pipe::Kind;

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

constexpr std::string_view kHowToGetIt = " (Debian: apt-get install libavformat-dev libavcodec-dev libswscale-dev libswresample-dev, then build again)";

std::string needed_program(const std::string& where) {
  const auto found = program();
  if (!found) fail(ErrorCode::not_found, "{}: can be read by mynah-media alone, which is not here{}", where, kHowToGetIt);
  return *found;
}

void read_pieces(const std::vector<std::string>& arguments, const std::string& where, const MediaPieces::Take& take) {
  ProgramOutput output(arguments);
  MediaPieces pieces(where, take);
  std::vector<std::byte> bytes(1 << 20);
  for (;;) {
    const auto n = output.read(bytes, kSilentSeconds * 1000);
    require(n.has_value(), "{}: mynah-media has not said anything for {} seconds", where, kSilentSeconds);
    if (*n == 0) break;
    if (!pieces.push({reinterpret_cast<const char*>(bytes.data()), *n})) break;
  }
  pieces.finish();
}

void filter_pieces(const std::vector<std::string>& arguments, std::span<const std::byte> input, const std::string& where, const MediaPieces::Take& take) {
  const std::string all = run_filter(arguments, {reinterpret_cast<const char*>(input.data()), input.size()}, kMostAtOnce, kSilentSeconds);
  MediaPieces pieces(where, take);
  pieces.push(all);
  pieces.finish();
}

// A name that no option begins with.
std::string as_argument(const std::filesystem::path& path) { return std::filesystem::absolute(path).string(); }

}  // namespace

bool has_media_program() { return program().has_value(); }

std::string media_program_hint() {
  return has_media_program() ? "" : fmt::format("; others need mynah-media{}", kHowToGetIt);
}

Sound program_sound(const std::filesystem::path& path, Mix mix) {
  SoundPieces mixer(path.string(), mix);
  read_pieces({needed_program(path.string()), "sound", as_argument(path)}, path.string(), [&](Kind kind, std::string_view bytes) { return mixer.take(kind, bytes); });
  return mixer.result();
}

Sound program_sound(std::span<const std::byte> bytes, const std::string& where, Mix mix) {
  SoundPieces mixer(where, mix);
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
