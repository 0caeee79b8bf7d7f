#include "tensor/quantize.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/require.h"
#include "base/thread_pool.h"
#include "kernels/blocks.h"
#include "kernels/encode.h"

namespace mynah {
namespace {

static_assert(static_cast<int>(DType::iq4_nl) - static_cast<int>(DType::q4_0) + 1 == kernels::kBlockFormats);
size_t format_of(DType type) { return static_cast<size_t>(type) - static_cast<size_t>(DType::q4_0); }

constexpr int64_t kChunk = 1 << 15;  // elements a thread takes at a time

// Calls body(first element, number) on the pool for pieces of n elements, each a whole number of blocks.
template <class Body>
void for_pieces(int64_t n, int64_t block, Body&& body) {
  const int64_t grain = kChunk / block;
  parallel_for(n / block, grain, [&](int64_t begin, int64_t end) { body(begin * block, (end - begin) * block); });
}

void to_f32(const void* in, DType type, int64_t first, float* out, int64_t n) {
  const auto& k = kernels::blocks();
  const char* bytes =
      static_cast<const char*>(in) + static_cast<size_t>(first) / block_elements(type) * block_bytes(type);
  switch (type) {
    case DType::f32:
      std::memcpy(out, bytes, static_cast<size_t>(n) * sizeof(float));
      break;
    case DType::f16:
      k.f16_to_f32(reinterpret_cast<const uint16_t*>(bytes), out, n);
      break;
    case DType::bf16:
      k.bf16_to_f32(reinterpret_cast<const uint16_t*>(bytes), out, n);
      break;
    default:
      k.decode[format_of(type)](bytes, out, n);
  }
}

void from_f32(const float* in, int64_t n, DType type, int64_t first, void* out) {
  char* bytes = static_cast<char*>(out) + static_cast<size_t>(first) / block_elements(type) * block_bytes(type);
  switch (type) {
    case DType::f32:
      std::memcpy(bytes, in, static_cast<size_t>(n) * sizeof(float));
      break;
    case DType::f16:
      kernels::blocks().f32_to_f16(in, reinterpret_cast<uint16_t*>(bytes), n);
      break;
    case DType::bf16:
      kernels::blocks().f32_to_bf16(in, reinterpret_cast<uint16_t*>(bytes), n);
      break;
    default:
      kernels::encode().encode[format_of(type)](in, bytes, n);
  }
}

// No scale of f16 reaches further; the sums of the searches stay finite below it.
constexpr float kLargest = 0x1p28f;

bool all_within(const float* x, int64_t n, float limit) {
  bool ok = true;
  for (int64_t i = 0; i < n; ++i) ok &= std::fabs(x[i]) <= limit;  // false for NaN
  return ok;
}

// Quantises n elements; they and what they decode to must be finite. `scratch` holds n floats.
void encode_checked(const float* in, int64_t n, DType type, int64_t first, void* out, float* scratch) {
  const bool ok = all_within(in, n, kLargest);
  if (ok) {
    from_f32(in, n, type, first, out);
    to_f32(out, type, first, scratch, n);
  }
  require(ok && all_within(scratch, n, std::numeric_limits<float>::max()),
          "quantize: elements {} to {} hold NaN, infinity or a number too large for the f16 scales of {}; choose bf16 "
          "or f32",
          first, first + n - 1, name(type));
}

// Contiguous copy or the tensor itself.
Tensor contiguous(const Tensor& x) {
  if (x.is_contiguous()) return x;
  const Tensor wide = Tensor::from(x.to_vector(), x.shape());
  return x.dtype() == DType::f32 ? wide : quantize(wide, x.dtype());
}

}  // namespace

Tensor quantize(const Tensor& input, DType type) {
  require(is_floating(input.dtype()), "quantize: input is {}, expected f32, f16 or bf16; dequantize it first",
          name(input.dtype()));
  require(is_quantized(type) || is_floating(type), "quantize: type {}, expected a floating or block-quantised type",
          name(type));
  const int64_t block = static_cast<int64_t>(block_elements(type));
  require(block == 1 || (input.rank() >= 1 && input.size(-1) % block == 0),
          "quantize: shape {} as {}, the last dimension must be a multiple of {}; choose another type",
          input.shape().str(), name(type), block);
  const Tensor x = contiguous(input);
  Tensor out = Tensor::empty(x.shape(), type);
  void* bytes = out.raw();
  for_pieces(x.numel(), block, [&](int64_t first, int64_t n) {
    std::vector<float> wide(static_cast<size_t>(n)), scratch(is_quantized(type) ? static_cast<size_t>(n) : 0);
    to_f32(x.raw(), x.dtype(), first, wide.data(), n);
    if (is_quantized(type)) {
      encode_checked(wide.data(), n, type, first, bytes, scratch.data());
    } else {
      from_f32(wide.data(), n, type, first, bytes);
    }
  });
  return out;
}

Tensor dequantize(const Tensor& q) {
  require(is_quantized(q.dtype()) || is_floating(q.dtype()),
          "dequantize: input is {}, expected a floating or block-quantised type", name(q.dtype()));
  const Tensor x = is_quantized(q.dtype()) ? q : contiguous(q);
  Tensor out = Tensor::empty(x.shape());
  float* floats = out.data<float>();
  for_pieces(x.numel(), static_cast<int64_t>(block_elements(x.dtype())),
             [&](int64_t first, int64_t n) { to_f32(x.raw(), x.dtype(), first, floats + first, n); });
  return out;
}

DType fallback_type(DType wanted, int64_t k) {
  const auto fits = [&](DType type) { return k % static_cast<int64_t>(block_elements(type)) == 0; };
  if (fits(wanted)) return wanted;
  DType type = wanted;
  switch (wanted) {
    case DType::q2_k:
    case DType::q3_k:
      type = DType::q4_0;
      break;
    case DType::q4_k:
      type = DType::q5_0;
      break;
    case DType::q5_k:
      type = DType::q5_1;
      break;
    case DType::q6_k:
      type = DType::q8_0;
      break;
    default:
      break;
  }
  return fits(type) ? type : DType::f16;
}

}  // namespace mynah
