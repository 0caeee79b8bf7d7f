#include "formats/element_type.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "base/require.h"
#include "formats/quote.h"

namespace mynah::formats {
namespace {

struct Info {
  size_t bytes;
  std::optional<DType> dtype;
};

constexpr std::array<Info, 18> kInfo = {{
    {8, DType::f32},
    {4, DType::f32},
    {2, DType::f16},
    {2, DType::bf16},
    {8, DType::i64},
    {4, DType::i32},
    {2, DType::i32},
    {1, DType::i8},
    {8, DType::i64},
    {4, DType::i64},
    {2, DType::i32},
    {1, DType::u8},
    {1, DType::boolean},
    {1, std::nullopt},
    {1, std::nullopt},
    {1, std::nullopt},
    {8, std::nullopt},
    {16, std::nullopt},
}};

// dst[i] = src[i], where src may lie at any address.
template <class From, class To>
void convert(const std::byte* from, Tensor& tensor) {
  To* to = tensor.data<To>();
  for (int64_t i = 0, n = tensor.numel(); i < n; ++i) {
    From value;
    std::memcpy(&value, from + static_cast<size_t>(i) * sizeof(From), sizeof(From));
    if constexpr (std::is_same_v<From, uint64_t>)
      require(value <= uint64_t{std::numeric_limits<int64_t>::max()},
              "tensor: the value {} does not fit into a signed 64-bit integer", value);
    to[i] = static_cast<To>(value);
  }
}

// Any byte but 0 is true; only 0 and 1 leave here.
Tensor to_boolean(const std::byte* data, const Shape& shape, const std::shared_ptr<const void>& owner) {
  const auto n = static_cast<size_t>(shape.numel());
  const auto is_other = [](std::byte b) { return b > std::byte{1}; };
  if (std::none_of(data, data + n, is_other)) return Tensor::borrow(data, shape, DType::boolean, owner);
  Tensor tensor = Tensor::empty(shape, DType::boolean);
  for (size_t i = 0; i < n; ++i) tensor.data<uint8_t>()[i] = data[i] != std::byte{0};
  return tensor;
}

}  // namespace

size_t bytes_of(ElementType type) { return kInfo[static_cast<size_t>(type)].bytes; }
std::optional<DType> readable_as(ElementType type) { return kInfo[static_cast<size_t>(type)].dtype; }

ElementType element_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return ElementType::f32;
    case DType::bf16:
      return ElementType::bf16;
    case DType::f16:
      return ElementType::f16;
    case DType::i64:
      return ElementType::i64;
    case DType::i32:
      return ElementType::i32;
    case DType::i8:
      return ElementType::i8;
    case DType::u8:
      return ElementType::u8;
    case DType::boolean:
      return ElementType::boolean;
    default:
      fail(ErrorCode::internal, "element type: {} is block-quantised", name(dtype));
  }
}

Shape checked_shape(std::span<const uint64_t> dims, std::string_view where, std::string_view tensor) {
  if (dims.size() > Shape::kMaxRank)
    fail(ErrorCode::failure, "{}: tensor {}: {} dimensions, at most {} are supported", where, quote(tensor),
         dims.size(), Shape::kMaxRank);
  std::array<int64_t, Shape::kMaxRank> sizes{};
  uint64_t product = 1;
  for (size_t i = 0; i < dims.size(); ++i) {
    const bool wraps =
        dims[i] > (uint64_t{1} << 56) || __builtin_mul_overflow(product, dims[i] ? dims[i] : 1, &product);
    if (wraps || product > (uint64_t{1} << 56))
      fail(ErrorCode::integrity, "{}: tensor {}: its dimensions overflow; the file is damaged", where, quote(tensor));
    sizes[i] = static_cast<int64_t>(dims[i]);
  }
  return Shape(std::span<const int64_t>(sizes.data(), dims.size()));
}

Tensor borrow_or_copy(const std::byte* data, const Shape& shape, DType dtype,
                      const std::shared_ptr<const void>& owner) {
  const size_t alignment = is_quantized(dtype) ? 4 : block_bytes(dtype);
  if (reinterpret_cast<uintptr_t>(data) % alignment == 0) return Tensor::borrow(data, shape, dtype, owner);
  Tensor copy = Tensor::empty(shape, dtype);
  if (copy.nbytes() > 0) std::memcpy(copy.raw(), data, copy.nbytes());
  return copy;
}

Tensor to_tensor(const std::byte* data, ElementType type, const Shape& shape,
                 const std::shared_ptr<const void>& owner) {
  const DType dtype = readable_as(type).value();
  if (type == ElementType::boolean) return to_boolean(data, shape, owner);
  if (bytes_of(type) == block_bytes(dtype) && type != ElementType::u64)
    return borrow_or_copy(data, shape, dtype, owner);
  Tensor tensor = Tensor::empty(shape, dtype);
  switch (type) {
    case ElementType::f64:
      convert<double, float>(data, tensor);
      break;
    case ElementType::i16:
      convert<int16_t, int32_t>(data, tensor);
      break;
    case ElementType::u16:
      convert<uint16_t, int32_t>(data, tensor);
      break;
    case ElementType::u32:
      convert<uint32_t, int64_t>(data, tensor);
      break;
    case ElementType::u64:
      convert<uint64_t, int64_t>(data, tensor);
      break;
    default:
      fail(ErrorCode::internal, "element type {}: no conversion", static_cast<int>(type));
  }
  return tensor;
}

void gather(const std::byte* from, size_t element_bytes, const Shape& shape, const Shape& strides, std::byte* to) {
  std::array<int64_t, Shape::kMaxRank> index{};
  const int rank = shape.rank();
  int64_t at = 0;
  for (int64_t i = 0, n = shape.numel(); i < n; ++i) {
    std::memcpy(to, from + static_cast<size_t>(at) * element_bytes, element_bytes);
    to += element_bytes;
    for (int d = rank - 1; d >= 0; --d) {
      at += strides[d];
      if (++index[static_cast<size_t>(d)] < shape[d]) break;
      at -= strides[d] * shape[d];
      index[static_cast<size_t>(d)] = 0;
    }
  }
}

}  // namespace mynah::formats
