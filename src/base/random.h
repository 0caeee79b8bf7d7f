// Counter-based random numbers: a value is a function of (seed, stream, position, purpose), so draws do not depend on the
// order or number of other draws. Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
#pragma once
#include <array>
#include <cstdint>
#include <string_view>

namespace mynah {

enum class RandomPurpose : uint32_t { sampling = 1, initialisation = 2, data_order = 3, dropout = 4, test = 5 };

// What philox is keyed with: the seed, with the purpose mixed into its low half.
std::array<uint32_t, 2> philox_key(uint64_t seed, RandomPurpose purpose);
// Four independent 32-bit values.
std::array<uint32_t, 4> philox(uint64_t seed, uint64_t stream, uint64_t position, RandomPurpose purpose);
// A stream number for a name (FNV-1a), such as a parameter's.
uint64_t stream_of(std::string_view name);
// Uniform in [0,1), 24 bits.
float uniform(uint64_t seed, uint64_t stream, uint64_t position, RandomPurpose purpose);
// Standard normal values, two per position (Box-Muller).
std::array<float, 2> normal2(uint64_t seed, uint64_t stream, uint64_t position, RandomPurpose purpose);
// out[0..n) = mean + std * normal.
void fill_normal(float* out, int64_t n, float mean, float std, uint64_t seed, std::string_view stream);
void fill_uniform(float* out, int64_t n, float low, float high, uint64_t seed, std::string_view stream);

}  // namespace mynah
