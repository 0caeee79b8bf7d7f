// Views: they change shape and strides only. Each backward pass puts the gradient back where the elements came from.
#include <algorithm>
#include <cstring>

#include "ops/internal.h"
#include "ops/op_entry.h"
#include "tensor/half.h"

namespace mynah {
namespace {

// Copies x, whose dimension d has stride 1 and whose last has not, in blocks: 16 elements along d, a cache line of x, times 8 of the last.
template <class T>
void copy_turned(const Tensor& x, int d, T* out) {
  constexpr int64_t kAcross = 16, kAlong = 8;
  const int r = x.rank();
  const Shape strides = contiguous_strides(x.shape());
  const int64_t inner = x.size(-1), step = x.stride(-1), count = x.size(d), blocks = (count + kAcross - 1) / kAcross;
  parallel_for(x.numel() / (inner * count) * blocks, ops::row_grain(inner * kAcross), [&, all = x.data<T>()](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const T* from = all;
      T* to = out;
      int64_t rest = block / blocks;
      for (int e = r - 2; e >= 0; --e) {
        if (e == d) continue;
        from += rest % x.size(e) * x.stride(e);
        to += rest % x.size(e) * strides[e];
        rest /= x.size(e);
      }
      const int64_t first = block % blocks * kAcross, last = std::min(first + kAcross, count);
      for (int64_t j = 0; j < inner; j += kAlong)
        for (int64_t i = first, stop = std::min(j + kAlong, inner); i < last; ++i)
          for (int64_t k = j; k < stop; ++k) to[i * strides[d] + k] = from[i + k * step];
    }
  });
}

// Copies a strided tensor to row-major order, for elements of one size.
template <class T>
void copy_strided(const Tensor& x, T* out) {
  const int r = x.rank();
  if (r == 0) {
    *out = *x.data<T>();
    return;
  }
  if (x.stride(-1) != 1 && x.numel() > 0)
    for (int d = r - 2; d >= 0; --d)
      if (x.stride(d) == 1 && x.size(d) > 1) return copy_turned(x, d, out);
  const int64_t inner = x.size(-1), step = x.stride(-1), outer = inner ? x.numel() / inner : 0;
  parallel_for(outer, ops::row_grain(inner), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      int64_t at = 0, rest = row;
      for (int d = r - 2; d >= 0; --d) {
        at += rest % x.size(d) * x.stride(d);
        rest /= x.size(d);
      }
      const T* from = x.data<T>() + at;
      T* to = out + row * inner;
      if (step == 1) std::memcpy(to, from, sizeof(T) * static_cast<size_t>(inner));
      else
        for (int64_t i = 0; i < inner; ++i) to[i] = from[i * step];
    }
  });
}

}  // namespace

Tensor contiguous(const Tensor& x) {
  if (x.is_contiguous()) return x;
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  switch (block_bytes(x.dtype())) {
    case 1: copy_strided(x, y.data<uint8_t>()); break;
    case 2: copy_strided(x, y.data<uint16_t>()); break;
    case 4: copy_strided(x, y.data<uint32_t>()); break;
    case 8: copy_strided(x, y.data<uint64_t>()); break;
    default: fail(ErrorCode::internal, "contiguous: {} cannot be strided", name(x.dtype()));
  }
  return record(y, {x}, [](const Tensor& g) { return Grads{g}; });
}

Tensor reshape(const Tensor& x, const Shape& wanted) {
  Shape shape = wanted;
  int64_t known = 1;
  int free = -1;
  for (int i = 0; i < shape.rank(); ++i) {
    if (shape[i] == -1) {
      require(free < 0, "reshape: {} has two free dimensions", wanted.str());
      free = i;
    } else {
      known *= shape[i];
    }
  }
  if (free >= 0 && known > 0) shape[free] = x.numel() / known;
  require(shape.numel() == x.numel(), "reshape: {} to {}, the number of elements differs", x.shape().str(), wanted.str());
  const Tensor c = contiguous(x);
  return record(c.as_strided(shape, contiguous_strides(shape)), {c}, [old = x.shape()](const Tensor& g) {
    return Grads{g.as_strided(old, contiguous_strides(old))};
  });
}

Tensor permute(const Tensor& x, std::span<const int> order) {
  require(static_cast<int>(order.size()) == x.rank(), "permute: {} dimensions named for shape {}", order.size(), x.shape().str());
  Shape shape = x.shape(), strides = x.strides();
  std::array<int, Shape::kMaxRank> inverse{};
  std::array<bool, Shape::kMaxRank> seen{};
  for (size_t i = 0; i < order.size(); ++i) {
    const int d = ops::dimension("permute", x, order[i]);
    require(!seen[d], "permute: dimension {} named twice", d);
    seen[d] = true;
    inverse[d] = static_cast<int>(i);
    shape[static_cast<int>(i)] = x.size(d);
    strides[static_cast<int>(i)] = x.stride(d);
  }
  const std::vector<int> ordered(order.begin(), order.end());
  return record_view(
      x.as_strided(shape, strides), x,
      [inverse, r = x.rank()](const Tensor& g) { return Grads{contiguous(permute(g, {inverse.data(), static_cast<size_t>(r)}))}; },
      [ordered](const Tensor& t) { return permute(t.detach(), ordered); });
}

Tensor transpose(const Tensor& x, int a, int b) {
  std::array<int, Shape::kMaxRank> order{};
  for (int i = 0; i < x.rank(); ++i) order[i] = i;
  std::swap(order[ops::dimension("transpose", x, a)], order[ops::dimension("transpose", x, b)]);
  return permute(x, {order.data(), static_cast<size_t>(x.rank())});
}

Tensor narrow(const Tensor& x, int dim, int64_t start, int64_t length) {
  const int d = ops::dimension("narrow", x, dim);
  require(start >= 0 && length >= 0 && start + length <= x.size(d), "narrow: {}..{} of a dimension of {}", start, start + length, x.size(d));
  Shape shape = x.shape();
  shape[d] = length;
  const Shape full = contiguous_strides(x.shape());
  return record_part(x.as_strided(shape, x.strides(), start * x.stride(d)), x, start * full[d], full);
}

Tensor select(const Tensor& x, int dim, int64_t index) { return squeeze(narrow(x, dim, index, 1), dim); }

Tensor unsqueeze(const Tensor& x, int dim) {
  const int d = dim < 0 ? dim + x.rank() + 1 : dim;
  require(d >= 0 && d <= x.rank() && x.rank() < Shape::kMaxRank, "unsqueeze: dimension {} of shape {}", dim, x.shape().str());
  std::vector<int64_t> shape(x.shape().dims().begin(), x.shape().dims().end()), strides(x.strides().dims().begin(), x.strides().dims().end());
  shape.insert(shape.begin() + d, 1);
  strides.insert(strides.begin() + d, d < x.rank() ? x.size(d) * x.stride(d) : 1);
  return record(x.as_strided(Shape(shape), Shape(strides)), {x}, [old = x.shape()](const Tensor& g) {
    return Grads{g.as_strided(old, contiguous_strides(old))};
  });
}

Tensor squeeze(const Tensor& x, int dim) {
  const int d = ops::dimension("squeeze", x, dim);
  require(x.size(d) == 1, "squeeze: dimension {} of shape {} is not 1", dim, x.shape().str());
  std::vector<int64_t> shape(x.shape().dims().begin(), x.shape().dims().end()), strides(x.strides().dims().begin(), x.strides().dims().end());
  shape.erase(shape.begin() + d);
  strides.erase(strides.begin() + d);
  return record(x.as_strided(Shape(shape), Shape(strides)), {x}, [old = x.shape()](const Tensor& g) {
    return Grads{g.as_strided(old, contiguous_strides(old))};
  });
}

Tensor expand(const Tensor& x, const Shape& shape) {
  require(shape.rank() >= x.rank(), "expand: {} to {}", x.shape().str(), shape.str());
  Shape strides = shape;
  for (int i = 0; i < shape.rank(); ++i) {
    const int from = i - (shape.rank() - x.rank());
    const int64_t size = from < 0 ? 1 : x.size(from);
    require(size == shape[i] || size == 1, "expand: {} to {}", x.shape().str(), shape.str());
    strides[i] = from < 0 || (size == 1 && shape[i] != 1) ? 0 : x.stride(from);
  }
  return record(x.as_strided(shape, strides), {x}, [old = x.shape()](const Tensor& g) { return Grads{ops::reduce_to(g, old)}; });
}

namespace {

float read(const void* p, int64_t i, DType dtype) {
  switch (dtype) {
    case DType::f32: return static_cast<const float*>(p)[i];
    case DType::bf16: return from_bf16(static_cast<const uint16_t*>(p)[i]);
    case DType::f16: return from_f16(static_cast<const uint16_t*>(p)[i]);
    case DType::i64: return static_cast<float>(static_cast<const int64_t*>(p)[i]);
    case DType::i32: return static_cast<float>(static_cast<const int32_t*>(p)[i]);
    case DType::i8: return static_cast<const int8_t*>(p)[i];
    default: return static_cast<const uint8_t*>(p)[i];
  }
}
void write(void* p, int64_t i, DType dtype, float value) {
  switch (dtype) {
    case DType::f32: static_cast<float*>(p)[i] = value; break;
    case DType::bf16: static_cast<uint16_t*>(p)[i] = to_bf16(value); break;
    case DType::f16: static_cast<uint16_t*>(p)[i] = to_f16(value); break;
    case DType::i64: static_cast<int64_t*>(p)[i] = static_cast<int64_t>(value); break;
    case DType::i32: static_cast<int32_t*>(p)[i] = static_cast<int32_t>(value); break;
    case DType::i8: static_cast<int8_t*>(p)[i] = static_cast<int8_t>(value); break;
    case DType::boolean: static_cast<uint8_t*>(p)[i] = value != 0; break;
    default: static_cast<uint8_t*>(p)[i] = static_cast<uint8_t>(value); break;
  }
}

}  // namespace

Tensor to(const Tensor& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  require(!is_quantized(x.dtype()) && !is_quantized(dtype), "to: {} to {}; block-quantised types are converted by quantize and dequantize",
          name(x.dtype()), name(dtype));
  const Tensor c = contiguous(x);
  Tensor y = Tensor::empty(x.shape(), dtype);
  const bool between_integers = !is_floating(x.dtype()) && !is_floating(dtype);
  parallel_for(x.numel(), 1 << 15, [&](int64_t begin, int64_t end) {
    const void* from = c.raw();
    void* out = y.raw();
    if (between_integers && x.dtype() == DType::i64 && dtype == DType::i32) {
      for (int64_t i = begin; i < end; ++i) static_cast<int32_t*>(out)[i] = static_cast<int32_t>(static_cast<const int64_t*>(from)[i]);
    } else if (between_integers && x.dtype() == DType::i32 && dtype == DType::i64) {
      for (int64_t i = begin; i < end; ++i) static_cast<int64_t*>(out)[i] = static_cast<const int32_t*>(from)[i];
    } else {
      for (int64_t i = begin; i < end; ++i) write(out, i, dtype, read(from, i, x.dtype()));
    }
  });
  if (!is_floating(dtype)) return y;
  return record(y, {c}, [](const Tensor& g) { return Grads{g}; });
}

Tensor cat(const std::vector<Tensor>& parts, int dim) {
  require(!parts.empty(), "cat: no tensors");
  const int d = ops::dimension("cat", parts[0], dim);
  Shape shape = parts[0].shape();
  shape[d] = 0;
  std::vector<Tensor> inputs;
  for (const Tensor& part : parts) {
    bool fits = part.rank() == shape.rank();
    for (int i = 0; fits && i < shape.rank(); ++i) fits = i == d || part.size(i) == shape[i];
    require(fits, "cat: shape {} beside {} along dimension {}", part.shape().str(), parts[0].shape().str(), dim);
    inputs.push_back(ops::input(part));
    shape[d] += part.size(d);
  }
  Tensor y = Tensor::empty(shape);
  int64_t outer = 1, inner = 1;
  for (int i = 0; i < d; ++i) outer *= shape[i];
  for (int i = d + 1; i < shape.rank(); ++i) inner *= shape[i];
  int64_t at = 0;
  for (const Tensor& part : inputs) {
    const int64_t width = part.size(d) * inner;
    for (int64_t o = 0; o < outer; ++o)
      std::memcpy(y.data<float>() + o * shape[d] * inner + at, part.data<float>() + o * width, sizeof(float) * static_cast<size_t>(width));
    at += width;
  }
  std::vector<int64_t> sizes;
  for (const Tensor& part : inputs) sizes.push_back(part.size(d));
  return record(y, inputs, [sizes, d](const Tensor& g) {
    Grads grads;
    int64_t start = 0;
    for (const int64_t size : sizes) {
      grads.push_back(contiguous(narrow(g, d, start, size)));
      start += size;
    }
    return grads;
  });
}

namespace {

std::vector<OpSample> view_samples() {
  const Tensor x = sample_tensor({3, 4, 5});
  return {
      {"reshape", {x}, [](const auto& in) { return reshape(in[0], {5, -1}); }},
      {"transpose", {x}, [](const auto& in) { return transpose(in[0], 0, 2); }},
      {"narrow", {x}, [](const auto& in) { return narrow(in[0], 1, 1, 2); }},
      {"select", {x}, [](const auto& in) { return select(in[0], -1, 3); }},
      {"expand", {sample_tensor({4, 1})}, [](const auto& in) { return expand(in[0], {3, 4, 5}); }},
      {"contiguous of a view", {x}, [](const auto& in) { return contiguous(transpose(in[0], 1, 2)); }},
      {"narrow of a transpose", {x}, [](const auto& in) { return narrow(transpose(in[0], 0, 1), 0, 2, 2); }},
      {"unsqueeze, squeeze", {x}, [](const auto& in) { return squeeze(unsqueeze(in[0], 1), 1); }},
  };
}
std::vector<OpSample> cat_samples() {
  return {{"last dimension", {sample_tensor({2, 3}, 0), sample_tensor({2, 4}, 1)}, [](const auto& in) { return cat({in[0], in[1]}, -1); }},
          {"first dimension", {sample_tensor({2, 3}, 0), sample_tensor({1, 3}, 1)}, [](const auto& in) { return cat({in[0], in[1]}, 0); }}};
}

}  // namespace

extern const OpEntry op_views{"reshape, transpose, permute, narrow, select, squeeze, unsqueeze, expand, contiguous", "x -> view of x", "PyTorch",
                              view_samples};
extern const OpEntry op_cat{"cat", "[.., C1, ..], [.., C2, ..] -> [.., C1+C2, ..]", "PyTorch", cat_samples};

}  // namespace mynah
