#include "kernels/peak.h"

#include "kernels/intrinsics.h"

namespace mynah::kernels::MYNAH_ISA {
namespace {

constexpr int kChains = 12;  // independent accumulators: more than latency times issue width

#if defined(__AMX_INT8__)
#define MYNAH_INLINE inline __attribute__((always_inline))
#include "kernels/tiles.inc"

// Four independent products at a time, as a product of matrices has them. `k` elements of 64 bytes.
template <class Products>
double multiply_tiles(int64_t rounds, float* sink, int64_t k, Products products) {
  alignas(64) uint8_t operand[1024] = {};
  operand[0] = static_cast<uint8_t>(*sink);
  set_tiles(16, 64);
  load_tile<4>(operand, 64);
  load_tile<5>(operand, 64);
  load_tile<6>(operand, 64);
  load_tile<7>(operand, 64);
  for (int64_t r = 0; r < rounds; ++r) products();
  release_tiles();
  return static_cast<double>(rounds * k) * 4 * 16 * 16 * 2;
}

double int8(int64_t rounds, float* sink) {
  return multiply_tiles(rounds, sink, 64, [] {
    multiply_bytes<0, 4, 6>();
    multiply_bytes<1, 4, 7>();
    multiply_bytes<2, 5, 6>();
    multiply_bytes<3, 5, 7>();
  });
}

double bf16(int64_t rounds, float* sink) {
  return multiply_tiles(rounds, sink, 32, [] {
    multiply_pairs<0, 4, 6>();
    multiply_pairs<1, 4, 7>();
    multiply_pairs<2, 5, 6>();
    multiply_pairs<3, 5, 7>();
  });
}
#endif

#if defined(__AVX512F__)

double f32(int64_t rounds, float* sink) {
  __m512 acc[kChains];
  for (auto& a : acc) a = _mm512_set1_ps(*sink);
  __m512 x = _mm512_set1_ps(1.0f + *sink * 1e-9f), y = _mm512_set1_ps(*sink);
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 12
    for (auto& a : acc) a = _mm512_fmadd_ps(a, x, y);
    asm volatile("" : "+v"(x), "+v"(y));
  }
  __m512 total = acc[0];
  for (int i = 1; i < kChains; ++i) total = _mm512_add_ps(total, acc[i]);
  *sink = _mm512_reduce_add_ps(total);
  return static_cast<double>(rounds) * kChains * 16 * 2;
}

#if !defined(__AMX_INT8__)
double int8(int64_t rounds, float* sink) {
  __m512i acc[kChains];
  for (auto& a : acc) a = _mm512_setzero_si512();
  __m512i x = _mm512_set1_epi8(static_cast<char>(*sink)), y = _mm512_set1_epi8(1);
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 12
    for (auto& a : acc) a = _mm512_dpbusd_epi32(a, x, y);
    asm volatile("" : "+v"(x), "+v"(y));
  }
  __m512i total = acc[0];
  for (int i = 1; i < kChains; ++i) total = _mm512_add_epi32(total, acc[i]);
  *sink = static_cast<float>(_mm512_reduce_add_epi32(total));
  return static_cast<double>(rounds) * kChains * 64 * 2;
}
#endif

// Four streams and no prefetch hints: the fastest of the forms tried.
uint64_t read(const void* data, size_t n) {
  const char* p = static_cast<const char*>(data);
  const size_t part = n / 4;
  __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
  for (size_t i = 0; i < part; i += 64) {
    a = _mm512_xor_si512(a, _mm512_loadu_si512(p + i));
    b = _mm512_xor_si512(b, _mm512_loadu_si512(p + part + i));
    c = _mm512_xor_si512(c, _mm512_loadu_si512(p + 2 * part + i));
    d = _mm512_xor_si512(d, _mm512_loadu_si512(p + 3 * part + i));
  }
  a = _mm512_xor_si512(_mm512_xor_si512(a, b), _mm512_xor_si512(c, d));
  return static_cast<uint64_t>(_mm512_reduce_or_epi64(a));
}

#elif defined(__AVX2__)

double f32(int64_t rounds, float* sink) {
  __m256 acc[kChains];
  for (auto& a : acc) a = _mm256_set1_ps(*sink);
  __m256 x = _mm256_set1_ps(1.0f + *sink * 1e-9f), y = _mm256_set1_ps(*sink);
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 12
    for (auto& a : acc) a = _mm256_fmadd_ps(a, x, y);
    asm volatile("" : "+x"(x), "+x"(y));
  }
  __m256 total = acc[0];
  for (int i = 1; i < kChains; ++i) total = _mm256_add_ps(total, acc[i]);
  *sink = _mm256_cvtss_f32(total);
  return static_cast<double>(rounds) * kChains * 8 * 2;
}

double int8(int64_t rounds, float* sink) {
  __m256i acc[kChains];
  for (auto& a : acc) a = _mm256_setzero_si256();
  __m256i x = _mm256_set1_epi8(static_cast<char>(*sink)), y = _mm256_set1_epi8(1);
  const __m256i ones = _mm256_set1_epi16(1);
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 12
    for (auto& a : acc) a = _mm256_add_epi32(a, _mm256_madd_epi16(_mm256_maddubs_epi16(x, y), ones));
    asm volatile("" : "+x"(x), "+x"(y));
  }
  __m256i total = acc[0];
  for (int i = 1; i < kChains; ++i) total = _mm256_add_epi32(total, acc[i]);
  *sink = static_cast<float>(_mm256_extract_epi32(total, 0));
  return static_cast<double>(rounds) * kChains * 32 * 2;
}

uint64_t read(const void* data, size_t n) {
  const char* p = static_cast<const char*>(data);
  __m256i a = _mm256_setzero_si256(), b = a;
  for (size_t i = 0; i < n; i += 128) {
    _mm_prefetch(p + i + 2048, _MM_HINT_T0);
    a = _mm256_xor_si256(a, _mm256_xor_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + i)),
                                             _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + i + 32))));
    b = _mm256_xor_si256(b, _mm256_xor_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + i + 64)),
                                             _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + i + 96))));
  }
  a = _mm256_xor_si256(a, b);
  return static_cast<uint64_t>(_mm256_extract_epi64(a, 0)) ^ static_cast<uint64_t>(_mm256_extract_epi64(a, 2));
}

#else

double f32(int64_t rounds, float* sink) {
  float acc[kChains];
  for (float& a : acc) a = *sink;
  float x = 1.0f + *sink * 1e-9f, y = *sink;
  for (int64_t r = 0; r < rounds; ++r)
    for (float& a : acc) a = a * x + y;
  for (const float a : acc) *sink += a;
  return static_cast<double>(rounds) * kChains * 2;
}

double int8(int64_t rounds, float* sink) {
  int acc[kChains] = {};
  int x = static_cast<int>(*sink), y = 1;
  for (int64_t r = 0; r < rounds; ++r)
    for (int& a : acc) a = (a + x * y) & 0xffff;
  for (const int a : acc) *sink += static_cast<float>(a);
  return static_cast<double>(rounds) * kChains * 2;
}

uint64_t read(const void* data, size_t n) {
  const uint64_t* p = static_cast<const uint64_t*>(data);
  uint64_t a = 0;
  for (size_t i = 0; i < n / 8; ++i) a ^= p[i];
  return a;
}

#endif

#if defined(__AVX512BF16__) && !defined(__AMX_BF16__)
double bf16(int64_t rounds, float* sink) {
  __m512 acc[kChains];
  for (auto& a : acc) a = _mm512_set1_ps(*sink);
  __m512i x = _mm512_set1_epi16(0x3f80), y = _mm512_set1_epi16(0x3f80);
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 12
    for (auto& a : acc) a = _mm512_dpbf16_ps(a, reinterpret_cast<__m512bh>(x), reinterpret_cast<__m512bh>(y));
    asm volatile("" : "+v"(x), "+v"(y));
  }
  __m512 total = acc[0];
  for (int i = 1; i < kChains; ++i) total = _mm512_add_ps(total, acc[i]);
  *sink = _mm512_reduce_add_ps(total);
  return static_cast<double>(rounds) * kChains * 32 * 2;
}
#elif !defined(__AMX_BF16__)
double bf16(int64_t, float*) { return 0; }
#endif

}  // namespace

extern const PeakTable peak_table;
const PeakTable peak_table = {f32, bf16, int8, read};

}  // namespace mynah::kernels::MYNAH_ISA
