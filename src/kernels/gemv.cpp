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

  MYNAH_INLINE Sums(const GemvBlock& block, int64_t n, int64_t columns) {
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v)
        sum[r][v] =
            block.add_to_y ? load_some(block.y + r * block.y_stride + n + v * kLanes, width(columns, v)) : zero();
  }
  MYNAH_INLINE void finish(const GemvBlock& block, int64_t n, int64_t columns) {
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) {
      const int64_t count = width(columns, v);
      if (block.bias) {
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

constexpr int64_t kAheadBytes = 512;  // software prefetch, along each row of W

template <class Words, int Rows>
MYNAH_INLINE void add_words(Sums<Rows, 1>& s, Vector (&w)[kLanes], const float* x, int64_t x_stride, int64_t units) {
  transpose(w);
  if (units == kLanes) {
#pragma GCC unroll 16
    for (int j = 0; j < kLanes; ++j)
#pragma GCC unroll 8
      for (int r = 0; r < Rows; ++r) s.sum[r][0] = Words::step(broadcast(x + r * x_stride + j), w[j], s.sum[r][0]);
  } else {
    for (int64_t j = 0; j < units; ++j)
      for (int r = 0; r < Rows; ++r) s.sum[r][0] = Words::step(broadcast(x + r * x_stride + j), w[j], s.sum[r][0]);
  }
}

template <class Words, int Rows>
void along_rows(const GemvBlock& block) {
  constexpr int64_t kStep = kLanes * Words::kGroup;
  const int64_t stride = block.w.lane_stride * Words::kBytes;
  const char* const end = static_cast<const char*>(block.w.data) + (block.n - 1) * stride + block.k * Words::kBytes;
  for (int64_t n = 0; n < block.n; n += kLanes) {
    const int64_t lanes = block.n - n < kLanes ? block.n - n : kLanes;
    const char* w = static_cast<const char*>(block.w.data) + n * stride;
    const float* x = block.x;
    Sums<Rows, 1> s(block, n, lanes);
    int64_t k = 0;
    // Behind the end of a row comes the next one, which is being read already: prefetch then from the next lanes.
    const int64_t wrap = kLanes * stride - block.k * Words::kBytes;
    for (; lanes == kLanes && k + kStep <= block.k; k += kStep, w += kStep * Words::kBytes, x += kLanes) {
      Vector words[kLanes];
      const char* next = w + kAheadBytes;
      if (k * Words::kBytes + kAheadBytes >= block.k * Words::kBytes) next += wrap;
#pragma GCC unroll 16
      for (int l = 0; l < kLanes; ++l) {
        if (next + l * stride < end) _mm_prefetch(next + l * stride, _MM_HINT_T0);
        words[l] = Words::along_k(w + l * stride);
      }
      add_words<Words, Rows>(s, words, x, block.x_stride, kLanes);
    }
    for (; k < block.k; k += kStep, w += kStep * Words::kBytes, x += kLanes) {
      const int64_t count = block.k - k < kStep ? block.k - k : kStep;
      Vector words[kLanes];
      for (int l = 0; l < kLanes; ++l)
        words[l] = l < lanes ? along_k<Words>(w + l * stride, count, Words::kBytes) : zero();
      add_words<Words, Rows>(s, words, x, block.x_stride, (count + Words::kGroup - 1) / Words::kGroup);
    }
    s.finish(block, n, lanes);
  }
}

// ---- W stored [k, n]: neighbouring columns are lanes already. Strips wide enough that each row of W gives whole
// lines.

template <class Words, int Rows>
void across_rows(const GemvBlock& block) {
  constexpr int kVectors = Rows <= 2 ? 8 : Rows <= 4 ? 4 : 2;
  constexpr int64_t kWidth = kVectors * kLanes, kAheadRows = 8;
  const int64_t stride = block.w.k_stride * Words::kBytes;
  for (int64_t n = 0; n < block.n; n += kWidth) {
    const int64_t columns = block.n - n < kWidth ? block.n - n : kWidth;
    const char* w = static_cast<const char*>(block.w.data) + n * Words::kBytes;
    const float* x = block.x;
    Sums<Rows, kVectors> s(block, n, columns);
    for (int64_t k = 0; k < block.k; k += Words::kGroup, w += Words::kGroup * stride, ++x) {
      const char* second = k + 1 < block.k ? w + stride : w;  // read only where words are pairs
      if (k + kAheadRows + Words::kGroup <= block.k)
        for (int g = 0; g < Words::kGroup; ++g)
          for (int64_t i = 0; i < kWidth * Words::kBytes; i += 64)
            _mm_prefetch(w + (kAheadRows + g) * stride + i, _MM_HINT_T0);
      if (columns == kWidth && k + Words::kGroup <= block.k) {
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) {
          const int64_t at = v * kLanes * Words::kBytes;
          const Vector words = Words::across(w + at, second + at);
#pragma GCC unroll 8
          for (int r = 0; r < Rows; ++r)
            s.sum[r][v] = Words::step(broadcast(x + r * block.x_stride), words, s.sum[r][v]);
        }
      } else {
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) {
          const int64_t at = v * kLanes * Words::kBytes, lanes = s.width(columns, v);
          const Vector words = across<Words>(w + at, k + 1 < block.k ? second + at : nullptr, lanes, Words::kBytes);
          for (int r = 0; r < Rows; ++r)
            s.sum[r][v] = Words::step(broadcast(x + r * block.x_stride), words, s.sum[r][v]);
        }
      }
    }
    s.finish(block, n, columns);
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
