// The searches over scales behind the quantisers, several sub-blocks at a time. The sums run over a sub-block's
// elements in order, so they cannot be spread over the lanes of a vector; instead each lane holds another sub-block (or
// block). That gives the same bits for any vector width.
#pragma once
#include "kernels/blocks.h"
#include "kernels/half_bits.h"

namespace mynah::kernels {
namespace {

#ifdef __AVX2__
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif
using Floats = float __attribute__((vector_size(4 * kLanes)));
using Ints = int32_t __attribute__((vector_size(4 * kLanes)));  // also masks: all bits of a lane set or none

inline Floats floats(float v) { return v - Floats{}; }
inline Ints ints(int32_t v) { return v - Ints{}; }
inline Floats to_floats(Ints v) { return __builtin_convertvector(v, Floats); }
inline Floats magnitude(Floats v) { return reinterpret_cast<Floats>(reinterpret_cast<Ints>(v) & 0x7fffffff); }
inline Ints clamp(Ints v, int low, int high) {
  v = v < low ? ints(low) : v;
  return v > high ? ints(high) : v;
}
inline bool any(Ints mask) {
  int32_t all = 0;
  for (int g = 0; g < kLanes; ++g) all |= mask[g];
  return all != 0;
}

// To the nearest integer, ties to even, for |v| < 2^22: adding 1.5 * 2^23 leaves the integer in the low mantissa bits.
inline Ints nearest(Floats v) { return (reinterpret_cast<Ints>(v + 12582912.0f) & 0x7fffff) - 0x400000; }
inline int nearest(float v) { return static_cast<int>(bits_of(v + 12582912.0f) & 0x7fffffu) - 0x400000; }

constexpr float kTiny = 1e-15f;  // a sub-block below this is zero

// Element e of kLanes sub-blocks of N elements that follow each other.
template <int N>
struct Tile {
  Floats x[N];
  explicit Tile(const float* in) {
    for (int e = 0; e < N; ++e)
      for (int g = 0; g < kLanes; ++g) x[e][g] = in[N * g + e];
  }
};

template <int N>
inline void store_codes(const Ints* codes, uint8_t* out) {
  for (int e = 0; e < N; ++e)
    for (int g = 0; g < kLanes; ++g) out[N * g + e] = static_cast<uint8_t>(codes[e][g]);
}

// The element of largest magnitude (the first of equals), with its sign.
template <int N>
inline Floats extreme(const Floats* x) {
  Floats largest = {}, value = {};
  for (int e = 0; e < N; ++e) {
    const Floats size = magnitude(x[e]);
    value = size > largest ? x[e] : value;
    largest = size > largest ? size : largest;
  }
  return value;
}

// ---- One scale and one minimum per sub-block (q2_k, q4_k, q5_k): x ~ scale * code - minimum, both not negative.

struct AffineSearch {
  int top;            // codes 0 ... top
  float first, step;  // trial t divides the range into top + first + t * step parts
  int trials;
  bool absolute;  // the error is sum w |difference|, else sum w difference^2
};

template <int N>
struct Affine {
  Ints codes[N];
  Floats scale, minimum;
};

template <int N>
inline Floats weighted_error(const Floats* x, const Floats* w, const Ints* codes, Floats scale, Floats low,
                             bool absolute) {
  Floats error = {};
  for (int e = 0; e < N; ++e) {
    const Floats difference = scale * to_floats(codes[e]) + low - x[e];
    error += w[e] * (absolute ? magnitude(difference) : difference * difference);
  }
  return error;
}

// For each trial: codes on a grid of that many steps from the best minimum so far to the largest element, then the
// scale and minimum that fit these codes best (weighted least squares, the minimum at most 0); the smallest error wins,
// the first of equals.
template <int N>
void search_affine(const Floats* x, const Floats* w, const AffineSearch& s, Affine<N>& best) {
  Floats low = x[0], high = x[0], sum_w = w[0], sum_x = w[0] * x[0];
  for (int e = 1; e < N; ++e) {
    low = x[e] < low ? x[e] : low;
    high = x[e] > high ? x[e] : high;
    sum_w += w[e];
    sum_x += w[e] * x[e];
  }
  low = low > 0.0f ? Floats{} : low;
  const Ints flat = high == low;
  const Floats flat_minimum = -low;
  Floats inverse = static_cast<float>(s.top) / (flat ? floats(1.0f) : high - low), scale = 1.0f / inverse;
  for (int e = 0; e < N; ++e) best.codes[e] = clamp(nearest(inverse * (x[e] - low)), 0, s.top);
  Floats best_error = weighted_error<N>(x, w, best.codes, scale, low, s.absolute);
  for (int t = 0; t < s.trials; ++t) {
    inverse =
        (s.first + s.step * static_cast<float>(t) + static_cast<float>(s.top)) / (flat ? floats(1.0f) : high - low);
    Ints codes[N];
    Floats sum_l = {}, sum_ll = {}, sum_xl = {};
    for (int e = 0; e < N; ++e) {
      codes[e] = clamp(nearest(inverse * (x[e] - low)), 0, s.top);
      const Floats l = to_floats(codes[e]), wl = w[e] * l;
      sum_l += wl;
      sum_ll += wl * l;
      sum_xl += wl * x[e];
    }
    const Floats determinant = sum_w * sum_ll - sum_l * sum_l;
    Floats trial_scale = (sum_w * sum_xl - sum_x * sum_l) / determinant;
    Floats trial_low = (sum_ll * sum_x - sum_l * sum_xl) / determinant;
    trial_scale = trial_low > 0.0f ? sum_xl / sum_ll : trial_scale;
    trial_low = trial_low > 0.0f ? Floats{} : trial_low;
    const Floats error = weighted_error<N>(x, w, codes, trial_scale, trial_low, s.absolute);
    const Ints better = (determinant > 0.0f) & (error < best_error);
    if (!any(better)) continue;
    for (int e = 0; e < N; ++e) best.codes[e] = better ? codes[e] : best.codes[e];
    best_error = better ? error : best_error;
    scale = better ? trial_scale : scale;
    low = better ? trial_low : low;
  }
  for (int e = 0; e < N; ++e) best.codes[e] = flat ? Ints{} : best.codes[e];
  best.scale = flat ? Floats{} : scale;
  best.minimum = flat ? flat_minimum : -low;
}

// ---- One signed scale per sub-block of 16 (q3_k, q6_k): x ~ scale * code, errors weighted by x^2.

struct Symmetric {
  Ints codes[16] = {};  // from 0
  Floats scale = {};
};

struct Fit {
  Floats xl = {}, ll = {};  // sums of w x code and w code^2
  void add(Floats w, Floats x, Ints code) {
    const Floats l = to_floats(code);
    xl += w * x * l;
    ll += w * l * l;
  }
};

// 19 grids around the one that puts the extreme element on the lowest code; the best fit wins.
void search_grids(const Floats* x, Symmetric& best) {
  const Floats peak = extreme<16>(x);
  const Ints zero = magnitude(peak) < kTiny;
  const Floats divisor = zero ? floats(1.0f) : peak;
  Floats score = {};
  for (int t = 0; t < 20; ++t) {  // the plain grid first, then those moved by -0.9 to 0.9
    if (t == 10) continue;
    const Floats inverse = -(32.0f + (t == 0 ? 0.0f : 0.1f * static_cast<float>(t - 10))) / divisor;
    Fit fit;
    Ints codes[16];
    for (int e = 0; e < 16; ++e) {
      codes[e] = clamp(nearest(inverse * x[e]), -32, 31);
      fit.add(x[e] * x[e], x[e], codes[e]);
    }
    const Ints better = (fit.ll > 0.0f) & (t == 0 ? ints(-1) : fit.xl * fit.xl > score * fit.ll);
    if (!any(better)) continue;
    for (int e = 0; e < 16; ++e) best.codes[e] = better ? codes[e] + 32 : best.codes[e];
    best.scale = better ? fit.xl / fit.ll : best.scale;
    score = better ? best.scale * fit.xl : score;
  }
  for (int e = 0; e < 16; ++e) best.codes[e] = zero ? Ints{} : best.codes[e];
  best.scale = zero ? Floats{} : best.scale;
}

// Moves one code at a time to where the fit of the others wants it, at most five times around.
void search_by_element(const Floats* x, Symmetric& best) {
  const Floats peak = extreme<16>(x);
  const Ints zero = magnitude(peak) < kTiny;
  const Floats inverse = -4.0f / (zero ? floats(1.0f) : peak);
  Fit fit;
  for (int e = 0; e < 16; ++e) {
    best.codes[e] = clamp(nearest(inverse * x[e]), -4, 3);
    fit.add(x[e] * x[e], x[e], best.codes[e]);
  }
  for (int round = 0; round < 5; ++round) {
    Ints changed = {};
    for (int e = 0; e < 16; ++e) {
      const Floats w = x[e] * x[e], l = to_floats(best.codes[e]);
      Fit others;
      others.xl = fit.xl - w * x[e] * l;
      others.ll = fit.ll - w * l * l;
      const Ints code = clamp(nearest(x[e] * others.ll / others.xl), -4, 3);
      Ints move = (others.xl > 0.0f) & (code != best.codes[e]);
      others.add(w, x[e], code);
      move &= (others.ll > 0.0f) & (others.xl * others.xl * fit.ll > fit.xl * fit.xl * others.ll);
      best.codes[e] = move ? code : best.codes[e];
      fit.xl = move ? others.xl : fit.xl;
      fit.ll = move ? others.ll : fit.ll;
      changed |= move;
    }
    if (!any(changed)) break;
  }
  for (int e = 0; e < 16; ++e) best.codes[e] = zero ? Ints{} : best.codes[e] + 4;
  best.scale = (zero | (fit.ll <= 0.0f)) ? Floats{} : fit.xl / fit.ll;
}

// ---- iq4_nl: codes are places in a table of unequal levels; kLanes blocks at a time.

// The nearest level (the upper of two equally near): the number of midpoints at or below v.
inline Ints nearest_level(Floats v) {
  Ints code = {};
  for (int k = 0; k < 15; ++k) code -= v >= 0.5f * static_cast<float>(kIq4Values[k] + kIq4Values[k + 1]);
  return code;
}
inline Floats value_of_nearest_level(Floats v) {
  Ints value = ints(kIq4Values[0]);
  for (int k = 0; k < 15; ++k)
    value += (v >= 0.5f * static_cast<float>(kIq4Values[k] + kIq4Values[k + 1])) & (kIq4Values[k + 1] - kIq4Values[k]);
  return to_floats(value);
}

// The extreme element on the opposite end of the table, then on levels -134 to -120; the best fit, weighted by x^2,
// wins.
Floats search_levels(const Floats* x, Ints* codes) {
  const Floats peak = extreme<32>(x);
  const Ints zero = magnitude(peak) < kTiny;
  const Floats divisor = zero ? floats(1.0f) : peak;
  Floats scale = {}, score = {};
  for (int t = 0; t < 16; ++t) {
    const Floats inverse = t == 0 ? 1.0f / (-divisor / -127.0f) : static_cast<float>(t - 8 - 127) / divisor;
    Floats xq = {}, qq = {};
    for (int e = 0; e < 32; ++e) {
      const Floats q = value_of_nearest_level(inverse * x[e]), w = x[e] * x[e];
      xq += w * q * x[e];
      qq += w * q * q;
    }
    const Ints better = (qq > 0.0f) & (t == 0 ? ints(-1) : xq * xq > score * qq);
    scale = better ? xq / qq : scale;
    score = better ? scale * xq : score;
  }
  scale = zero ? Floats{} : scale;
  const Floats inverse = scale != 0.0f ? 1.0f / scale : Floats{};
  for (int e = 0; e < 32; ++e) codes[e] = nearest_level(inverse * x[e]);
  return scale;
}

}  // namespace
}  // namespace mynah::kernels
