#include "kernels/attention.h"

#if defined(__AVX2__)
// GCC 12 sees its own _mm512_undefined_ps() as a use of an uninitialised value.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#endif

#include "kernels/half_bits.h"

namespace mynah::kernels::MYNAH_ISA {
namespace {

// clang-format off: the order is that of use
#include "kernels/lanes.inc"
#include "kernels/lanes_math.inc"
#if defined(__AMX_BF16__)
#include "kernels/tiles.inc"
#endif
#include "kernels/attention_product.inc"
#include "kernels/attention_pack.inc"
#include "kernels/attention_scores.inc"
#include "kernels/attention_forward.inc"
#include "kernels/attention_backward.inc"
// clang-format on

}  // namespace

extern const AttentionTable attention_table = {pack_keys, pack_values, pack_queries, attend, merge, finish, backward};

}  // namespace mynah::kernels::MYNAH_ISA
