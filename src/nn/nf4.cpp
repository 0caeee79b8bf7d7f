#include "nn/nf4.h"

#include <algorithm>
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

// The nearest level; of two equally near ones the lower.
uint8_t code_of(float x) {
  int code = 0;
  while (code < 15 && x > (kLevels[code] + kLevels[code + 1]) / 2) ++code;
  return static_cast<uint8_t>(code);
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

Tensor Nf4Matrix::values(int64_t first, int64_t count) const {
  Tensor all = Tensor::empty({count, columns_});
  for (const Part& p : parts_) {
    const int64_t begin = std::max(first, p.first_row), end = std::min(first + count, p.first_row + p.rows);
    parallel_for(std::max<int64_t>(0, end - begin), ops::row_grain(columns_), [&](int64_t row, int64_t last) {
      for (; row < last; ++row) {
        float* to = all.data<float>() + (begin + row - first) * columns_;
        const int64_t at = (begin + row - p.first_row) * columns_;
        for (int64_t i = at; i < at + columns_; ++i) {
          const uint8_t pair = codes_[p.first_code + static_cast<size_t>(i / 2)];
          *to++ = kLevels[i % 2 == 0 ? pair >> 4 : pair & 15] * scales_[p.first_scale + static_cast<size_t>(i / kBlock)];
        }
      }
    });
  }
  return all;
}

Tensor nf4_product(const std::shared_ptr<const Nf4Matrix>& matrix, const Tensor& in, const Tensor& bias) {
  const Tensor x = ops::input(in);
  const int64_t m = ops::rows(x), k = matrix->columns(), n = matrix->rows();
  require(ops::columns(x) == k, "linear: NF4 weight [{},{}], x has shape {}", n, k, x.shape().str());
  Shape shape = x.shape();
  shape[shape.rank() - 1] = n;
  Tensor y = Tensor::empty(shape);
  const Tensor w = matrix->values(0, n);
  ops::gemm(m, n, k, {x.raw(), DType::f32, k, 1}, {w.raw(), DType::f32, 1, k}, y.data<float>(), n);
  y = record(y, {x}, [matrix, m, n, k, shape = x.shape()](const Tensor& g) {
    Tensor dx = Tensor::empty(shape);
    const Tensor again = matrix->values(0, n);
    ops::gemm(m, k, n, {g.raw(), DType::f32, n, 1}, {again.raw(), DType::f32, k, 1}, dx.data<float>(), k);
    return Grads{dx};
  });
  return bias.defined() ? add(y, bias) : y;
}

}  // namespace mynah::nn
