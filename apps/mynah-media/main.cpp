// mynah-media sound|frames FILE [LIMIT...]: decodes a file by FFmpeg's libraries and writes samples or pictures to standard output
// (src/media/media_pipe.h). FILE "-" is standard input, which is kept in memory. A process of its own, because decoders are large and files hostile.
extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/channel_layout.h>
#include <libavutil/display.h>
#include <libavutil/opt.h>
#include <libswresample/swresample.h>
#include <libswscale/swscale.h>
}
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "media/media_pipe.h"
#include "sandbox.h"

namespace mynah::media_helper {
namespace {

using media_pipe::Kind;

constexpr uint64_t kMostInput = uint64_t{1} << 30;
constexpr int64_t kMostPixels = 50'000'000;

struct Limits {
  double seconds = 24 * 3600;       // of sound or video that is decoded
  double rate = 0;                  // frames a second; 0: every one
  int64_t frames = 1 << 20;
  uint64_t memory = uint64_t{3} << 30, processor_seconds = 3600;
};

void put_all(const void* data, size_t size) {
  const auto* bytes = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t n = ::write(STDOUT_FILENO, bytes, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) std::_Exit(0);  // nobody reads any more
    bytes += n;
    size -= static_cast<size_t>(n);
  }
}

void put(Kind kind, const void* data, size_t size, const void* more = nullptr, size_t more_size = 0) {
  const uint32_t head[2] = {kind, static_cast<uint32_t>(size + more_size)};
  put_all(head, sizeof head);
  put_all(data, size);
  put_all(more, more_size);
}

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error(what); }

void check(int status, const char* what) {
  if (status >= 0) return;
  char reason[AV_ERROR_MAX_STRING_SIZE] = "";
  av_strerror(status, reason, sizeof reason);
  fail(std::string(what) + ": " + reason);
}

// The file, open before the sandbox closes; or the bytes of standard input.
struct Source {
  int file = -1;
  std::vector<uint8_t> bytes;
  int64_t at = 0;

  static int read(void* self, uint8_t* to, int size) {
    auto* s = static_cast<Source*>(self);
    if (s->file >= 0) {
      const ssize_t n = ::read(s->file, to, static_cast<size_t>(size));
      return n > 0 ? static_cast<int>(n) : n == 0 ? AVERROR_EOF : AVERROR(EIO);
    }
    const int64_t n = std::min<int64_t>(size, static_cast<int64_t>(s->bytes.size()) - s->at);
    if (n <= 0) return AVERROR_EOF;
    std::memcpy(to, s->bytes.data() + s->at, static_cast<size_t>(n));
    s->at += n;
    return static_cast<int>(n);
  }
  static int64_t seek(void* self, int64_t offset, int whence) {
    auto* s = static_cast<Source*>(self);
    if (s->file >= 0) {
      if (whence == AVSEEK_SIZE) {
        const off_t here = ::lseek(s->file, 0, SEEK_CUR), size = ::lseek(s->file, 0, SEEK_END);
        ::lseek(s->file, here, SEEK_SET);
        return size;
      }
      return ::lseek(s->file, offset, whence & ~AVSEEK_FORCE);
    }
    const auto size = static_cast<int64_t>(s->bytes.size());
    if (whence == AVSEEK_SIZE) return size;
    const int64_t base = (whence & ~AVSEEK_FORCE) == SEEK_CUR ? s->at : (whence & ~AVSEEK_FORCE) == SEEK_END ? size : 0;
    if (base + offset < 0 || base + offset > size) return AVERROR(EINVAL);
    return s->at = base + offset;
  }
};

Source open_source(const std::string& path) {
  Source source;
  if (path != "-") {
    source.file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (source.file < 0) fail(std::strerror(errno));
    return source;
  }
  std::vector<uint8_t> piece(1 << 16);
  for (ssize_t n; (n = ::read(STDIN_FILENO, piece.data(), piece.size())) > 0;) {
    source.bytes.insert(source.bytes.end(), piece.begin(), piece.begin() + n);
    if (source.bytes.size() > kMostInput) fail("more than 1 GB on standard input");
  }
  return source;
}

template <class T, void (*Free)(T**)>
struct Freed {
  T* value = nullptr;
  ~Freed() { Free(&value); }
  T* operator->() const { return value; }
};
void free_scaler(SwsContext** scaler) {
  sws_freeContext(*scaler);
  *scaler = nullptr;
}
void free_io(AVIOContext** io) {
  if (*io) av_freep(&(*io)->buffer);
  avio_context_free(io);
}

// The stream of one kind with its decoder.
class Decoder {
 public:
  Decoder(Source* source, AVMediaType type) {
    constexpr int kBuffer = 1 << 16;
    auto* buffer = static_cast<unsigned char*>(av_malloc(kBuffer));
    if (!buffer) fail("out of memory");
    io_.value = avio_alloc_context(buffer, kBuffer, 0, source, Source::read, nullptr, Source::seek);
    format_.value = avformat_alloc_context();
    if (!io_.value || !format_.value) fail("out of memory");
    format_->pb = io_.value;
    format_->max_analyze_duration = 10 * AV_TIME_BASE;
    // Nothing else is opened: no playlists, no addresses.
    AVDictionary* options = nullptr;
    av_dict_set(&options, "protocol_whitelist", "", 0);
    const int opened = avformat_open_input(&format_.value, nullptr, nullptr, &options);
    av_dict_free(&options);
    check(opened, "not a file that is known");
    check(avformat_find_stream_info(format_.value, nullptr), "damaged");
    const AVCodec* codec = nullptr;
    stream_ = av_find_best_stream(format_.value, type, -1, -1, &codec, 0);
    if (stream_ < 0) fail(type == AVMEDIA_TYPE_AUDIO ? "there is no sound in it" : "there is no picture in it");
    context_.value = avcodec_alloc_context3(codec);
    if (!context_.value) fail("out of memory");
    check(avcodec_parameters_to_context(context_.value, stream()->codecpar), "damaged");
    context_->thread_count = 1;  // no threads in the sandbox
    context_->max_pixels = kMostPixels;
    context_->pkt_timebase = stream()->time_base;
    check(avcodec_open2(context_.value, codec, nullptr), "cannot be decoded");
    packet_.value = av_packet_alloc();
    frame_.value = av_frame_alloc();
    if (!packet_.value || !frame_.value) fail("out of memory");
  }

  AVStream* stream() const { return format_->streams[stream_]; }

  // The next frame; null at the end. Damaged packets are passed over as long as anything can be decoded.
  AVFrame* next() {
    for (;;) {
      av_frame_unref(frame_.value);
      const int got = avcodec_receive_frame(context_.value, frame_.value);
      if (got >= 0) {
        ++frames_;
        return frame_.value;
      }
      if (got == AVERROR_EOF) return finish();
      if (got != AVERROR(EAGAIN)) {
        if (++damaged_ > kMostDamaged) fail("too much of it is damaged");
        continue;
      }
      for (;;) {
        av_packet_unref(packet_.value);
        const int read = av_read_frame(format_.value, packet_.value);
        if (read < 0) {
          truncated_ = read != AVERROR_EOF;
          avcodec_send_packet(context_.value, nullptr);
          break;
        }
        if (packet_->stream_index != stream_) continue;
        if (avcodec_send_packet(context_.value, packet_.value) >= 0) break;
        if (++damaged_ > kMostDamaged) fail("too much of it is damaged");
      }
    }
  }

  double seconds(const AVFrame* frame) const {
    const int64_t begin = stream()->start_time == AV_NOPTS_VALUE ? 0 : stream()->start_time;
    const int64_t at = frame->best_effort_timestamp;
    return at == AV_NOPTS_VALUE ? -1 : static_cast<double>(at - begin) * av_q2d(stream()->time_base);
  }

 private:
  static constexpr int kMostDamaged = 1000;

  AVFrame* finish() const {
    if (frames_ == 0) fail("nothing in it could be decoded");
    if (truncated_) fail("it ends too early");
    return nullptr;
  }

  Freed<AVIOContext, free_io> io_;
  Freed<AVFormatContext, avformat_close_input> format_;
  Freed<AVCodecContext, avcodec_free_context> context_;
  Freed<AVPacket, av_packet_free> packet_;
  Freed<AVFrame, av_frame_free> frame_;
  int stream_ = -1, damaged_ = 0;
  int64_t frames_ = 0;
  bool truncated_ = false;
};

void write_sound(Source* source, const Limits& limits) {
  Decoder decoder(source, AVMEDIA_TYPE_AUDIO);
  Freed<SwrContext, swr_free> converter;
  int rate = 0, channels = 0;
  double heard = 0;
  std::vector<float> out;
  while (AVFrame* frame = decoder.next()) {
    if (frame->sample_rate <= 0 || frame->nb_samples <= 0) continue;
    if (!converter.value) {
      rate = frame->sample_rate;
      channels = frame->ch_layout.nb_channels;
      if (channels < 1 || channels > 64) fail("it has " + std::to_string(channels) + " channels, expected up to 64");
      AVChannelLayout layout{};
      // Files that name no layout have their usual one.
      if (frame->ch_layout.order == AV_CHANNEL_ORDER_UNSPEC)
        av_channel_layout_default(&layout, channels);
      else
        av_channel_layout_copy(&layout, &frame->ch_layout);
      const int made = swr_alloc_set_opts2(&converter.value, &layout, AV_SAMPLE_FMT_FLT, rate, &layout, static_cast<AVSampleFormat>(frame->format), rate, 0, nullptr);
      av_channel_layout_uninit(&layout);
      check(made, "cannot be converted");
      check(swr_init(converter.value), "cannot be converted");
      const uint32_t about[2] = {static_cast<uint32_t>(rate), static_cast<uint32_t>(channels)};
      put(Kind::sound, about, sizeof about);
    }
    if (frame->sample_rate != rate || frame->ch_layout.nb_channels != channels) fail("its rate or channels change on the way");
    out.resize(static_cast<size_t>(frame->nb_samples) * static_cast<size_t>(channels));
    auto* to = reinterpret_cast<uint8_t*>(out.data());
    const int n = swr_convert(converter.value, &to, frame->nb_samples, const_cast<const uint8_t**>(frame->extended_data), frame->nb_samples);
    check(n, "cannot be converted");
    put(Kind::samples, out.data(), static_cast<size_t>(n) * static_cast<size_t>(channels) * sizeof(float));
    heard += static_cast<double>(n) / rate;
    if (heard > limits.seconds) fail("more than " + std::to_string(static_cast<int64_t>(limits.seconds)) + " seconds of sound");
  }
}

// Quarter turns to the right that show the picture upright.
int turns_of(const AVStream* stream) {
  const uint8_t* matrix = av_stream_get_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, nullptr);
  if (!matrix) return 0;
  const double angle = -av_display_rotation_get(reinterpret_cast<const int32_t*>(matrix));
  return std::isnan(angle) ? 0 : (static_cast<int>(std::lround(angle / 90)) % 4 + 4) % 4;
}

std::vector<uint8_t> turned(const std::vector<uint8_t>& rgb, uint32_t* width, uint32_t* height, int turns) {
  std::vector<uint8_t> out = rgb;
  for (int i = 0; i < turns; ++i) {
    const std::vector<uint8_t> from = out;
    const uint32_t w = *width, h = *height;
    for (uint32_t y = 0; y < h; ++y)
      for (uint32_t x = 0; x < w; ++x) std::memcpy(&out[(static_cast<size_t>(x) * h + (h - 1 - y)) * 3], &from[(static_cast<size_t>(y) * w + x) * 3], 3);
    std::swap(*width, *height);
  }
  return out;
}

void write_frames(Source* source, const Limits& limits) {
  Decoder decoder(source, AVMEDIA_TYPE_VIDEO);
  Freed<SwsContext, free_scaler> scaler;
  const int turns = turns_of(decoder.stream());
  int64_t left = limits.frames, place = 0;  // place: the next of the grid that has no frame
  double last = -1;
  while (AVFrame* frame = decoder.next()) {
    double seconds = decoder.seconds(frame);
    if (seconds < 0) seconds = last < 0 ? 0 : last + 0.04;  // no time is known
    last = seconds;
    if (seconds > limits.seconds) break;
    // The first frame at or behind each place of the grid.
    if (limits.rate > 0 && seconds + 1e-6 < static_cast<double>(place) / limits.rate) continue;
    place = static_cast<int64_t>(std::floor(seconds * limits.rate + 1e-6)) + 1;
    auto width = static_cast<uint32_t>(frame->width), height = static_cast<uint32_t>(frame->height);
    if (width == 0 || height == 0 || static_cast<int64_t>(width) * height > kMostPixels) fail("a picture of " + std::to_string(width) + "x" + std::to_string(height) + " pixels");
    scaler.value = sws_getCachedContext(scaler.value, frame->width, frame->height, static_cast<AVPixelFormat>(frame->format), frame->width, frame->height, AV_PIX_FMT_RGB24,
                                        SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT, nullptr, nullptr, nullptr);
    if (!scaler.value) fail("its colours cannot be converted");
    const bool hd = frame->height > 576;
    const int space = frame->colorspace == AVCOL_SPC_UNSPECIFIED ? (hd ? SWS_CS_ITU709 : SWS_CS_ITU601) : static_cast<int>(frame->colorspace);
    sws_setColorspaceDetails(scaler.value, sws_getCoefficients(space), frame->color_range == AVCOL_RANGE_JPEG, sws_getCoefficients(SWS_CS_DEFAULT), 1, 0, 1 << 16, 1 << 16);
    // Rows are written with room behind them: converters may go beyond the last pixel.
    const size_t row = static_cast<size_t>(width) * 3, stride = (row + 63) / 64 * 64;
    std::vector<uint8_t> padded(stride * height + 64), rgb(row * height);
    uint8_t* to[4] = {padded.data(), nullptr, nullptr, nullptr};
    const int strides[4] = {static_cast<int>(stride), 0, 0, 0};
    check(sws_scale(scaler.value, frame->data, frame->linesize, 0, frame->height, to, strides), "its colours cannot be converted");
    for (uint32_t y = 0; y < height; ++y) std::memcpy(rgb.data() + y * row, padded.data() + y * stride, row);
    rgb = turned(rgb, &width, &height, turns);
    uint8_t about[16];
    std::memcpy(about, &seconds, 8);
    std::memcpy(about + 8, &width, 4);
    std::memcpy(about + 12, &height, 4);
    put(Kind::frame, about, sizeof about, rgb.data(), rgb.size());
    if (--left == 0) break;
  }
}

}  // namespace

int run(int argc, char** argv) {
  Limits limits;
  try {
    if (argc < 3) fail("mynah-media sound|frames FILE [--seconds N] [--rate N] [--frames N] [--memory BYTES] [--processor-seconds N]");
    const std::string what = argv[1];
    for (int i = 3; i + 1 < argc; i += 2) {
      const std::string name = argv[i];
      const double value = std::atof(argv[i + 1]);
      if (name == "--seconds") limits.seconds = value;
      if (name == "--rate") limits.rate = value;
      if (name == "--frames") limits.frames = static_cast<int64_t>(value);
      if (name == "--memory") limits.memory = static_cast<uint64_t>(value);
      if (name == "--processor-seconds") limits.processor_seconds = static_cast<uint64_t>(value);
    }
    av_log_set_level(AV_LOG_QUIET);
    Source source = open_source(argv[2]);
    if (!enter_sandbox(limits.memory, limits.processor_seconds)) fail("the sandbox cannot be entered");
    if (what == "sound")
      write_sound(&source, limits);
    else if (what == "frames")
      write_frames(&source, limits);
    else
      fail("\"" + what + "\" is neither sound nor frames");
    put(Kind::end, nullptr, 0);
    return 0;
  } catch (const std::exception& error) {
    const std::string text = error.what();
    put(Kind::error, text.data(), text.size());
    return 0;  // it has been said
  }
}

}  // namespace mynah::media_helper

int main(int argc, char** argv) { return mynah::media_helper::run(argc, argv); }
