// Sound as f32 samples in [-1, 1]: WAV, FLAC, Ogg (Vorbis, Opus), MP3, AIFF and what else libsndfile reads; resampling by soxr.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mynah::media {

struct Sound {
  int64_t rate = 0;  // Hz
  std::vector<float> samples;
};

enum class Mix {
  mean,   // (L + R) / 2
  power,  // 0.7071 (L + R) of stereo, as FFmpeg mixes; more channels as mean
};

// One channel at the file's own rate. Throws not_found; integrity for damaged data; failure for other formats and for more than
// 24 hours.
Sound read_sound(const std::filesystem::path& path, Mix mix = Mix::mean);
Sound decode_sound(std::span<const std::byte> bytes, const std::string& where, Mix mix = Mix::mean);

// The same sound at another rate (Hz).
Sound resample(const Sound& sound, int64_t rate);

// 16-bit PCM WAV; samples beyond [-1, 1] are cut. Written whole or not at all.
void write_wav(const std::filesystem::path& path, const Sound& sound);
std::vector<std::byte> encode_wav(const Sound& sound);

// pcm: 16-bit samples, little-endian, and nothing else.
enum class SoundFormat { wav, flac, opus, mp3, pcm };
// Of a name ("wav", "ogg") or of a file by its ending; throws usage for others.
SoundFormat sound_format(std::string_view name);
SoundFormat sound_format_of(const std::filesystem::path& path);
const char* media_type(SoundFormat format);  // "audio/wav"
// The sound in any of them; what a format cannot say (Opus knows few rates) is resampled.
std::vector<std::byte> encode_sound(const Sound& sound, SoundFormat format);
// Written whole or not at all.
void write_sound(const std::filesystem::path& path, const Sound& sound, SoundFormat format);
// The start of a WAV file whose length is not known yet; PCM follows.
std::vector<std::byte> endless_wav_header(int64_t rate);

}  // namespace mynah::media
