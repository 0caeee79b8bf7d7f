#include "media/sound.h"

#include <sndfile.h>
#include <soxr.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/file.h"
#include "base/require.h"

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

Sound decode_sound(std::span<const std::byte> bytes, const std::string& where, Mix mix) {
  Memory memory{bytes, {}, 0};
  SF_INFO info{};
  const File file(sf_open_virtual(&kMemoryIo, SFM_READ, &info, &memory));
  if (!file) fail(ErrorCode::failure, "{}: not a sound that is known: {}; expected WAV, FLAC, Ogg or MP3", where, sf_strerror(nullptr));
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

Sound read_sound(const std::filesystem::path& path, Mix mix) {
  if (!std::filesystem::exists(path)) fail(ErrorCode::not_found, "{}: no such file", path.string());
  const auto file = MappedFile::open(path);
  return decode_sound(file->bytes(), path.string(), mix);
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

std::vector<std::byte> encode_wav(const Sound& sound) {
  Memory memory;
  SF_INFO info{};
  info.samplerate = static_cast<int>(sound.rate);
  info.channels = 1;
  info.format = SF_FORMAT_WAV | SF_FORMAT_PCM_16;
  File file(sf_open_virtual(&kMemoryIo, SFM_WRITE, &info, &memory));
  require(file != nullptr, "sound: cannot write WAV: {}", sf_strerror(nullptr));
  sf_command(file.get(), SFC_SET_CLIPPING, nullptr, SF_TRUE);
  sf_writef_float(file.get(), sound.samples.data(), static_cast<sf_count_t>(sound.samples.size()));
  file.reset();
  return std::move(memory.out);
}

void write_wav(const std::filesystem::path& path, const Sound& sound) {
  const auto bytes = encode_wav(sound);
  AtomicFile file(path);
  file.write(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  file.commit();
}

}  // namespace mynah::media
