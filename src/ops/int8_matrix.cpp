#include "ops/int8_matrix.h"

#include <algorithm>
#include <vector>

#include "base/require.h"
#include "base/thread_pool.h"
#include "kernels/int8.h"
#include "mynah/ops.h"
#include "ops/huge_memory.h"

namespace mynah::ops {
namespace {

using kernels::int8_blocks;
using kernels::int8_padded;
using kernels::kInt8Panel;

// Products of fewer multiplications stay on the calling thread.
constexpr int64_t kSmallWork = 400'000;
// A task takes about this many bytes of the matrix with rows of x that fill a part of the second-level cache.
constexpr int64_t kPieceBytes = 64 << 10, kRowBytes = 256 << 10;

// What a calling thread keeps from product to product.
struct Scratch {
  std::vector<int8_t> codes;
  std::vector<float> scales;
  std::vector<int32_t> offsets;
};

template <class T>
void grow(std::vector<T>& v, int64_t n) {
  if (v.size() < static_cast<size_t>(n)) v.resize(static_cast<size_t>(n));
}

}  // namespace

std::shared_ptr<const Int8Matrix> Int8Matrix::pack(std::span<const Tensor> parts) {
  std::shared_ptr<Int8Matrix> made(new Int8Matrix);
  made->columns_ = parts[0].size(1);
  const int64_t k = made->columns_;
  for (const Tensor& part : parts) {
    require(part.rank() == 2 && part.size(1) == k && is_floating(part.dtype()), "pack: got {} {}, expected floating-point [N,{}]", name(part.dtype()),
            part.shape().str(), k);
    made->rows_ += part.size(0);
  }
  const int64_t panels = (made->rows_ + kInt8Panel - 1) / kInt8Panel, codes = int8_padded(k) * kInt8Panel, scales = int8_blocks(k) * kInt8Panel;
  made->codes_ = allocate_huge(static_cast<size_t>(panels * codes));
  made->scales_ = allocate_huge(static_cast<size_t>(panels * scales) * sizeof(float));
  // A panel may hold the last rows of one part and the first of the next.
  parallel_for(panels, 4, [&](int64_t begin, int64_t end) {
    std::vector<float> rows(static_cast<size_t>(kInt8Panel * k));
    for (int64_t p = begin; p < end; ++p) {
      const int64_t count = std::min(kInt8Panel, made->rows_ - p * kInt8Panel);
      int64_t first = 0, filled = 0;
      for (const Tensor& part : parts) {
        const int64_t from = std::max(p * kInt8Panel, first), to = std::min(p * kInt8Panel + count, first + part.size(0));
        if (from < to) {
          const Tensor piece = contiguous(mynah::to(part.as_strided({to - from, k}, part.strides(), (from - first) * part.stride(0)), DType::f32));
          std::copy_n(piece.data<float>(), (to - from) * k, rows.data() + filled * k);
          filled += to - from;
        }
        first += part.size(0);
      }
      kernels::int8().pack(rows.data(), k, count, k, made->codes_.get() + p * codes, reinterpret_cast<float*>(made->scales_.get()) + p * scales);
    }
  });
  return made;
}

void Int8Matrix::multiply(const float* x, int64_t m, int64_t ldx, float* y, int64_t ldy, const float* bias) const {
  static thread_local Scratch scratch;  // no body of the pool's work comes back here while it is in use
  const int64_t k = columns_, padded = int8_padded(k), blocks = int8_blocks(k);
  grow(scratch.codes, m * padded);
  grow(scratch.scales, m * blocks);
  grow(scratch.offsets, m * blocks);
  Scratch& s = scratch;
  const auto& kernel = kernels::int8();
  parallel_for(m, std::max<int64_t>(1, 16384 / k), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      kernel.quantize(x + i * ldx, k, s.codes.data() + i * padded, s.scales.data() + i * blocks, s.offsets.data() + i * blocks);
  });
  // Pairs of panels by groups of rows.
  const int64_t panels = (rows_ + kInt8Panel - 1) / kInt8Panel;
  int64_t piece = std::max<int64_t>(1, kPieceBytes / (2 * kInt8Panel * padded)) * 2, height = std::clamp<int64_t>(kRowBytes / padded, 32, 384) / 16 * 16;
  height = std::min(height, m);
  const int64_t across = (panels + piece - 1) / piece, down = (m + height - 1) / height;
  const auto task = [&](int64_t i) {
    const int64_t panel = i % across * piece, row = i / across * height, column = panel * kInt8Panel;
    kernel.multiply({codes_.get() + panel * padded * kInt8Panel, reinterpret_cast<const float*>(scales_.get()) + panel * blocks * kInt8Panel,
                     std::min(piece * kInt8Panel, rows_ - column), k,
                     {s.codes.data() + row * padded, s.scales.data() + row * blocks, s.offsets.data() + row * blocks}, std::min(height, m - row),
                     y + row * ldy + column, ldy, bias ? bias + column : nullptr});
  };
  if (m * rows_ * k < kSmallWork)
    for (int64_t i = 0; i < across * down; ++i) task(i);
  else
    thread_pool().run(across * down, task);
}

}  // namespace mynah::ops
