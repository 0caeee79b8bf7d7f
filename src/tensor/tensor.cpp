#include "mynah/tensor.h"

#include <cstring>

#include "base/require.h"
#include "tensor/half.h"
#include "tensor/quantize.h"
#include "tensor/storage.h"

namespace mynah {

Shape::Shape(std::span<const int64_t> dims) : rank_(static_cast<int>(dims.size())) {
  require(dims.size() <= kMaxRank, "shape: {} dimensions, at most {} are supported", dims.size(), kMaxRank);
  for (size_t i = 0; i < dims.size(); ++i) dims_[i] = dims[i];
}

bool Shape::operator==(const Shape& other) const {
  if (rank_ != other.rank_) return false;
  for (int i = 0; i < rank_; ++i)
    if (dims_[i] != other.dims_[i]) return false;
  return true;
}

std::string Shape::str() const {
  std::string text = "[";
  for (int i = 0; i < rank_; ++i) text += (i ? "," : "") + std::to_string(dims_[i]);
  return text + "]";
}

Shape contiguous_strides(const Shape& shape) {
  Shape strides = shape;
  int64_t step = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    strides[i] = step;
    step *= shape[i];
  }
  return strides;
}

namespace {

size_t bytes_of(const Shape& shape, DType dtype) {
  const int64_t n = shape.numel();
  if (is_quantized(dtype)) {
    const int64_t block = static_cast<int64_t>(block_elements(dtype));
    require(shape.rank() >= 1 && shape[shape.rank() - 1] % block == 0, "tensor: shape {} as {}, the last dimension must be a multiple of {}",
            shape.str(), name(dtype), block);
    return static_cast<size_t>(n / block) * block_bytes(dtype);
  }
  return static_cast<size_t>(n) * block_bytes(dtype);
}

}  // namespace

Tensor::Tensor() = default;
Tensor::~Tensor() = default;
Tensor::Tensor(const Tensor&) = default;
Tensor::Tensor(Tensor&&) noexcept = default;
Tensor& Tensor::operator=(const Tensor&) = default;
Tensor& Tensor::operator=(Tensor&&) noexcept = default;

Tensor Tensor::empty(const Shape& shape, DType dtype) {
  for (const int64_t d : shape.dims()) require(d >= 0, "tensor: shape {} has a negative dimension", shape.str());
  Tensor t;
  t.storage_ = Ref<Storage>(Storage::allocate(bytes_of(shape, dtype)));
  t.shape_ = shape;
  t.strides_ = contiguous_strides(shape);
  t.dtype_ = dtype;
  return t;
}

Tensor Tensor::zeros(const Shape& shape, DType dtype) {
  Tensor t = empty(shape, dtype);
  std::memset(t.raw(), 0, t.nbytes());
  return t;
}

Tensor Tensor::full(const Shape& shape, float value) {
  Tensor t = empty(shape);
  float* p = t.data<float>();
  for (int64_t i = 0, n = t.numel(); i < n; ++i) p[i] = value;
  return t;
}

namespace {
template <class T>
Tensor copy_of(std::span<const T> values, const Shape& shape, DType dtype) {
  require(static_cast<int64_t>(values.size()) == shape.numel(), "tensor: {} values for shape {}", values.size(), shape.str());
  Tensor t = Tensor::empty(shape, dtype);
  if (!values.empty()) std::memcpy(t.raw(), values.data(), values.size_bytes());
  return t;
}
}  // namespace

Tensor Tensor::from(std::span<const float> values, const Shape& shape) { return copy_of(values, shape, DType::f32); }
Tensor Tensor::from(std::span<const int64_t> values, const Shape& shape) { return copy_of(values, shape, DType::i64); }
Tensor Tensor::from(std::span<const int32_t> values, const Shape& shape) { return copy_of(values, shape, DType::i32); }

Tensor Tensor::borrow(const void* data, const Shape& shape, DType dtype, std::shared_ptr<const void> owner) {
  Tensor t;
  t.storage_ = Ref<Storage>(Storage::borrow(data, bytes_of(shape, dtype), std::move(owner)));
  t.shape_ = shape;
  t.strides_ = contiguous_strides(shape);
  t.dtype_ = dtype;
  return t;
}

size_t Tensor::nbytes() const { return bytes_of(shape_, dtype_); }

bool Tensor::is_contiguous() const {
  int64_t step = 1;
  for (int i = shape_.rank() - 1; i >= 0; --i) {
    if (shape_[i] != 1 && strides_[i] != step) return false;
    step *= shape_[i];
  }
  return true;
}

void* Tensor::raw() {
  return const_cast<void*>(std::as_const(*this).raw());
}
const void* Tensor::raw() const {
  MYNAH_CHECK(defined());
  return storage_->data() + (is_quantized(dtype_) ? static_cast<size_t>(offset_) / block_elements(dtype_) * block_bytes(dtype_)
                                                  : static_cast<size_t>(offset_) * block_bytes(dtype_));
}

namespace {
float element(const void* base, int64_t i, DType dtype) {
  switch (dtype) {
    case DType::f32: return static_cast<const float*>(base)[i];
    case DType::bf16: return from_bf16(static_cast<const uint16_t*>(base)[i]);
    case DType::f16: return from_f16(static_cast<const uint16_t*>(base)[i]);
    case DType::i64: return static_cast<float>(static_cast<const int64_t*>(base)[i]);
    case DType::i32: return static_cast<float>(static_cast<const int32_t*>(base)[i]);
    case DType::i8: return static_cast<const int8_t*>(base)[i];
    case DType::u8:
    case DType::boolean: return static_cast<const uint8_t*>(base)[i];
    default: fail(ErrorCode::internal, "tensor: element of a {} tensor", name(dtype));
  }
}
}  // namespace

float Tensor::item() const {
  require(numel() == 1, "item: shape {}, a single element is needed", shape_.str());
  return element(raw(), 0, dtype_);
}

std::vector<float> Tensor::to_vector() const {
  if (is_quantized(dtype_)) return dequantize(*this).to_vector();
  std::vector<float> out;
  out.reserve(static_cast<size_t>(numel()));
  std::array<int64_t, Shape::kMaxRank> index{};
  const int r = rank();
  for (int64_t n = numel(), i = 0; i < n; ++i) {
    int64_t at = 0;
    for (int d = 0; d < r; ++d) at += index[d] * strides_[d];
    out.push_back(element(raw(), at, dtype_));
    for (int d = r - 1; d >= 0 && ++index[d] == shape_[d]; --d) index[d] = 0;
  }
  return out;
}

Tensor Tensor::as_strided(const Shape& shape, const Shape& strides, int64_t offset) const {
  Tensor t;
  t.storage_ = storage_;
  t.shape_ = shape;
  t.strides_ = strides;
  t.offset_ = offset_ + offset;
  t.dtype_ = dtype_;
  return t;
}

Tensor Tensor::detach() const {
  Tensor t = *this;
  t.edge_ = {};
  return t;
}

}  // namespace mynah
