// Embedding lookups and row gathers. Their backward passes add rows in order, on one thread per target row group.
#include <algorithm>
#include <cstring>

#include "kernels/rows.h"
#include "ops/internal.h"
#include "ops/op_entry.h"

namespace mynah {
namespace {

// to[index[i]] += g[i] for rows of c elements but those of `ignored`. Threads own columns, so the order of additions is fixed.
template <class Index>
void scatter_rows(const Tensor& g, const std::vector<Index>& index, int64_t c, Tensor to, Index ignored = -1) {
  float* out = to.data<float>();
  parallel_for(c, std::max<int64_t>(16, (1 << 14) / std::max<int64_t>(1, static_cast<int64_t>(index.size()))), [&](int64_t begin, int64_t end) {
    for (size_t i = 0; i < index.size(); ++i)
      if (index[i] != ignored) kernels::rows().axpy(1.0f, g.data<float>() + static_cast<int64_t>(i) * c + begin, out + index[i] * c + begin, end - begin);
  });
}

}  // namespace

Tensor embedding(const Tensor& weight, std::span<const int32_t> ids, int32_t padding_id) {
  require(weight.rank() == 2, "embedding: weight has shape {}, expected [V,C]", weight.shape().str());
  const int64_t v = weight.size(0), c = weight.size(1);
  for (const int32_t id : ids) require(id >= 0 && id < v, "embedding: id {}, expected 0..{}", id, v - 1);
  // A lookup converts only the rows it takes: the table may be a mapped bf16 file.
  const Tensor table = weight.dtype() == DType::f32 || weight.requires_grad() || !weight.is_contiguous() ? ops::input(weight) : weight;
  Tensor y = Tensor::empty({static_cast<int64_t>(ids.size()), c});
  for (size_t i = 0; i < ids.size(); ++i) {
    float* to = y.data<float>() + static_cast<int64_t>(i) * c;
    const int64_t at = ids[i] * c;
    switch (table.dtype()) {
      case DType::bf16: kernels::rows().bf16_to_f32(table.data<uint16_t>() + at, to, c); break;
      case DType::f16: kernels::rows().f16_to_f32(table.data<uint16_t>() + at, to, c); break;
      default: std::memcpy(to, table.data<float>() + at, sizeof(float) * static_cast<size_t>(c));
    }
  }
  if (!tracked({&table})) return y;
  return record(y, {table}, [kept = std::vector<int32_t>(ids.begin(), ids.end()), table, c, padding_id](const Tensor& g) {
    // A parameter's rows are added where its gradient is summed: a table is large, and few of its rows are looked up.
    const GradientSum sum = gradient_sum(table);
    const bool in_place = sum.value.defined();
    Tensor dw = in_place ? sum.value : Tensor::empty(table.shape());
    MYNAH_CHECK(dw.is_contiguous());
    if (!in_place || sum.empty)
      parallel_for(dw.numel(), 1 << 18, [&](int64_t begin, int64_t end) { std::fill(dw.data<float>() + begin, dw.data<float>() + end, 0.0f); });
    scatter_rows(g, kept, c, dw, padding_id);
    return Grads{in_place ? Tensor() : dw};
  });
}

Tensor index_rows(const Tensor& in, std::span<const int64_t> index) {
  const Tensor x = ops::input(in);
  require(x.rank() >= 1, "index_rows: a scalar has no rows");
  const int64_t n = x.size(0), c = n ? x.numel() / n : 0;
  for (const int64_t i : index) require(i >= 0 && i < n, "index_rows: row {}, expected 0..{}", i, n - 1);
  Shape shape = x.shape();
  shape[0] = static_cast<int64_t>(index.size());
  Tensor y = Tensor::empty(shape);
  for (size_t i = 0; i < index.size(); ++i)
    std::memcpy(y.data<float>() + static_cast<int64_t>(i) * c, x.data<float>() + index[i] * c, sizeof(float) * static_cast<size_t>(c));
  if (!tracked({&x})) return y;
  return record(y, {x}, [kept = std::vector<int64_t>(index.begin(), index.end()), old = x.shape(), c](const Tensor& g) {
    Tensor dx = Tensor::zeros(old);
    scatter_rows(g, kept, c, dx);
    return Grads{dx};
  });
}

Tensor gather_columns(const Tensor& in, std::span<const int64_t> index, int64_t count) {
  const Tensor x = ops::input(in);
  require(x.rank() >= 2 && count > 0 && static_cast<int64_t>(index.size()) == x.size(-2) * count,
          "gather_columns: {} indices for x of shape {}, expected {} for each row of [T, P]", index.size(), x.shape().str(), count);
  const int64_t t = x.size(-2), p = x.size(-1), matrices = x.numel() / (t * p), grain = ops::row_grain(t * count);
  for (const int64_t i : index) require(i >= 0 && i < p, "gather_columns: column {}, expected 0..{}", i, p - 1);
  Shape shape = x.shape();
  shape[shape.rank() - 1] = count;
  Tensor y = Tensor::empty(shape);
  parallel_for(matrices, grain, [&, from = x.data<float>(), to = y.data<float>()](int64_t begin, int64_t end) {
    for (int64_t row = begin * t; row < end * t; ++row)
      for (int64_t k = 0; k < count; ++k) to[row * count + k] = from[row * p + index[static_cast<size_t>(row % t * count + k)]];
  });
  if (!tracked({&x})) return y;
  return record(y, {x}, [kept = std::vector<int64_t>(index.begin(), index.end()), old = x.shape(), t, p, matrices, grain, count](const Tensor& g) {
    Tensor dx = Tensor::zeros(old);
    parallel_for(matrices, grain, [&, from = g.data<float>(), to = dx.data<float>()](int64_t begin, int64_t end) {
      for (int64_t row = begin * t; row < end * t; ++row)
        for (int64_t k = 0; k < count; ++k) to[row * p + kept[static_cast<size_t>(row % t * count + k)]] += from[row * count + k];
    });
    return Grads{dx};
  });
}

namespace {

std::vector<OpSample> gather_samples() {
  static const std::vector<int64_t> columns = {2, 1, 1, 0, 4, 3};
  return {{"a repeated column", {sample_tensor({2, 3, 2, 5})}, [](const auto& in) { return gather_columns(in[0], columns, 3); }}};
}
std::vector<OpSample> embedding_samples() {
  static const std::vector<int32_t> ids = {3, 0, 3, 6};
  return {{"a repeated id", {sample_tensor({7, 5})}, [](const auto& in) { return embedding(in[0], ids); }}};
}
std::vector<OpSample> index_samples() {
  static const std::vector<int64_t> rows = {2, 2, 0};
  return {{"a repeated row", {sample_tensor({4, 3, 2})}, [](const auto& in) { return index_rows(in[0], rows); }}};
}

}  // namespace

extern const OpEntry op_embedding{"embedding", "weight [V, C], ids [n] -> [n, C]", "PyTorch", embedding_samples};
extern const OpEntry op_gather_columns{"gather_columns", "x [..., T, P], columns [T, K] -> [..., T, K]", "PyTorch gather", gather_samples};
extern const OpEntry op_index_rows{"index_rows", "x [N, ...], rows [n] -> [n, ...]", "PyTorch index_select", index_samples};

}  // namespace mynah
