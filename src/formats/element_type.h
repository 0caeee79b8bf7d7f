// Element types as files know them, a wider set than DType: some are converted when read, some cannot be read at all
// but their sizes still have to be checked.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "mynah/tensor.h"

namespace mynah::formats {

enum class ElementType : uint8_t {
  f64,
  f32,
  f16,
  bf16,
  i64,
  i32,
  i16,
  i8,
  u64,
  u32,
  u16,
  u8,
  boolean,
  f8_e4m3,
  f8_e5m2,
  f8_e8m0,
  c64,
  c128,
};

size_t bytes_of(ElementType type);
std::optional<DType> readable_as(ElementType type);  // what to_tensor gives
ElementType element_type(DType dtype);               // of a plain dtype

// A shape from a file. Throws integrity when the number of elements (zeros counted as ones) does not fit into 56 bits,
// so that later products with element sizes cannot wrap, and failure for more dimensions than Shape has.
Shape checked_shape(std::span<const uint64_t> dims, std::string_view where, std::string_view tensor);

// Borrows the bytes when they are aligned for `dtype`, else copies them.
Tensor borrow_or_copy(const std::byte* data, const Shape& shape, DType dtype, const std::shared_ptr<const void>& owner);
// The same, converted to readable_as(type), which must have a value. Throws failure for an unsigned value above int64.
Tensor to_tensor(const std::byte* data, ElementType type, const Shape& shape, const std::shared_ptr<const void>& owner);

// Gathers the elements of a strided array (strides in elements, none negative) in row-major order.
void gather(const std::byte* from, size_t element_bytes, const Shape& shape, const Shape& strides, std::byte* to);

}  // namespace mynah::formats
