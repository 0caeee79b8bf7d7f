#include "base/random.h"

#include <cmath>
#include <numbers>

#include "base/thread_pool.h"

namespace mynah {

// The 128-bit counter holds position and stream, so there is no room for the purpose but in the key.
std::array<uint32_t, 2> philox_key(uint64_t seed, RandomPurpose purpose) {
  return {static_cast<uint32_t>(seed) ^ (static_cast<uint32_t>(purpose) * 0x9E3779B9u), static_cast<uint32_t>(seed >> 32)};
}

std::array<uint32_t, 4> philox(uint64_t seed, uint64_t stream, uint64_t position, RandomPurpose purpose) {
  uint32_t c[4] = {static_cast<uint32_t>(position), static_cast<uint32_t>(position >> 32), static_cast<uint32_t>(stream),
                   static_cast<uint32_t>(stream >> 32)};
  auto [k0, k1] = philox_key(seed, purpose);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53} * c[0], p1 = uint64_t{0xCD9E8D57} * c[2];
    const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k0, n2 = static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k1;
    c[1] = static_cast<uint32_t>(p1);
    c[3] = static_cast<uint32_t>(p0);
    c[0] = n0;
    c[2] = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {c[0], c[1], c[2], c[3]};
}

uint64_t stream_of(std::string_view name) {
  uint64_t h = 0xcbf29ce484222325u;
  for (const char c : name) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return h;
}

float uniform(uint64_t seed, uint64_t stream, uint64_t position, RandomPurpose purpose) {
  return static_cast<float>(philox(seed, stream, position, purpose)[0] >> 8) * 0x1p-24f;
}

std::array<float, 2> normal2(uint64_t seed, uint64_t stream, uint64_t position, RandomPurpose purpose) {
  const auto r = philox(seed, stream, position, purpose);
  const double u = (static_cast<double>(r[0]) + 1.0) * 0x1p-32, v = static_cast<double>(r[1]) * 0x1p-32;
  const double radius = std::sqrt(-2.0 * std::log(u)), angle = 2.0 * std::numbers::pi * v;
  return {static_cast<float>(radius * std::cos(angle)), static_cast<float>(radius * std::sin(angle))};
}

void fill_normal(float* out, int64_t n, float mean, float std, uint64_t seed, std::string_view stream) {
  const uint64_t s = stream_of(stream);
  parallel_for((n + 1) / 2, 1 << 12, [&](int64_t first, int64_t last) {
    for (int64_t i = 2 * first; first < last; ++first, i += 2) {
      const auto pair = normal2(seed, s, static_cast<uint64_t>(first), RandomPurpose::initialisation);
      out[i] = mean + std * pair[0];
      if (i + 1 < n) out[i + 1] = mean + std * pair[1];
    }
  });
}

void fill_uniform(float* out, int64_t n, float low, float high, uint64_t seed, std::string_view stream) {
  const uint64_t s = stream_of(stream);
  for (int64_t i = 0; i < n; ++i)
    out[i] = low + (high - low) * uniform(seed, s, static_cast<uint64_t>(i), RandomPurpose::initialisation);
}

}  // namespace mynah
