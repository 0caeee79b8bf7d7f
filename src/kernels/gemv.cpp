#include "kernels/gemv.h"

// GCC 12 takes the deliberately undefined registers inside its own intrinsics for mistakes.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop

#include "kernels/half_bits.h"

namespace mynah::kernels::MYNAH_ISA {
namespace {

#include "kernels/gemm_lanes.inc"
#include "kernels/gemm_sources.inc"

// `count` <= kLanes values of y and back.
MYNAH_INLINE Vector load_some(const float* p, int64_t count) {
  return along_k<F32Words>(reinterpret_cast<const char*>(p), count, sizeof(float));
}
MYNAH_INLINE void store_some(float* p, Vector v, int64_t count) {
  if (count == kLanes) return store(p, v);
  float copy[kLanes];
  store(copy, v);
  for (int64_t i = 0; i < count; ++i) p[i] = copy[i];
}

// Sums of `columns` neighbouring columns, at most kLanes * Vectors of them, for Rows rows of x.
template <int Rows, int Vectors>
struct Sums {
  Vector sum[Rows][Vectors];

  MYNAH_INLINE Sums(const GemvBlock& block, int64_t n, int64_t columns, bool continues = false) {
    const bool add = block.add_to_y || continues;
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v)
        sum[r][v] = add ? load_some(block.y + r * block.y_stride + n + v * kLanes, width(columns, v)) : zero();
  }
  MYNAH_INLINE void finish(const GemvBlock& block, int64_t n, int64_t columns, bool ends = true) {
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) {
      const int64_t count = width(columns, v);
      if (block.bias && ends) {
        const Vector bias = load_some(block.bias + n + v * kLanes, count);
        for (int r = 0; r < Rows; ++r) sum[r][v] = sum[r][v] + bias;
      }
      for (int r = 0; r < Rows; ++r) store_some(block.y + r * block.y_stride + n + v * kLanes, sum[r][v], count);
    }
  }
  static MYNAH_INLINE int64_t width(int64_t columns, int v) {
    const int64_t rest = columns - v * kLanes;
    return rest < 0 ? 0 : rest < kLanes ? rest : kLanes;
  }
};

// ---- W stored [n, k]: kLanes rows of W by kLanes words are turned in registers, so that lanes are n and each sum runs
// over k in order.

// Software prefetch, along each row of W and into the second-level cache: there it loses no time even with the 16
// streams of these loops, while prefetches into the first level take the places that the loads need.
constexpr int64_t kAheadBytes = 512;

// A line of one row of W as it is loaded, and its words: more than one where turning narrow elements before widening
// them halves the work.
template <class Words>
struct Lines {
  static constexpr int kWords = 1;
  static MYNAH_INLINE Vector load_line(const char* p) { return Words::along_k(p); }
  static MYNAH_INLINE Vector word(Vector line, int) { return line; }
};
#if defined(__AVX512F__)
struct LinesOfPairs {
  static constexpr int kWords = 2;
  static MYNAH_INLINE Vector load_line(const char* p) { return load(p); }
};
template <>
struct Lines<F16Words> : LinesOfPairs {
  static MYNAH_INLINE Vector word(Vector line, int half) {
    const __m512i bits = _mm512_castps_si512(line);
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(half == 0 ? bits : _mm512_srli_epi32(bits, 16)));
  }
};
template <>
struct Lines<Bf16Words> : LinesOfPairs {
  static MYNAH_INLINE Vector word(Vector line, int half) {
    const __m512i bits = _mm512_castps_si512(line);
    return _mm512_castsi512_ps(half == 0 ? _mm512_slli_epi32(bits, 16)
                                         : _mm512_and_si512(bits, _mm512_set1_epi32(static_cast<int>(0xffff0000u))));
  }
};
#endif

// The full lines of `Groups` * kLanes whole rows of W at w; returns the k it reached. `next` is what to prefetch behind
// the end of these rows: the same place of the following ones.
template <class Words, int Rows, int Groups>
MYNAH_INLINE int64_t add_lines(Sums<Rows, Groups>& s, const GemvBlock& block, const char* w, int64_t stride,
                               int64_t next) {
  using L = Lines<Words>;
  constexpr int64_t kStep = kLanes * L::kWords * Words::kGroup;
  const int64_t row_bytes = block.k * Words::kBytes;
  const float* x = block.x;
  int64_t k = 0;
  for (; k + kStep <= block.k; k += kStep, w += kStep * Words::kBytes, x += kLanes * L::kWords) {
    const char* ahead = w + kAheadBytes + (k * Words::kBytes + kAheadBytes < row_bytes ? 0 : next - row_bytes);
#pragma GCC unroll 2
    for (int g = 0; g < Groups; ++g) {
      Vector lines[kLanes];
#pragma GCC unroll 16
      for (int l = 0; l < kLanes; ++l) {
        _mm_prefetch(ahead + (g * kLanes + l) * stride, _MM_HINT_T1);
        lines[l] = L::load_line(w + (g * kLanes + l) * stride);
      }
      transpose(lines);
#pragma GCC unroll 16
      for (int j = 0; j < kLanes; ++j)
#pragma GCC unroll 2
        for (int half = 0; half < L::kWords; ++half) {
          const Vector word = L::word(lines[j], half);
#pragma GCC unroll 8
          for (int r = 0; r < Rows; ++r)
            s.sum[r][g] = Words::step(broadcast(x + r * block.x_stride + j * L::kWords + half), word, s.sum[r][g]);
        }
    }
  }
  return k;
}

// What is left of those rows from k on, or rows that are fewer.
template <class Words, int Rows, int Groups>
void add_rest(Sums<Rows, Groups>& s, const GemvBlock& block, const char* w, int64_t stride, int64_t lanes, int64_t k) {
  constexpr int64_t kStep = kLanes * Words::kGroup;
  for (; k < block.k; k += kStep) {
    const int64_t count = block.k - k < kStep ? block.k - k : kStep,
                  units = (count + Words::kGroup - 1) / Words::kGroup;
    const float* x = block.x + k / Words::kGroup;
    for (int g = 0; g < Groups; ++g) {
      Vector words[kLanes];
      for (int l = 0; l < kLanes; ++l) {
        const int64_t lane = g * kLanes + l;
        words[l] = lane < lanes ? along_k<Words>(w + lane * stride + k * Words::kBytes, count, Words::kBytes) : zero();
      }
      transpose(words);
      for (int64_t j = 0; j < units; ++j)
        for (int r = 0; r < Rows; ++r)
          s.sum[r][g] = Words::step(broadcast(x + r * block.x_stride + j), words[j], s.sum[r][g]);
    }
  }
}

template <class Words, int Rows>
void along_rows(const GemvBlock& block) {
  constexpr int kGroups = Words::kGroup == 2 && Rows <= 2 ? 2 : 1;  // dot products of pairs take longer than a turn
  constexpr int64_t kRows = kGroups * kLanes;
  const int64_t stride = block.w.lane_stride * Words::kBytes;
  const char* w = static_cast<const char*>(block.w.data);
  for (int64_t n = 0; n < block.n; n += kRows, w += kRows * stride) {
    const int64_t lanes = block.n - n < kRows ? block.n - n : kRows,
                  next = n + 2 * kRows <= block.n ? kRows * stride : 0;
    Sums<Rows, kGroups> s(block, n, lanes);
    const int64_t k = lanes == kRows ? add_lines<Words, Rows, kGroups>(s, block, w, stride, next) : 0;
    if (k < block.k) add_rest<Words, Rows, kGroups>(s, block, w, stride, lanes, k);
    s.finish(block, n, lanes);
  }
}

// ---- W stored [k, n]: neighbouring columns are lanes already. As many strips of columns as registers hold sums for
// are taken one after the other through each block of k, which the first strip fetches for all.

// Columns [n, n + columns) of the words [k, k_end).
template <class Words, int Rows, int Vectors>
MYNAH_INLINE void add_strip(const GemvBlock& block, int64_t n, int64_t columns, int64_t k, int64_t k_end,
                            int64_t prefetch_bytes) {
  const int64_t stride = block.w.k_stride * Words::kBytes, ahead = (k_end - k) * stride;
  const char* w = static_cast<const char*>(block.w.data) + n * Words::kBytes + k * stride;
  const float* x = block.x + k / Words::kGroup;
  Sums<Rows, Vectors> s(block, n, columns, k > 0);
  for (; k < k_end; k += Words::kGroup, w += Words::kGroup * stride, ++x) {
    for (int g = 0; g < Words::kGroup; ++g)
      for (int64_t i = 0; i < prefetch_bytes; i += 64) _mm_prefetch(w + g * stride + ahead + i, _MM_HINT_T1);
    const char* second = k + 1 < block.k ? w + stride : w;  // read only where words are pairs
    if (columns == Vectors * kLanes && k + Words::kGroup <= block.k) {
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) {
        const int64_t at = v * kLanes * Words::kBytes;
        const Vector words = Words::across(w + at, second + at);
#pragma GCC unroll 8
        for (int r = 0; r < Rows; ++r) s.sum[r][v] = Words::step(broadcast(x + r * block.x_stride), words, s.sum[r][v]);
      }
    } else {
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) {
        const int64_t at = v * kLanes * Words::kBytes, lanes = s.width(columns, v);
        if (lanes == 0) continue;
        const Vector words = across<Words>(w + at, k + 1 < block.k ? second + at : nullptr, lanes, Words::kBytes);
        for (int r = 0; r < Rows; ++r) s.sum[r][v] = Words::step(broadcast(x + r * block.x_stride), words, s.sum[r][v]);
      }
    }
  }
  s.finish(block, n, columns, k_end == block.k);
}

template <class Words, int Rows>
void across_rows(const GemvBlock& block) {
  constexpr int kSums = kLanes == 16 ? 24 : 12;  // of 32 or 16 registers
  constexpr int kVectors = Rows * 8 <= kSums ? 8 : Rows * 4 <= kSums ? 4 : Rows * 2 <= kSums ? 2 : 1;
  constexpr int64_t kStrip = kVectors * kLanes, kSide = kStrip < 128 ? 128 : kStrip, kBlock = 32;
  for (int64_t first = 0; first < block.n; first += kSide) {
    const int64_t end = block.n - first < kSide ? block.n : first + kSide;
    for (int64_t k = 0; k < block.k; k += kBlock) {
      const int64_t k_end = block.k - k < kBlock ? block.k : k + kBlock;
      const int64_t prefetch_bytes = block.k - k < 2 * kBlock ? 0 : (end - first) * Words::kBytes;
      for (int64_t n = first; n < end; n += kStrip)
        add_strip<Words, Rows, kVectors>(block, n, end - n < kStrip ? end - n : kStrip, k, k_end,
                                         n == first ? prefetch_bytes : 0);
    }
  }
}

// ----

template <class Words, int Rows = kGemvRows>
void multiply_rows(const GemvBlock& block) {
  if (block.rows == Rows)
    return block.w.k_stride == 1 ? along_rows<Words, Rows>(block) : across_rows<Words, Rows>(block);
  if constexpr (Rows > 1) multiply_rows<Words, Rows - 1>(block);
}

void multiply(Arithmetic arithmetic, const GemvBlock& block) {
  with_words(arithmetic, block.w.element, [&](auto words) { multiply_rows<decltype(words)>(block); });
}

void prepare(Arithmetic arithmetic, Element element, const void* x, int64_t stride, int64_t k, float* out) {
  with_words(arithmetic, element, [&](auto words) {
    using Words = decltype(words);
    constexpr int64_t kStep = kLanes * Words::kGroup;
    const char* p = static_cast<const char*>(x);
    for (int64_t i = 0; i < k; i += kStep, p += kStep * stride * Words::kBytes, out += kLanes) {
      const int64_t count = k - i < kStep ? k - i : kStep;
      store_some(out, along_k<Words>(p, count, stride * Words::kBytes), (count + Words::kGroup - 1) / Words::kGroup);
    }
  });
}

}  // namespace

extern const GemvTable gemv_table = {prepare, multiply};

}  // namespace mynah::kernels::MYNAH_ISA
