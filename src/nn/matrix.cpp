#include "nn/matrix.h"

#include "base/require.h"
#include "base/thread_pool.h"
#include "kernels/rows.h"
#include "ops/internal.h"
#include "ops/packed_matrix.h"

namespace mynah::nn {

int64_t Matrix::rows() const {
  if (packed_) return packed_->rows();
  int64_t n = 0;
  for (const Tensor& part : dense_) n += part.size(0);
  return n;
}

int64_t Matrix::columns() const { return packed_ ? packed_->columns() : dense_.empty() ? 0 : dense_[0].size(1); }

Tensor Matrix::operator()(const Tensor& in, const std::vector<Tensor>& biases) const {
  if (!packed_) return linear(in, dense_, biases);
  const Tensor x = ops::input(in);
  const int64_t n = ops::rows(x), k = columns(), m = rows();
  require(ops::columns(x) == k, "linear: packed weight [{},{}], x has shape {}", m, k, x.shape().str());
  Shape shape = x.shape();
  shape[shape.rank() - 1] = m;
  Tensor y = Tensor::empty(shape);
  packed_->multiply(x.data<float>(), n, k, y.data<float>(), m);
  y = record(y, {x}, [packed = packed_, k](const Tensor& g) {
    Shape back = g.shape();
    back[back.rank() - 1] = k;
    Tensor dx = Tensor::empty(back);
    packed->multiply_transposed(g.data<float>(), ops::rows(g), dx.data<float>());
    return Grads{dx};
  });
  bool any = false;
  for (const Tensor& b : biases) any = any || b.defined();
  if (!any) return y;
  return add(y, biases.size() == 1 ? biases[0] : cat(biases, 0));
}

Tensor Matrix::lookup(std::span<const int32_t> ids, int32_t padding_id) const {
  if (!packed_) {
    MYNAH_CHECK(dense_.size() == 1);
    return embedding(dense_[0], ids, padding_id);
  }
  Tensor y = Tensor::empty({static_cast<int64_t>(ids.size()), columns()});
  for (size_t i = 0; i < ids.size(); ++i) {
    require(ids[i] >= 0 && ids[i] < rows(), "embedding: id {}, expected 0..{}", ids[i], rows() - 1);
    packed_->dequantize_row(ids[i], y.data<float>() + static_cast<int64_t>(i) * columns());
  }
  return y;
}

}  // namespace mynah::nn
