#include "media/sound.h"

#include <sndfile.h>
#include <soxr.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include "base/file.h"
#include "base/require.h"
#include "media/media_program.h"

namespace mynah::media {
namespace {

// Bytes in memory as libsndfile's virtual file.
struct Memory {
  std::span<const std::byte> in;
  std::vector<std::byte> out;
  sf_count_t at = 0;
};

sf_count_t length_of(void* user) { return static_cast<sf_count_t>(static_cast<Memory*>(user)->in.size()); }
sf_count_t seek_to(sf_count_t offset, int whence, void* user) {
  auto* m = static_cast<Memory*>(user);
  const sf_count_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? m->at : static_cast<sf_count_t>(std::max(m->in.size(), m->out.size()));
  if (offset < -base || offset > (sf_count_t{1} << 40)) return -1;
  return m->at = base + offset;
}
sf_count_t read_some(void* to, sf_count_t n, void* user) {
  auto* m = static_cast<Memory*>(user);
  const auto size = static_cast<sf_count_t>(m->in.size());
  n = std::clamp<sf_count_t>(size - m->at, 0, n);
  if (n > 0) std::memcpy(to, m->in.data() + m->at, static_cast<size_t>(n));
  m->at += n;
  return n;
}
sf_count_t write_some(const void* from, sf_count_t n, void* user) {
  auto* m = static_cast<Memory*>(user);
  if (m->out.size() < static_cast<size_t>(m->at + n)) m->out.resize(static_cast<size_t>(m->at + n));
  std::memcpy(m->out.data() + m->at, from, static_cast<size_t>(n));
  m->at += n;
  return n;
}
sf_count_t tell(void* user) { return static_cast<Memory*>(user)->at; }

SF_VIRTUAL_IO kMemoryIo{length_of, seek_to, read_some, write_some, tell};

struct Closer {
  void operator()(SNDFILE* f) const { sf_close(f); }
};
using File = std::unique_ptr<SNDFILE, Closer>;

constexpr sf_count_t kMaxSeconds = 24 * 3600;

}  // namespace

namespace {

// Absent for what libsndfile does not know.
std::optional<Sound> decode_known(std::span<const std::byte> bytes, const std::string& where, Mix mix) {
  Memory memory{bytes, {}, 0};
  SF_INFO info{};
  const File file(sf_open_virtual(&kMemoryIo, SFM_READ, &info, &memory));
  if (!file) return std::nullopt;
  require(info.channels >= 1 && info.channels <= 64 && info.samplerate >= 1 && info.samplerate <= 768'000, "{}: {} channels at {} Hz, expected up to 64 and 768000",
          where, info.channels, info.samplerate);
  require(info.frames <= kMaxSeconds * info.samplerate, "{}: {} seconds of sound, expected at most {}", where, info.frames / info.samplerate, kMaxSeconds);
  Sound out{info.samplerate, {}};
  const auto channels = static_cast<size_t>(info.channels);
  const float factor = mix == Mix::power && channels == 2 ? std::sqrt(0.5f) : 1.0f / static_cast<float>(channels);
  std::vector<float> frames(channels * 4096);
  // The header's number of frames is a claim: memory grows with what really comes.
  for (sf_count_t n; (n = sf_readf_float(file.get(), frames.data(), 4096)) > 0;) {
    require(static_cast<sf_count_t>(out.samples.size()) + n <= kMaxSeconds * info.samplerate, "{}: more than {} seconds of sound", where, kMaxSeconds);
    for (size_t i = 0; i < static_cast<size_t>(n); ++i) {
      float total = 0;
      for (size_t c = 0; c < channels; ++c) total += frames[i * channels + c];
      out.samples.push_back(channels == 1 ? total : total * factor);
    }
  }
  if (sf_error(file.get()) != SF_ERR_NO_ERROR) fail(ErrorCode::integrity, "{}: damaged sound: {}", where, sf_strerror(file.get()));
  return out;
}

[[noreturn]] void unknown(const std::string& where) {
  fail(ErrorCode::failure, "{}: not a sound that is known, expected WAV, FLAC, Ogg or MP3{}", where, media_program_hint());
}

}  // namespace

Sound decode_sound(std::span<const std::byte> bytes, const std::string& where, Mix mix) {
  if (auto known = decode_known(bytes, where, mix)) return std::move(*known);
  if (bytes.empty() || !has_media_program()) unknown(where);
  return program_sound(bytes, where, mix);
}

Sound read_sound(const std::filesystem::path& path, Mix mix) {
  if (!std::filesystem::exists(path)) fail(ErrorCode::not_found, "{}: no such file", path.string());
  const auto file = MappedFile::open(path);
  if (auto known = decode_known(file->bytes(), path.string(), mix)) return std::move(*known);
  if (file->bytes().empty() || !has_media_program()) unknown(path.string());
  return program_sound(path, mix);
}

Sound resample(const Sound& sound, int64_t rate) {
  require(rate > 0 && sound.rate > 0, "sound: cannot resample from {} to {} Hz", sound.rate, rate);
  if (rate == sound.rate || sound.samples.empty()) return {rate, sound.samples};
  Sound out{rate, std::vector<float>(static_cast<size_t>(std::ceil(static_cast<double>(sound.samples.size()) * static_cast<double>(rate) / static_cast<double>(sound.rate))))};
  const soxr_quality_spec_t quality = soxr_quality_spec(SOXR_HQ, 0);
  size_t done = 0;
  const soxr_error_t error = soxr_oneshot(static_cast<double>(sound.rate), static_cast<double>(rate), 1, sound.samples.data(), sound.samples.size(), nullptr,
                                          out.samples.data(), out.samples.size(), &done, nullptr, &quality, nullptr);
  require(error == nullptr, "sound: resampling failed: {}", error ? error : "");
  out.samples.resize(done);
  return out;
}

namespace {

std::vector<std::byte> encode_file(const Sound& sound, int format) {
  Memory memory;
  SF_INFO info{};
  info.samplerate = static_cast<int>(sound.rate);
  info.channels = 1;
  info.format = format;
  File file(sf_open_virtual(&kMemoryIo, SFM_WRITE, &info, &memory));
  require(file != nullptr, "sound: cannot be written in this format: {}", sf_strerror(nullptr));
  sf_command(file.get(), SFC_SET_CLIPPING, nullptr, SF_TRUE);
  // Some encoders keep a long sound on the stack at once.
  constexpr sf_count_t kPiece = 16384;
  const auto total = static_cast<sf_count_t>(sound.samples.size());
  for (sf_count_t at = 0; at < total; at += kPiece) {
    const sf_count_t n = std::min(kPiece, total - at);
    require(sf_writef_float(file.get(), sound.samples.data() + at, n) == n, "sound: cannot be written: {}", sf_strerror(file.get()));
  }
  file.reset();
  return std::move(memory.out);
}

std::vector<std::byte> encode_pcm(const Sound& sound) {
  std::vector<std::byte> out;
  out.reserve(sound.samples.size() * 2);
  for (const float v : sound.samples) {
    const auto n = static_cast<uint16_t>(static_cast<int16_t>(std::lrint(std::clamp(v == v ? v : 0.0f, -1.0f, 1.0f) * 32767)));
    out.push_back(static_cast<std::byte>(n & 255));
    out.push_back(static_cast<std::byte>(n >> 8));
  }
  return out;
}

// Opus knows 8, 12, 16, 24 and 48 kHz.
int64_t opus_rate(int64_t rate) {
  for (const int64_t known : {8000, 12000, 16000, 24000})
    if (rate <= known) return known;
  return 48000;
}

}  // namespace

SoundFormat sound_format(std::string_view name) {
  for (const auto& [known, format] : {std::pair{"wav", SoundFormat::wav}, {"flac", SoundFormat::flac}, {"opus", SoundFormat::opus}, {"ogg", SoundFormat::opus}, {"mp3", SoundFormat::mp3},
                                      {"pcm", SoundFormat::pcm}, {"raw", SoundFormat::pcm}})
    if (name == known) return format;
  fail(ErrorCode::usage, "sound: \"{}\" is no format that can be written; expected wav, flac, opus, mp3 or pcm", name);
}

SoundFormat sound_format_of(const std::filesystem::path& path) {
  std::string ending = path.extension().string();
  if (ending.empty()) return SoundFormat::wav;
  std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return sound_format(std::string_view(ending).substr(1));
}

const char* media_type(SoundFormat format) {
  switch (format) {
    case SoundFormat::flac: return "audio/flac";
    case SoundFormat::opus: return "audio/ogg";
    case SoundFormat::mp3: return "audio/mpeg";
    case SoundFormat::pcm: return "audio/pcm";
    case SoundFormat::wav: break;
  }
  return "audio/wav";
}

std::vector<std::byte> encode_sound(const Sound& sound, SoundFormat format) {
  switch (format) {
    case SoundFormat::flac: return encode_file(sound, SF_FORMAT_FLAC | SF_FORMAT_PCM_16);
    case SoundFormat::opus: return encode_file(resample(sound, opus_rate(sound.rate)), SF_FORMAT_OGG | SF_FORMAT_OPUS);
    case SoundFormat::mp3: return encode_file(sound, SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III);
    case SoundFormat::pcm: return encode_pcm(sound);
    case SoundFormat::wav: break;
  }
  return encode_wav(sound);
}

std::vector<std::byte> encode_wav(const Sound& sound) { return encode_file(sound, SF_FORMAT_WAV | SF_FORMAT_PCM_16); }

std::vector<std::byte> endless_wav_header(int64_t rate) {
  std::vector<std::byte> out;
  const auto text = [&](const char* s) {
    for (; *s; ++s) out.push_back(static_cast<std::byte>(*s));
  };
  const auto number = [&](uint32_t v, int bytes) {
    for (int i = 0; i < bytes; ++i) out.push_back(static_cast<std::byte>(v >> (8 * i) & 255));
  };
  text("RIFF");
  number(0xFFFFFFFF, 4);
  text("WAVEfmt ");
  number(16, 4);
  number(1, 2);  // PCM
  number(1, 2);  // one channel
  number(static_cast<uint32_t>(rate), 4);
  number(static_cast<uint32_t>(rate) * 2, 4);
  number(2, 2);
  number(16, 2);
  text("data");
  number(0xFFFFFFFF, 4);
  return out;
}

void write_sound(const std::filesystem::path& path, const Sound& sound, SoundFormat format) {
  const auto bytes = encode_sound(sound, format);
  AtomicFile file(path);
  file.write(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  file.commit();
}

void write_wav(const std::filesystem::path& path, const Sound& sound) { write_sound(path, sound, SoundFormat::wav); }

}  // namespace mynah::media
