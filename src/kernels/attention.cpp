#include "kernels/attention.h"

#include "kernels/half_bits.h"
#include "kernels/intrinsics.h"

namespace mynah::kernels::MYNAH_ISA {
namespace {

// clang-format off: the order is that of use
#include "kernels/lanes.inc"
#include "kernels/lanes_math.inc"
#include "kernels/lanes_philox.inc"
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
