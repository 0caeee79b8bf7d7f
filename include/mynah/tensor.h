// Tensor: a cheap handle to typed memory with shape and strides. Views share storage. Ops are free functions (ops.h).
#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mynah {

// Element types. The block-quantised ones (GGUF layouts) are types of whole rows: their last dimension is a multiple of
// the block and they cannot be strided.
enum class DType : uint8_t {
  f32, bf16, f16, i64, i32, i8, u8, boolean,
  q4_0, q4_1, q5_0, q5_1, q8_0, q2_k, q3_k, q4_k, q5_k, q6_k, iq4_nl,
};

std::string_view name(DType dtype);          // "f32", "q4_0", ...
bool is_quantized(DType dtype);              // block-quantised
bool is_floating(DType dtype);               // f32, bf16, f16
size_t block_elements(DType dtype);          // elements of one block; 1 for plain types
size_t block_bytes(DType dtype);             // bytes of one block (of one element for plain types)

// Dimensions of a tensor, at most kMaxRank. A scalar has rank 0.
class Shape {
 public:
  static constexpr int kMaxRank = 6;
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) : Shape(std::span<const int64_t>(dims.begin(), dims.size())) {}
  explicit Shape(std::span<const int64_t> dims);  // throws for more than kMaxRank

  int rank() const { return rank_; }
  int64_t operator[](int i) const { return dims_[i]; }
  int64_t& operator[](int i) { return dims_[i]; }
  int64_t numel() const {
    int64_t n = 1;
    for (int i = 0; i < rank_; ++i) n *= dims_[i];
    return n;
  }
  std::span<const int64_t> dims() const { return {dims_.data(), static_cast<size_t>(rank_)}; }
  bool operator==(const Shape& other) const;
  std::string str() const;  // "[2,3]"

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

class Storage;  // src/tensor/storage.h

// The gradient edge of a tensor; autograd derives from it. Reference-counted.
class GradEdge {
 public:
  virtual ~GradEdge() = default;
  void retain() { count_.fetch_add(1, std::memory_order_relaxed); }
  void release() {
    if (count_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

 private:
  std::atomic<int> count_{0};
};

// Intrusive pointer: T has retain() and release().
template <class T>
class Ref {
 public:
  Ref() = default;
  explicit Ref(T* p) : p_(p) {
    if (p_) p_->retain();
  }
  Ref(const Ref& o) : Ref(o.p_) {}
  Ref(Ref&& o) noexcept : p_(std::exchange(o.p_, nullptr)) {}
  Ref& operator=(Ref o) noexcept {
    std::swap(p_, o.p_);
    return *this;
  }
  ~Ref() {
    if (p_) p_->release();
  }
  T* get() const { return p_; }
  T* operator->() const { return p_; }
  T& operator*() const { return *p_; }
  explicit operator bool() const { return p_ != nullptr; }

 private:
  T* p_ = nullptr;
};

class Tensor {
 public:
  Tensor();  // undefined: no storage
  ~Tensor();
  Tensor(const Tensor&);
  Tensor(Tensor&&) noexcept;
  Tensor& operator=(const Tensor&);
  Tensor& operator=(Tensor&&) noexcept;

  static Tensor empty(const Shape& shape, DType dtype = DType::f32);  // uninitialised, 64-byte aligned
  static Tensor zeros(const Shape& shape, DType dtype = DType::f32);
  static Tensor full(const Shape& shape, float value);  // f32
  static Tensor scalar(float value) { return full({}, value); }
  static Tensor from(std::span<const float> values, const Shape& shape);
  static Tensor from(std::span<const int64_t> values, const Shape& shape);
  static Tensor from(std::span<const int32_t> values, const Shape& shape);
  // Memory owned by someone else, kept alive by `owner` (a memory-mapped file, say). Row-contiguous.
  static Tensor borrow(const void* data, const Shape& shape, DType dtype, std::shared_ptr<const void> owner);

  bool defined() const { return static_cast<bool>(storage_); }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  const Shape& strides() const { return strides_; }  // in elements; meaningless for block-quantised types
  int rank() const { return shape_.rank(); }
  int64_t size(int dim) const { return shape_[dim < 0 ? dim + shape_.rank() : dim]; }
  int64_t stride(int dim) const { return strides_[dim < 0 ? dim + shape_.rank() : dim]; }
  int64_t numel() const { return shape_.numel(); }
  size_t nbytes() const;  // of the elements, as if contiguous
  bool is_contiguous() const;

  void* raw();
  const void* raw() const;
  template <class T>
  T* data() { return static_cast<T*>(raw()); }
  template <class T>
  const T* data() const { return static_cast<const T*>(raw()); }
  float item() const;  // the one element, as float; throws unless numel()==1
  std::vector<float> to_vector() const;  // all elements in order, converted to float (dequantised)

  // A view of the same storage, without gradient tracking; `offset` in elements from this tensor's start.
  Tensor as_strided(const Shape& shape, const Shape& strides, int64_t offset = 0) const;
  // The same data without a gradient edge.
  Tensor detach() const;
  bool shares_storage(const Tensor& other) const { return storage_.get() == other.storage_.get(); }

  // Gradient tracking (autograd sets the edge; a leaf's edge holds its gradient).
  bool requires_grad() const { return static_cast<bool>(edge_); }
  const Ref<GradEdge>& edge() const { return edge_; }
  void set_edge(Ref<GradEdge> edge) { edge_ = std::move(edge); }

 private:
  Ref<Storage> storage_;
  Shape shape_, strides_;
  int64_t offset_ = 0;  // elements
  DType dtype_ = DType::f32;
  Ref<GradEdge> edge_;
};

// Row-major strides for a shape.
Shape contiguous_strides(const Shape& shape);

}  // namespace mynah
