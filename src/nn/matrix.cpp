#include "nn/matrix.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <mutex>

#include "base/file.h"
#include "base/require.h"
#include "base/thread_pool.h"
#include "nn/dropout.h"
#include "nn/nf4.h"
#include "ops/gemm.h"
#include "ops/int8_matrix.h"
#include "ops/internal.h"
#include "ops/packed_matrix.h"

namespace mynah::nn {
namespace {

Shape with_last(Shape shape, int64_t size) {
  shape[shape.rank() - 1] = size;
  return shape;
}

bool any_defined(const std::vector<Tensor>& tensors) {
  return std::any_of(tensors.begin(), tensors.end(), [](const Tensor& t) { return t.defined(); });
}

// Biases of parts side by side as one row; undefined ones are zero. Undefined if all are.
Tensor joined(const std::vector<Tensor>& biases, std::span<const int64_t> sizes) {
  if (!any_defined(biases)) return {};
  if (biases.size() == 1) return ops::input(biases[0]);
  std::vector<Tensor> all;
  for (size_t i = 0; i < biases.size(); ++i) all.push_back(biases[i].defined() ? biases[i] : Tensor::zeros({sizes[i]}));
  return cat(all, 0);
}

// The product with a quantised matrix; through it goes the gradient of x, in f32.
Tensor quantized_product(const std::shared_ptr<const ops::PackedMatrix>& packed, const Tensor& in, const std::vector<Tensor>& biases) {
  const Tensor x = ops::input(in);
  const int64_t k = packed->columns(), m = packed->rows();
  require(ops::columns(x) == k, "linear: packed weight [{},{}], x has shape {}", m, k, x.shape().str());
  Tensor y = Tensor::empty(with_last(x.shape(), m));
  packed->multiply(x.data<float>(), ops::rows(x), k, y.data<float>(), m);
  y = record(y, {x}, [packed, k](const Tensor& g) {
    Tensor dx = Tensor::empty(with_last(g.shape(), k));
    packed->multiply_transposed(g.data<float>(), ops::rows(g), dx.data<float>());
    return Grads{dx};
  });
  if (!any_defined(biases)) return y;
  return add(y, biases.size() == 1 ? biases[0] : cat(biases, 0));
}

// Memory that packed forms of frozen matrices take from what they may have in common: a quarter of the machine's.
class Room {
 public:
  explicit Room(size_t bytes) : bytes_(static_cast<int64_t>(bytes)), suffices_(left().fetch_sub(bytes_) >= bytes_) {}
  ~Room() { left().fetch_add(bytes_); }
  Room(const Room&) = delete;
  Room& operator=(const Room&) = delete;
  bool suffices() const { return suffices_; }

 private:
  static std::atomic<int64_t>& left() {
    static std::atomic<int64_t> bytes{static_cast<int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGESIZE) / 4};
    return bytes;
  }
  const int64_t bytes_;
  const bool suffices_;
};

// A matrix packed for products with it and for the gradients of their inputs, which go through each part [out_i, in].
struct BothWays {
  std::unique_ptr<const Room> room;
  std::shared_ptr<const ops::PackedB> forward;
  std::vector<std::shared_ptr<const ops::PackedB>> back;
  std::vector<int64_t> sizes;
};

// x times a packed matrix with a bias [out] or none; through it go their gradients. Nothing of x is kept. The bits are linear()'s.
Tensor frozen_product(const std::shared_ptr<const BothWays>& matrix, const Tensor& in, const Tensor& bias) {
  const Tensor x = ops::input(in);
  const int64_t n = ops::rows(x), k = matrix->forward->depth(), m = matrix->forward->columns();
  require(ops::columns(x) == k, "linear: weight [{},{}], x has shape {}", m, k, x.shape().str());
  Tensor y = Tensor::empty(with_last(x.shape(), m));
  matrix->forward->multiply(n, x.data<float>(), k, y.data<float>(), m, bias.defined() ? bias.data<float>() : nullptr);
  std::vector<Tensor> inputs = {x};
  if (bias.defined()) inputs.push_back(bias);
  return record(y, inputs, [matrix, n, k, m, to_x = x.requires_grad(), to_bias = bias.defined() && bias.requires_grad(), count = inputs.size()](const Tensor& g) {
    Grads grads(count);
    if (to_x) {
      grads[0] = Tensor::empty(with_last(g.shape(), k));
      int64_t first = 0;
      for (size_t i = 0; i < matrix->back.size(); first += matrix->sizes[i++])
        matrix->back[i]->multiply(n, g.data<float>() + first, m, grads[0].data<float>(), k, nullptr, i > 0);
    }
    if (to_bias) grads[1] = ops::column_sums(g.data<float>(), m, n, m);
    return grads;
  });
}

// Lengths of the rows of weight + scale B A, without gradient: [out].
Tensor row_lengths(const Tensor& weight, const LowRank& low) {
  const NoGrad no_grad;
  return sqrt(sum(square(weight + matmul(low.b.detach(), low.a.detach()) * low.scale), 1));
}

}  // namespace

// Dense parts and the packed form that replaces them once it pays.
struct Matrix::Dense {
  explicit Dense(std::vector<Tensor> tensors, Kept how) : columns(tensors[0].size(1)), kept(how), parts(std::make_shared<Parts>(std::move(tensors))) {
    for (const Tensor& part : *parts) sizes.push_back(part.size(0));
    for (const int64_t n : sizes) rows += n;
    if (how != Kept::nf4) return;
    nf4 = std::make_shared<const Nf4Matrix>(*parts);
    for (const Tensor& part : *parts) MappedFile::drop_any(part.raw(), part.nbytes());
    parts = nullptr;
  }
  using Parts = std::vector<Tensor>;

  int64_t rows = 0;
  const int64_t columns;
  const Kept kept;
  std::vector<int64_t> sizes;  // rows of each part
  std::shared_ptr<const Nf4Matrix> nf4;  // in place of the parts

  // Null when only the packed form is left.
  std::shared_ptr<const Parts> tensors() {
    const std::lock_guard lock(mutex);
    return parts;
  }
  // The packed form, made by the second product of many rows: one alone would not win back the time that it takes. Null before, and
  // for what cannot be packed.
  const ops::PackedB* packed(int64_t x_rows) {
    if (kept != Kept::packed) return nullptr;
    if (const ops::PackedB* p = ready.load(std::memory_order_acquire)) return p;
    if (x_rows <= ops::kFewRows || products.fetch_add(1, std::memory_order_relaxed) != 1) return nullptr;
    pack();
    return ready.load(std::memory_order_acquire);
  }
  // The same of a frozen matrix, for the arithmetic of the ProductScope. Few rows are multiplied fastest by what lies as in the file.
  std::shared_ptr<const BothWays> both_ways(int64_t x_rows) {
    if (kept != Kept::frozen || x_rows <= ops::kFewRows) return nullptr;
    const bool rounded = ops::ProductScope::is_bf16();
    const std::lock_guard lock(mutex);
    if (!both[rounded] && both_products[rounded]++ == 1) both[rounded] = pack_both_ways(rounded);
    return both[rounded];
  }
  const ops::Int8Matrix& quantized() {
    std::call_once(quantize_once, [this] {
      int8 = ops::Int8Matrix::pack(*parts);
      for (const Tensor& part : *parts) MappedFile::drop_any(part.raw(), part.nbytes());
    });
    return *int8;
  }

 private:
  static std::shared_ptr<const ops::PackedB> packed_forward(const Parts& all, int64_t columns, std::span<const int64_t> sizes, bool rounded) {
    std::vector<ops::MatrixView> views;
    for (const Tensor& part : all) views.push_back({part.raw(), part.dtype(), part.stride(1), part.stride(0)});
    return ops::PackedB::pack(columns, views, sizes, rounded);
  }
  // A file's pages come back when a lookup needs them. Whether all parts were a file's.
  static bool drop(const Parts& all) {
    bool mapped = true;
    for (const Tensor& part : all) mapped = MappedFile::drop_any(part.raw(), part.nbytes()) && mapped;
    return mapped;
  }
  void pack() {
    const auto all = tensors();
    const auto made = packed_forward(*all, columns, sizes, false);
    if (!made) return;
    const std::lock_guard lock(mutex);
    owner = made;
    ready.store(made.get(), std::memory_order_release);
    if (!drop(*all)) parts = nullptr;  // other memory than a file's is given up
  }
  std::shared_ptr<const BothWays> pack_both_ways(bool rounded) const {
    auto room = std::make_unique<const Room>(2 * static_cast<size_t>(rows * columns) * sizeof(float));
    if (!room->suffices()) return nullptr;
    BothWays made{std::move(room), packed_forward(*parts, columns, sizes, rounded), {}, sizes};
    for (const Tensor& part : *parts) {
      const ops::MatrixView view{part.raw(), part.dtype(), part.stride(0), part.stride(1)};
      made.back.push_back(ops::PackedB::pack(part.size(0), std::span(&view, 1), std::span(&columns, 1), rounded));
      if (!made.forward || !made.back.back()) return nullptr;
    }
    drop(*parts);
    return std::make_shared<const BothWays>(std::move(made));
  }

  std::mutex mutex;
  std::shared_ptr<const Parts> parts;
  std::atomic<int> products{0};
  std::atomic<const ops::PackedB*> ready{nullptr};
  std::shared_ptr<const ops::PackedB> owner;
  std::shared_ptr<const BothWays> both[2];  // of a frozen matrix, in f32 or as stored, and rounded to bf16
  int both_products[2] = {};
  std::once_flag quantize_once;
  std::shared_ptr<const ops::Int8Matrix> int8;
};

Matrix::Matrix(std::vector<Tensor> parts, Kept kept) : dense_(std::make_shared<Dense>(std::move(parts), kept)) {}

int64_t Matrix::rows() const { return packed_ ? packed_->rows() : dense_ ? dense_->rows : 0; }

int64_t Matrix::columns() const { return packed_ ? packed_->columns() : dense_ ? dense_->columns : 0; }

Tensor Matrix::operator()(const Tensor& x, const std::vector<Tensor>& biases) const {
  if (adapters_.empty()) return without_adapters(x, biases);
  const bool rescaled = std::any_of(adapters_.begin(), adapters_.end(), [](const auto& low) { return low && low->magnitude.defined(); });
  return rescaled ? weight_decomposed(x, biases) : add_low_rank(without_adapters(x, biases), x, adapters_, adapter_outs_);
}

// DoRA scales the product without bias. The parts' outputs lie side by side: what an adapter adds is put in its part's columns.
Tensor Matrix::weight_decomposed(const Tensor& x, const std::vector<Tensor>& biases) const {
  const Tensor y = without_adapters(x, {});
  std::vector<Tensor> more;
  int64_t first = 0;
  for (size_t i = 0; i < adapters_.size(); first += adapter_outs_[i], ++i) {
    const LowRank* low = adapters_[i].get();
    if (!low) {
      more.push_back(Tensor::zeros(with_last(y.shape(), adapter_outs_[i])));
      continue;
    }
    const Tensor dropped = dropout(x, low->dropout);
    Tensor change = linear(linear(dropped, low->a), low->b) * low->scale;
    if (low->magnitude.defined()) {
      const Tensor share = low->magnitude / row_lengths(values(first, adapter_outs_[i]), *low);
      const Tensor product = low->dropout > 0 ? without_adapters(dropped, {}) : y;
      change = narrow(product, y.rank() - 1, first, adapter_outs_[i]) * add(share, -1.0f) + change * share;
    }
    more.push_back(change);
  }
  const Tensor changed = y + (more.size() == 1 ? more[0] : cat(more, y.rank() - 1));
  return any_defined(biases) ? add(changed, joined(biases, adapter_outs_)) : changed;
}

Tensor Matrix::without_adapters(const Tensor& in, const std::vector<Tensor>& biases) const {
  if (packed_) return quantized_product(packed_, in, biases);
  if (dense_->nf4) return nf4_product(dense_->nf4, in, joined(biases, dense_->sizes));
  const bool recorded = tracked({&in});
  const int64_t k = dense_->columns, n = dense_->rows;
  if (const auto both = dense_->both_ways(ops::rows(in))) return frozen_product(both, in, joined(biases, dense_->sizes));
  const bool int8 = dense_->kept == Kept::int8 && !recorded;
  const ops::PackedB* packed = recorded ? nullptr : dense_->packed(ops::rows(in));
  if (!packed && !int8) {
    if (const auto parts = dense_->tensors()) return linear(in, *parts, biases);
    packed = dense_->packed(0);
  }
  if (recorded) {  // the memory of the parts has been given up: made again for this one product
    Tensor w = Tensor::empty({n, k});
    for (int64_t i = 0; i < n; ++i) packed->column(i, w.data<float>() + i * k);
    return linear(in, w, joined(biases, dense_->sizes));
  }
  const Tensor x = ops::input(in), bias = joined(biases, dense_->sizes);
  require(ops::columns(x) == k, "linear: weight [{},{}], x has shape {}", n, k, x.shape().str());
  Tensor y = Tensor::empty(with_last(x.shape(), n));
  if (int8) dense_->quantized().multiply(x.data<float>(), ops::rows(x), k, y.data<float>(), n, bias.defined() ? bias.data<float>() : nullptr);
  else packed->multiply(ops::rows(x), x.data<float>(), k, y.data<float>(), n, bias.defined() ? bias.data<float>() : nullptr);
  return y;
}

Tensor Matrix::gated(const Tensor& in, Activation act, const std::vector<Tensor>& biases) const {
  if (!packed_ || !adapters_.empty() || !packed_->has_halves() || act != Activation::silu || any_defined(biases) || tracked({&in})) return glu((*this)(in, biases), act);
  const Tensor x = ops::input(in);
  const int64_t k = packed_->columns(), n = packed_->rows() / 2;
  require(ops::columns(x) == k, "linear: packed weight [{},{}], x has shape {}", 2 * n, k, x.shape().str());
  Tensor y = Tensor::empty(with_last(x.shape(), n));
  packed_->multiply_swiglu(x.data<float>(), ops::rows(x), k, y.data<float>(), n);
  return y;
}

Tensor Matrix::values(int64_t first, int64_t count) const {
  if (!packed_ && dense_->nf4) return dense_->nf4->values(first, count);
  Tensor all = Tensor::empty({count, columns()});
  float* to = all.data<float>();
  if (packed_) {
    packed_->dequantize_rows(first, count, to);
    return all;
  }
  const auto parts = dense_->tensors();
  const ops::PackedB* packed = parts ? nullptr : dense_->packed(0);
  int64_t part_first = 0;
  size_t part = 0;
  Tensor rows;
  for (int64_t i = 0; i < count; ++i, to += columns()) {
    const int64_t row = first + i;
    if (packed) packed->column(row, to);
    else {
      while (row >= part_first + (*parts)[part].size(0)) {
        part_first += (*parts)[part++].size(0);
        rows = Tensor();
      }
      if (!rows.defined()) rows = contiguous(mynah::to((*parts)[part].detach(), DType::f32));
      std::copy_n(rows.data<float>() + (row - part_first) * columns(), columns(), to);
    }
  }
  return all;
}

Tensor Matrix::lookup(std::span<const int32_t> ids, int32_t padding_id) const {
  MYNAH_CHECK(packed_ || !dense_->nf4);
  const auto parts = packed_ ? nullptr : dense_->tensors();
  if (parts) {
    MYNAH_CHECK(parts->size() == 1);
    return embedding((*parts)[0], ids, padding_id);
  }
  const ops::PackedB* packed = packed_ ? nullptr : dense_->packed(0);
  Tensor y = Tensor::empty({static_cast<int64_t>(ids.size()), columns()});
  for (size_t i = 0; i < ids.size(); ++i) {
    require(ids[i] >= 0 && ids[i] < rows(), "embedding: id {}, expected 0..{}", ids[i], rows() - 1);
    float* to = y.data<float>() + static_cast<int64_t>(i) * columns();
    if (packed) packed->column(ids[i], to);
    else packed_->dequantize_rows(ids[i], 1, to);
  }
  return y;
}

}  // namespace mynah::nn
