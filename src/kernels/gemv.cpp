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
#include "kernels/gemv_along.inc"
#include "kernels/gemv_across.inc"

template <class Words, int Rows = kGemvRows>
void multiply_rows(const GemvBlock& block) {
  if (block.rows == Rows) {
    if (block.w.k_stride == 1)
      along_rows<Words, Rows>(block);
    else
      across_rows<Words, Rows>(block);
  } else if constexpr (Rows > 1) {
    multiply_rows<Words, Rows - 1>(block);
  }
}

void multiply(const GemvBlock& block) {
  if (block.w.element == Element::f32) return multiply_rows<F32Words>(block);
  if (block.w.element == Element::bf16) return multiply_rows<Bf16Pairs>(block);
  multiply_rows<F16Words>(block);
}

void prepare(Arithmetic arithmetic, Element element, const void* x, int64_t stride, int64_t k, float* out) {
  with_words(arithmetic, element, [&](auto words) {
    using Words = decltype(words);
    constexpr int64_t kStep = kLanes * Words::kGroup;
    const char* p = static_cast<const char*>(x);
    for (int64_t i = 0; i < k; i += kStep, p += kStep * stride * Words::kBytes, out += kLanes) {
      const int64_t count = k - i < kStep ? k - i : kStep, units = (count + Words::kGroup - 1) / Words::kGroup;
      float line[kLanes];
      store(line, along_k<Words>(p, count, stride * Words::kBytes));
      __builtin_memcpy(out, line, static_cast<size_t>(units) * sizeof(float));
    }
  });
}

}  // namespace

extern const GemvTable gemv_table = {prepare, multiply};

}  // namespace mynah::kernels::MYNAH_ISA
