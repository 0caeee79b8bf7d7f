#include "nn/nf4.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/require.h"
#include "base/thread_pool.h"
#include "ops/gemm.h"
#include "ops/internal.h"

namespace mynah::nn {
namespace {

constexpr int64_t kBlock = 64;
// Quantiles of the normal distribution, as the paper's authors publish them.
constexpr float kLevels[16] = {-1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f, -0.18477343022823334f,
                               -0.09105003625154495f, 0.0f, 0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f,
                               0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f};

// Both numbers of a byte.
const auto kPairs = [] {
  std::array<std::array<float, 2>, 256> pairs;
  for (size_t byte = 0; byte < 256; ++byte) pairs[byte] = {kLevels[byte >> 4], kLevels[byte & 15]};
  return pairs;
}();

// The nearest level; of two equally near ones the lower.
uint8_t code_of(float x) {
  int code = 0;
  while (code < 15 && x > (kLevels[code] + kLevels[code + 1]) / 2) ++code;
  return static_cast<uint8_t>(code);
}

ops::DecodedMatrix decoded(const Nf4Matrix* matrix) {
  const auto decode = [matrix](int64_t row, int64_t rows, int64_t column, int64_t columns, float* out) { matrix->decode(row, rows, column, columns, out); };
  return {matrix->rows(), matrix->columns(), decode};
}

}  // namespace

Nf4Matrix::Nf4Matrix(std::span<const Tensor> parts) : columns_(parts[0].size(1)) {
  for (const Tensor& given : parts) {
    const Tensor part = contiguous(to(given.detach(), DType::f32));
    const float* x = part.data<float>();
    const int64_t n = part.numel(), blocks = (n + kBlock - 1) / kBlock;
    parts_.push_back({rows_, part.size(0), codes_.size(), scales_.size()});
    codes_.resize(codes_.size() + static_cast<size_t>(blocks * kBlock / 2));
    scales_.resize(scales_.size() + static_cast<size_t>(blocks));
    const Part& p = parts_.back();
    parallel_for(blocks, 256, [&](int64_t first, int64_t last) {
      for (int64_t b = first; b < last; ++b) {
        const int64_t begin = b * kBlock, end = std::min(n, begin + kBlock);
        float largest = 0;
        for (int64_t i = begin; i < end; ++i) largest = std::max(largest, std::abs(x[i]));
        scales_[p.first_scale + static_cast<size_t>(b)] = largest;
        for (int64_t i = begin; i < end; ++i) {
          const uint8_t code = largest > 0 ? code_of(x[i] / largest) : 7;
          uint8_t& pair = codes_[p.first_code + static_cast<size_t>(i / 2)];
          pair = static_cast<uint8_t>(i % 2 == 0 ? code << 4 : pair | code);
        }
      }
    });
    rows_ += part.size(0);
  }
}

void Nf4Matrix::decode(int64_t row, int64_t rows, int64_t column, int64_t columns, float* out) const {
  for (const Part& p : parts_) {
    const uint8_t* codes = codes_.data() + p.first_code;
    const float* scales = scales_.data() + p.first_scale;
    for (int64_t r = std::max(row, p.first_row); r < std::min(row + rows, p.first_row + p.rows); ++r) {
      float* to = out + (r - row) * columns;
      int64_t i = (r - p.first_row) * columns_ + column;
      const int64_t stop = i + columns;
      if (i % 2 != 0) {
        *to++ = kLevels[codes[i / 2] & 15] * scales[i / kBlock];
        ++i;
      }
      while (i + 1 < stop) {
        const float scale = scales[i / kBlock];
        for (const int64_t block_end = std::min(stop, (i / kBlock + 1) * kBlock); i + 1 < block_end; i += 2, to += 2) {
          const std::array<float, 2>& pair = kPairs[codes[i / 2]];
          to[0] = pair[0] * scale;
          to[1] = pair[1] * scale;
        }
      }
      if (i < stop) *to = kLevels[codes[i / 2] >> 4] * scales[i / kBlock];
    }
  }
}

Tensor Nf4Matrix::values(int64_t first, int64_t count) const {
  Tensor all = Tensor::empty({count, columns_});
  float* out = all.data<float>();
  parallel_for(count, ops::row_grain(columns_), [&](int64_t begin, int64_t end) { decode(first + begin, end - begin, 0, columns_, out + begin * columns_); });
  return all;
}

Tensor nf4_product(const std::shared_ptr<const Nf4Matrix>& matrix, const Tensor& in, const Tensor& bias) {
  const Tensor x = ops::input(in);
  const int64_t m = ops::rows(x), k = matrix->columns(), n = matrix->rows();
  require(ops::columns(x) == k, "linear: NF4 weight [{},{}], x has shape {}", n, k, x.shape().str());
  Shape shape = x.shape();
  shape[shape.rank() - 1] = n;
  Tensor y = Tensor::empty(shape);
  ops::multiply_decoded(decoded(matrix.get()), m, x.data<float>(), y.data<float>());
  y = record(y, {x}, [matrix, m, shape = x.shape()](const Tensor& g) {
    Tensor dx = Tensor::empty(shape);
    ops::multiply_decoded_transposed(decoded(matrix.get()), m, g.data<float>(), dx.data<float>());
    return Grads{dx};
  });
  return bias.defined() ? add(y, bias) : y;
}

}  // namespace mynah::nn
