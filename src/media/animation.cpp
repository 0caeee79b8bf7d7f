#include "media/animation.h"

#include <webp/demux.h>
#include <webp/encode.h>
#include <webp/mux.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "base/file.h"
#include "base/require.h"
#include "media/decoders.h"
#include "media/media_program.h"

namespace mynah::media {
namespace {

namespace fs = std::filesystem;

// "frame9" comes before "frame10".
bool by_number(const std::string& a, const std::string& b) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (digit(a[i]) && digit(b[j])) {
      while (i < a.size() && a[i] == '0') ++i;
      while (j < b.size() && b[j] == '0') ++j;
      size_t m = i, n = j;
      while (m < a.size() && digit(a[m])) ++m;
      while (n < b.size() && digit(b[n])) ++n;
      if (m - i != n - j) return m - i < n - j;
      if (const int order = a.compare(i, m - i, b, j, n - j); order != 0) return order < 0;
      i = m;
      j = n;
    } else if (a[i] != b[j]) {
      return a[i] < b[j];
    } else {
      ++i;
      ++j;
    }
  }
  return a.size() - i < b.size() - j || (a.size() - i == b.size() - j && a < b);
}

Image rgb_of(const uint8_t* rgba, uint64_t width, uint64_t height, const std::string& where) {
  Image image;
  prepare(image, width, height, where);
  for (size_t i = 0; i < static_cast<size_t>(width * height); ++i) std::copy_n(rgba + i * 4, 3, image.rgb.data() + i * 3);
  return image;
}

// The first frame at or behind each place of the grid.
class Grid {
 public:
  explicit Grid(double rate) : rate_(rate) {}
  bool wants(double seconds) {
    if (rate_ <= 0) return true;
    if (seconds + 1e-6 < static_cast<double>(place_) / rate_) return false;
    place_ = static_cast<int64_t>(std::floor(seconds * rate_ + 1e-6)) + 1;
    return true;
  }

 private:
  double rate_;
  int64_t place_ = 0;
};

}  // namespace

bool is_animated_webp(std::span<const std::byte> bytes) {
  WebPBitstreamFeatures features{};
  return bytes.size() > 12 && WebPGetFeatures(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), &features) == VP8_STATUS_OK && features.has_animation != 0;
}

void decode_animation(std::span<const std::byte> bytes, const std::string& where, const TakeFrame& take) {
  const WebPData data{reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
  WebPAnimDecoderOptions options;
  WebPAnimDecoderOptionsInit(&options);
  // The canvas is allocated when the decoder is made.
  WebPBitstreamFeatures features{};
  if (WebPGetFeatures(data.bytes, data.size, &features) != VP8_STATUS_OK) fail(ErrorCode::integrity, "{}: damaged WebP", where);
  {
    Image size;
    prepare(size, static_cast<uint64_t>(features.width), static_cast<uint64_t>(features.height), where);
  }
  const std::unique_ptr<WebPAnimDecoder, decltype(&WebPAnimDecoderDelete)> decoder(WebPAnimDecoderNew(&data, &options), WebPAnimDecoderDelete);
  WebPAnimInfo info;
  if (!decoder || !WebPAnimDecoderGetInfo(decoder.get(), &info)) fail(ErrorCode::integrity, "{}: damaged WebP", where);
  double begin = 0;  // a frame's time stamp is its end
  for (uint32_t i = 0; i < info.frame_count; ++i) {
    uint8_t* rgba = nullptr;
    int ends_ms = 0;
    if (!WebPAnimDecoderGetNext(decoder.get(), &rgba, &ends_ms)) fail(ErrorCode::integrity, "{}: damaged WebP in frame {}", where, i + 1);
    if (!take({begin, rgb_of(rgba, info.canvas_width, info.canvas_height, where), ""})) return;
    begin = ends_ms / 1000.0;
  }
}

struct AnimationWriter::State {
  int64_t width, height;
  std::unique_ptr<WebPAnimEncoder, decltype(&WebPAnimEncoderDelete)> encoder{nullptr, WebPAnimEncoderDelete};
  int last_ms = -1, frames = 0;
};

AnimationWriter::AnimationWriter(int64_t width, int64_t height) : state_(new State{width, height}) {
  WebPAnimEncoderOptions options;
  const bool made = WebPAnimEncoderOptionsInit(&options) != 0;
  if (made) state_->encoder.reset(WebPAnimEncoderNew(static_cast<int>(width), static_cast<int>(height), &options));
  require(state_->encoder != nullptr, "an animation of {}x{} pixels cannot be made", width, height);
}
AnimationWriter::~AnimationWriter() = default;
AnimationWriter::AnimationWriter(AnimationWriter&&) noexcept = default;

void AnimationWriter::add(const Image& image, double seconds) {
  require(image.width == state_->width && image.height == state_->height, "an animation of {}x{} pixels, and a frame of {}x{}", state_->width, state_->height, image.width, image.height);
  WebPConfig config;
  WebPPicture picture;
  require(WebPConfigInit(&config) && WebPPictureInit(&picture), "WebP: another version of its library");
  config.quality = 80;
  config.method = 2;
  picture.use_argb = 1;
  picture.width = static_cast<int>(image.width);
  picture.height = static_cast<int>(image.height);
  const std::unique_ptr<WebPPicture, decltype(&WebPPictureFree)> freed(&picture, WebPPictureFree);
  const int ms = std::max(static_cast<int>(std::lround(seconds * 1000)), state_->last_ms + 1);
  require(WebPPictureImportRGB(&picture, image.rgb.data(), static_cast<int>(image.width * 3)) && WebPAnimEncoderAdd(state_->encoder.get(), &picture, ms, &config),
          "an animation cannot be written: {}", WebPAnimEncoderGetError(state_->encoder.get()));
  state_->last_ms = ms;
  ++state_->frames;
}

std::vector<std::byte> AnimationWriter::finish() {
  require(state_->frames > 0, "an animation without frames");
  const int end = state_->last_ms + (state_->frames > 1 ? state_->last_ms / (state_->frames - 1) : 1000);
  WebPData data;
  WebPDataInit(&data);
  const bool made = WebPAnimEncoderAdd(state_->encoder.get(), nullptr, end, nullptr) && WebPAnimEncoderAssemble(state_->encoder.get(), &data);
  const std::unique_ptr<WebPData, decltype(&WebPDataClear)> freed(&data, WebPDataClear);
  require(made, "an animation cannot be written: {}", WebPAnimEncoderGetError(state_->encoder.get()));
  const auto* bytes = reinterpret_cast<const std::byte*>(data.bytes);
  return {bytes, bytes + data.size};
}

bool is_picture_name(const fs::path& path) {
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return ending == ".jpg" || ending == ".jpeg" || ending == ".png" || ending == ".webp";
}

std::vector<fs::path> pictures_in(const fs::path& folder) {
  std::vector<fs::path> all;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
    if (at->is_regular_file(error) && is_picture_name(at->path()) && !at->path().filename().string().starts_with('.')) all.push_back(at->path());
  std::sort(all.begin(), all.end(), [](const fs::path& a, const fs::path& b) { return by_number(a.filename().string(), b.filename().string()); });
  return all;
}

void for_each_frame(const fs::path& path, double rate, const TakeFrame& take, const std::function<void(const std::string& why)>& skipped) {
  std::error_code error;
  if (!fs::exists(path, error)) fail(ErrorCode::not_found, "{}: no such file or folder", path.string());
  if (fs::is_directory(path, error)) {
    const std::vector<fs::path> pictures = pictures_in(path);
    require(!pictures.empty(), "{}: no pictures in this folder, expected .jpg, .png or .webp files", path.string());
    bool any = false;
    for (size_t i = 0; i < pictures.size(); ++i) {
      Frame frame{static_cast<double>(i) / (rate > 0 ? rate : 1), {}, pictures[i].filename().string()};
      try {
        frame.image = read_image(pictures[i]);
      } catch (const Error& e) {
        if (!skipped || (!any && i + 1 == pictures.size())) throw;
        skipped(e.what());
        continue;
      }
      any = true;
      if (!take(std::move(frame))) return;
    }
    return;
  }
  Grid grid(rate);
  const auto file = MappedFile::open(path);
  if (is_animated_webp(file->bytes())) return decode_animation(file->bytes(), path.string(), [&](Frame&& f) { return !grid.wants(f.seconds) || take(std::move(f)); });
  if (is_still_picture(file->bytes())) {
    take({0, decode_image(file->bytes(), path.string()), path.filename().string()});
    return;
  }
  program_frames(path, rate, [&](double seconds, Image&& image) { return take({seconds, std::move(image), ""}); });
}

}  // namespace mynah::media
