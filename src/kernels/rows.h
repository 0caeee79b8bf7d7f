// Memory-bound kernels on rows of f32: norms, softmax, activations, elementwise maths, rotary embedding, the optimiser
// step and conversions. "rows x n" arrays are contiguous unless a row stride (in elements) is given. y may be x unless
// said otherwise. A row's result never depends on other rows, and every sum has one order: 16 running lanes, then a
// fixed tree, so AVX2 and AVX-512 give the same bits. Nothing is checked here; the op has done it.
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/dropout.h"

namespace mynah::kernels {

enum class Unary : uint8_t {
  exp,
  log,
  tanh,
  sigmoid,
  silu,
  gelu,
  gelu_tanh,
  quick_gelu,
  relu,
  relu2,
  mish,
  softplus,
  sqrt,
  rsqrt,
  neg,
  abs,
  square,
  sin,
  cos,
};
enum class Binary : uint8_t { add, sub, mul, div, max, min };

// One step of decoupled weight decay Adam (arXiv:1711.05101), in the arithmetic of torch.optim.AdamW.
struct AdamWStep {
  double lr, beta1, beta2, eps, weight_decay;
  double bias1, bias2;   // 1 - beta1^t and 1 - beta2^t
  float grad_scale = 1;  // multiplies the gradient first (clipping)
};

// What a row of logits says beside its loss; `best` as argmax() gives it.
struct LogitStats {
  double entropy;          // of the softmax, in nats
  double log_sum_squares;  // logarithm of the sum of the squared probabilities
  double mean;             // of the logits
  int64_t best;
};

// Layout of a rotary call: row r, head h starts at x + r * row_stride + h * head_dim.
struct RopeShape {
  int64_t rows, heads, head_dim;
  int64_t rot;       // leading elements of a head that turn (even, <= head_dim); the rest is copied
  bool interleaved;  // pairs (2i, 2i+1); else (i, i + rot/2)
  bool inverse;      // turn backwards: the gradient
};

struct RowsTable {
  // y = x * rsqrt(mean(x^2) + eps) * (weight_offset + weight); weight null: no factor. arXiv:1910.07467; Gemma has
  // offset 1.
  void (*rms_norm)(const float* x, const float* weight, float weight_offset, float eps, float* y, int64_t rows,
                   int64_t n);
  // dx is written (null: not wanted; may be dy), dweight [n] is added to (null: not wanted).
  void (*rms_norm_backward)(const float* x, const float* weight, float weight_offset, float eps, const float* dy,
                            float* dx, float* dweight, int64_t rows, int64_t n);
  // y = (x - mean) * rstd * weight + bias, biased variance; weight, bias, mean [rows] and rstd [rows] may be null.
  // arXiv:1607.06450.
  void (*layer_norm)(const float* x, const float* weight, const float* bias, float eps, float* y, float* mean,
                     float* rstd, int64_t rows, int64_t n);
  // mean and rstd as layer_norm gave them. dx is written (null: not wanted; may be dy); dweight, dbias [n] are added to
  // (or null).
  void (*layer_norm_backward)(const float* x, const float* weight, const float* mean, const float* rstd,
                              const float* dy, float* dx, float* dweight, float* dbias, int64_t rows, int64_t n);

  // Over each row. A row of -inf gives 0 (softmax), NaN (log_softmax), -inf (logsumexp).
  void (*softmax)(const float* x, float* y, int64_t rows, int64_t n);
  void (*log_softmax)(const float* x, float* y, int64_t rows, int64_t n);
  void (*softmax_backward)(const float* y, const float* dy, float* dx, int64_t rows, int64_t n);
  void (*log_softmax_backward)(const float* y, const float* dy, float* dx, int64_t rows, int64_t n);
  void (*logsumexp)(const float* x, float* out, int64_t rows, int64_t n);
  // loss[r] = logsumexp(x) - x[target]; grad (null or rows x n, may be x) = (softmax(x) - onehot) * scale.
  // A negative target is a row to ignore: loss 0, gradient 0.
  void (*cross_entropy)(const float* x, const int64_t* target, float scale, float* loss, float* grad, int64_t rows,
                        int64_t n);

  LogitStats (*logit_stats)(const float* x, int64_t n);  // n >= 1

  void (*unary)(Unary op, const float* x, float* y, int64_t n);
  // dx = dy * f'(x), y = f(x). sqrt, rsqrt, exp, tanh, sigmoid read y only and the others x only: the unread one may be
  // null.
  void (*unary_backward)(Unary op, const float* x, const float* y, const float* dy, float* dx, int64_t n);
  // y = act(a) * b, each [rows, n] with its own row stride: a joined gate_up output [rows, 2n] is read in place.
  // (arXiv:2002.05202)
  void (*glu)(Unary act, const float* a, int64_t a_stride, const float* b, int64_t b_stride, float* y, int64_t y_stride,
              int64_t rows, int64_t n);
  // da = dy * b * act'(a), db = dy * act(a); da may be a, db may be b.
  void (*glu_backward)(Unary act, const float* a, int64_t a_stride, const float* b, int64_t b_stride, const float* dy,
                       int64_t dy_stride, float* da, int64_t da_stride, float* db, int64_t db_stride, int64_t rows,
                       int64_t n);

  void (*binary)(Binary op, const float* a, const float* b, float* y, int64_t n);
  void (*binary_scalar)(Binary op, const float* a, float b, float* y, int64_t n);  // a op scalar
  void (*scalar_binary)(Binary op, float a, const float* b, float* y, int64_t n);  // scalar op b
  void (*binary_row)(Binary op, const float* a, const float* row, float* y, int64_t rows,
                     int64_t n);                                    // row [n] for every row of a
  void (*axpy)(float alpha, const float* x, float* y, int64_t n);   // y += alpha * x, one rounding
  void (*scale)(float alpha, const float* x, float* y, int64_t n);  // y = alpha * x
  // What follows a convolution, in place: y = y + bias + added (null: 0), and with `relu` no less than 0.
  void (*shift)(const float* added, float bias, bool relu, float* y, int64_t n);
  void (*leaky_relu)(float slope, const float* x, float* y, int64_t n);  // y = max(x, slope * x)
  // y = x with the dropped elements 0 and the others times mask.keep; x[0] is element `first`, a multiple of 64. The bits of element e are word
  // e % 4 of position e / 4.
  void (*dropout)(const DropoutMask& mask, uint64_t first, const float* x, float* y, int64_t n);
  void (*column_sum)(const float* x, int64_t x_stride, float* out, int64_t rows,
                     int64_t n);  // out[j] += sum of x[:, j], rows in order

  // Whole arrays; lanes in f32 over pieces of 4096 elements, pieces in f64.
  double (*sum)(const float* x, int64_t n);
  double (*sum_squares)(const float* x, int64_t n);
  double (*dot)(const float* a, const float* b, int64_t n);
  float (*max)(const float* x, int64_t n);       // NaN if any is; n >= 1
  int64_t (*argmax)(const float* x, int64_t n);  // the lowest index of the largest; NaN counts as smallest; n >= 1
  bool (*any_nonfinite)(const float* x, int64_t n);

  // Rotary embedding (arXiv:2104.09864). cos and sin are [rows, rot/2]. y may be x when the strides are equal.
  void (*rope)(const RopeShape& shape, const float* x, int64_t x_stride, const float* cos, const float* sin, float* y,
               int64_t y_stride);

  void (*adamw)(const AdamWStep& step, float* param, const float* grad, float* m, float* v, int64_t n);

  // 16-bit floats; to 16 bits: round to nearest, ties to even.
  void (*f32_to_bf16)(const float* x, uint16_t* y, int64_t n);
  void (*bf16_to_f32)(const uint16_t* x, float* y, int64_t n);
  void (*f32_to_f16)(const float* x, uint16_t* y, int64_t n);
  void (*f16_to_f32)(const uint16_t* x, float* y, int64_t n);
};

const RowsTable& rows();

}  // namespace mynah::kernels
