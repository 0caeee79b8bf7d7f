// The element types of GGUF tensors by their number in the file.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

#include "formats/element_type.h"

namespace mynah::formats {

struct GgmlType {
  uint32_t id;
  std::string_view name;
  uint32_t block_elements, block_bytes;
  std::optional<ElementType> plain;
  std::optional<DType> quantized;

  std::optional<DType> dtype() const { return plain ? readable_as(*plain) : quantized; }
};

const GgmlType* find_ggml_type(uint32_t id);  // null for a number that is not known
const GgmlType* ggml_type_of(DType dtype);    // null when GGUF has no such type (boolean)

}  // namespace mynah::formats
