#include "kernels/rows.h"

#include "kernels/half_bits.h"
#include "kernels/intrinsics.h"

namespace mynah::kernels::MYNAH_ISA {
namespace {

// clang-format off: the order is that of use
#include "kernels/lanes.inc"
#include "kernels/lanes_math.inc"
#include "kernels/lanes_philox.inc"
#include "kernels/rows_loops.inc"
#include "kernels/rows_norm.inc"
#include "kernels/rows_softmax.inc"
#include "kernels/rows_unary.inc"
#include "kernels/rows_basic.inc"
#include "kernels/rows_convert.inc"
// clang-format on

}  // namespace

extern const RowsTable rows_table = {
    rms_norm,
    rms_norm_backward,
    layer_norm,
    layer_norm_backward,
    softmax,
    log_softmax,
    softmax_backward,
    log_softmax_backward,
    logsumexp,
    cross_entropy,
    logit_stats,
    unary,
    unary_backward,
    glu,
    glu_backward,
    binary,
    binary_scalar,
    scalar_binary,
    binary_row,
    axpy,
    scale,
    shift,
    leaky_relu,
    dropout,
    column_sum,
    sum_all,
    sum_squares,
    dot,
    max_all,
    argmax,
    any_nonfinite,
    rope,
    adamw,
    f32_to_bf16,
    bf16_to_f32,
    f32_to_f16,
    f16_to_f32,
};

}  // namespace mynah::kernels::MYNAH_ISA
