// The names a pickle may use, and what they stand for.
#pragma once
#include <string_view>

#include "formats/element_type.h"

namespace mynah::formats {

struct PickleGlobal {
  enum class Role {
    ordered_dict,
    size,
    tensor_v1,
    tensor_v2,
    tensor_v3,
    parameter,
    from_type,
    tensor_class,
    device,
    storage_type,
    dtype
  };
  std::string_view module, name;
  Role role;
  ElementType type = ElementType::f32;  // of storage_type and dtype
};

// Index of a name, or -1.
int find_pickle_global(std::string_view module, std::string_view name);
const PickleGlobal& pickle_global(int64_t index);

}  // namespace mynah::formats
