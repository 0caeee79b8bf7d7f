// Operations on tensors, named as in PyTorch. Floating inputs of any dtype are computed in f32 and give f32; strided views are
// accepted everywhere. Ops of tracked tensors are recorded (autograd.h). Wrong shapes throw Error{failure} naming op, got and
// expected. Letters in shapes: N rows, C features, T positions, H heads, D head size; "..." stands for any leading dimensions.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "mynah/autograd.h"
#include "mynah/tensor.h"

namespace mynah {

// ---- views and copies: the result shares storage unless said otherwise
Tensor reshape(const Tensor& x, const Shape& shape);            // one dimension may be -1; copies if x is strided
Tensor transpose(const Tensor& x, int a, int b);                // swaps two dimensions
Tensor permute(const Tensor& x, std::span<const int> order);
Tensor narrow(const Tensor& x, int dim, int64_t start, int64_t length);
Tensor select(const Tensor& x, int dim, int64_t index);         // removes the dimension
Tensor unsqueeze(const Tensor& x, int dim);
Tensor squeeze(const Tensor& x, int dim);
Tensor expand(const Tensor& x, const Shape& shape);             // broadcasts dimensions of size 1 (stride 0)
Tensor contiguous(const Tensor& x);                             // x itself, or a row-major copy
Tensor to(const Tensor& x, DType dtype);                        // conversion between plain types; f32 <-> bf16/f16 is differentiable
Tensor cat(const std::vector<Tensor>& parts, int dim);          // copies

// ---- elementwise, with broadcasting
Tensor add(const Tensor& a, const Tensor& b);
Tensor sub(const Tensor& a, const Tensor& b);
Tensor mul(const Tensor& a, const Tensor& b);
Tensor div(const Tensor& a, const Tensor& b);
Tensor maximum(const Tensor& a, const Tensor& b);
Tensor minimum(const Tensor& a, const Tensor& b);
Tensor add(const Tensor& a, float b);
Tensor mul(const Tensor& a, float b);
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b);  // condition bool or u8; broadcasts
inline Tensor operator+(const Tensor& a, const Tensor& b) { return add(a, b); }
inline Tensor operator-(const Tensor& a, const Tensor& b) { return sub(a, b); }
inline Tensor operator*(const Tensor& a, const Tensor& b) { return mul(a, b); }
inline Tensor operator/(const Tensor& a, const Tensor& b) { return div(a, b); }
inline Tensor operator*(const Tensor& a, float b) { return mul(a, b); }

Tensor exp(const Tensor& x);
Tensor log(const Tensor& x);
Tensor sqrt(const Tensor& x);
Tensor rsqrt(const Tensor& x);
Tensor square(const Tensor& x);
Tensor neg(const Tensor& x);
Tensor abs(const Tensor& x);
Tensor sin(const Tensor& x);
Tensor cos(const Tensor& x);
Tensor tanh(const Tensor& x);
Tensor sigmoid(const Tensor& x);
Tensor relu(const Tensor& x);
Tensor silu(const Tensor& x);                                   // x sigmoid(x)
Tensor gelu(const Tensor& x);                                   // with erf; arXiv:1606.08415
Tensor gelu_tanh(const Tensor& x);                              // the tanh form
Tensor quick_gelu(const Tensor& x);                             // x sigmoid(1.702 x)
Tensor relu2(const Tensor& x);                                  // relu(x)^2
Tensor mish(const Tensor& x);
Tensor softcap(const Tensor& x, float cap);                     // cap tanh(x / cap); cap > 0

// The activation functions that checkpoints name in hidden_act and activation_function.
enum class Activation { gelu, gelu_tanh, quick_gelu, silu, relu, relu2, mish, tanh, sigmoid };
Activation activation(std::string_view name);                   // "gelu", "gelu_new", "silu", ...; throws for unknown names
Tensor activate(const Tensor& x, Activation function);
// activate(gate) * up, where x [..., 2C] holds gate in its first half and up in its second -> [..., C]
Tensor glu(const Tensor& x, Activation function);

// ---- reductions
Tensor sum(const Tensor& x);                                    // all elements -> []
Tensor mean(const Tensor& x);
Tensor sum(const Tensor& x, int dim, bool keepdim = false);
Tensor mean(const Tensor& x, int dim, bool keepdim = false);
Tensor amax(const Tensor& x, int dim, bool keepdim = false);    // the gradient goes to the first maximum
std::vector<int64_t> argmax(const Tensor& x);                   // over the last dimension, lowest index on ties; one per row

// ---- rows
Tensor softmax(const Tensor& x);                                // over the last dimension
Tensor log_softmax(const Tensor& x);
Tensor rms_norm(const Tensor& x, const Tensor& weight, float eps);  // x [..., C], weight [C]; arXiv:1910.07467
Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, float eps);  // weight, bias [C] or undefined; arXiv:1607.06450
// Mean over rows whose target is not ignore_index of -log softmax(logits)[target]. logits [N, V], targets i64 [N] -> [].
// `denominator` > 0 replaces the number of counted rows (gradient accumulation). No counted row gives NaN, as in PyTorch.
Tensor cross_entropy(const Tensor& logits, const Tensor& targets, int64_t ignore_index = -100, float denominator = 0);
// log softmax(logits)[target] of each row: logits [N, V] -> [N]
Tensor token_log_probs(const Tensor& logits, std::span<const int64_t> targets);
// x with elements zeroed with probability p (0 <= p < 1), the others divided by 1 - p. The mask is a function of (seed, stream).
Tensor dropout(const Tensor& x, float p, uint64_t seed, uint64_t stream);

// ---- indexing
// weight [V, C] -> [ids, C]; the row `padding_id` gets no gradient
Tensor embedding(const Tensor& weight, std::span<const int32_t> ids, int32_t padding_id = -1);
Tensor index_rows(const Tensor& x, std::span<const int64_t> rows);               // x [N, ...] -> [rows, ...]
// x [..., T, P], columns [T * count] -> [..., T, count]: y[..., t, k] = x[..., t, columns[t * count + k]]
Tensor gather_columns(const Tensor& x, std::span<const int64_t> columns, int64_t count);

// ---- matrices
Tensor matmul(const Tensor& a, const Tensor& b);                // [..., M, K] x [..., K, N] (equal batches) or x [K, N]
// x [..., K] times weight [N, K] transposed, plus bias [N] (may be undefined) -> [..., N]
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {});
// Several weights that share an input; outputs side by side: [..., N1 + N2 + ...]. Each weight [N_i, K]; bias_i may be undefined.
Tensor linear(const Tensor& x, const std::vector<Tensor>& weights, const std::vector<Tensor>& biases);

// ---- convolutions (cross-correlations, as in PyTorch)
struct ConvConfig {  // [0] along the height, [1] along the width
  std::array<int64_t, 2> stride{1, 1}, padding{0, 0}, dilation{1, 1};
  int64_t groups = 1;
  std::array<int64_t, 2> output_padding{0, 0};  // of transposed ones: more rows and columns at the end
};
// x [N,C,H,W], weight [O,C/G,KH,KW], bias [O] or undefined -> [N,O,OH,OW]; zeros around the planes
Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvConfig& config);
// x [N,C,H,W], weight [C,O/G,KH,KW] -> [N,O,(H-1) stride - 2 padding + dilation (KH-1) + output_padding + 1, ...]
Tensor conv_transpose2d(const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvConfig& config);
// x [N,C,T], weight [O,C/G,K] -> [N,O,OT]
Tensor conv1d(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t stride = 1, int64_t padding = 0, int64_t dilation = 1, int64_t groups = 1);
// x [N,C,T], weight [C,O/G,K] -> [N,O,OT]
Tensor conv_transpose1d(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t stride = 1, int64_t padding = 0, int64_t output_padding = 0,
                        int64_t groups = 1, int64_t dilation = 1);

// ---- planes: x [N,C,H,W]
Tensor max_pool2d(const Tensor& x, std::array<int64_t, 2> kernel, std::array<int64_t, 2> stride, std::array<int64_t, 2> padding = {0, 0});
Tensor avg_pool2d(const Tensor& x, std::array<int64_t, 2> kernel, std::array<int64_t, 2> stride);  // no padding
enum class Interpolation { nearest, bilinear, bicubic };       // bicubic with a = -0.75, corners not aligned, no antialiasing
Tensor interpolate(const Tensor& x, int64_t height, int64_t width, Interpolation mode);
// Normalisation by given statistics: (x - mean) / sqrt(variance + eps) * weight + bias, each [C]; x [N,C,...]. arXiv:1502.03167
Tensor batch_norm(const Tensor& x, const Tensor& mean, const Tensor& variance, const Tensor& weight, const Tensor& bias, float eps);
// The same with the batch's own statistics, which are written to `mean` and `variance` [C] (biased) if they are defined.
Tensor batch_norm_training(const Tensor& x, const Tensor& weight, const Tensor& bias, float eps, Tensor* mean = nullptr, Tensor* variance = nullptr);
// Mean and variance over each group of C/groups channels; weight, bias [C]; x [N,C,...]. arXiv:1803.08494
Tensor group_norm(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias, float eps);

// ---- attention
// Rotary position embedding (arXiv:2104.09864): x [N, H, D]; cos, sin [N, R/2] with R <= D, the first R elements of each head are
// turned, i together with i + R/2 or, `interleaved`, 2i with 2i + 1.
Tensor rope(const Tensor& x, const Tensor& cos, const Tensor& sin, bool interleaved = false);

// One sequence inside ragged rows: its queries are rows q_begin.. of q, its keys rows k_begin.. of k and v. With `causal`, query i
// sees keys up to k_count - q_count + i.
struct Sequence {
  int64_t q_begin = 0, q_count = 0, k_begin = 0, k_count = 0;
};
struct AttentionConfig {
  float scale = 0;                 // 0: 1/sqrt(D)
  bool causal = true;
  int64_t window = 0;              // > 0: a query sees only the last `window` keys up to itself (both sides when not causal)
  float softcap = 0;               // > 0: scores become softcap * tanh(score / softcap)
  std::vector<float> alibi;        // a slope per head: adds slope * key position
  std::vector<uint8_t> key_mask;   // one per row of k; 0 hides the key from every query
  // [H, Tq, Tk], or one for each sequence [S, H, Tq, Tk]: adds bias[h][i][j] to the scaled score of the sequence's query i and key j;
  // Tq 1: the same for all queries
  Tensor bias;
  // [H, 2R - 1]: adds distance_bias[h][j - p + R - 1], p the key position of the query (relative positions of arXiv:1910.10683)
  Tensor distance_bias;
  // > 0: each weight is dropped with this probability behind the softmax, the others are divided by 1 - dropout. What is dropped is a function of
  // seed, stream and place: the query's row, head, and the key within its sequence.
  float dropout = 0;
  uint64_t dropout_seed = 0, dropout_stream = 0;
  DType precision = DType::f32;    // bf16: q, k, v and probabilities are rounded to bf16 where the processor multiplies those; sums are f32
};
// q [Nq, H, D], k and v [Nk, Hkv, D], H a multiple of Hkv -> [Nq, H, D]. A query that sees no key gives zeros.
Tensor scaled_dot_product_attention(const Tensor& q, const Tensor& k, const Tensor& v, std::span<const Sequence> sequences,
                                    const AttentionConfig& config);

}  // namespace mynah
