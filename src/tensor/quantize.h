// Conversion of whole tensors between f32, 16-bit floats and block-quantised types.
#pragma once
#include "mynah/tensor.h"

namespace mynah {

// `x` (f32, f16 or bf16, any strides) as contiguous `type`: f32, f16, bf16 or block-quantised. Quantised bytes equal
// those of llama.cpp's reference quantisers without importance weights. Throws failure if the last dimension is not a
// multiple of the block (see fallback_type), or if a number is not finite or too large for the type's f16 scales.
Tensor quantize(const Tensor& x, DType type);

// Block-quantised, f16, bf16 or f32 -> contiguous f32.
Tensor dequantize(const Tensor& q);

// The type that replaces `wanted` for rows of `k` elements: itself if k is a multiple of its block; else a type of
// blocks of 32 (q2_k, q3_k: q4_0; q4_k: q5_0; q5_k: q5_1; q6_k: q8_0); else f16. The rule of llama.cpp.
DType fallback_type(DType wanted, int64_t k);

}  // namespace mynah
