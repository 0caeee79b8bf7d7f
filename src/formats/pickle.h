// A reader of the part of Python's pickle format (protocols 2 to 5) that tensors and plain containers need. It is data
// only: there is no way to call anything, and a name that is not in its short list of known ones is refused.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "formats/element_type.h"

namespace mynah::formats {

struct PickleValue {
  enum class Kind : uint8_t {
    none,
    boolean,
    integer,
    big_integer,
    real,
    string,
    tuple,
    list,
    dict,
    global,
    storage,
    tensor
  };
  Kind kind = Kind::none;
  union {
    int64_t integer;  // also boolean; index of containers, storages, tensors, kGlobals
    double real;
  };
  std::string_view text;  // of strings, in the file; the bytes of a big integer
  PickleValue() : integer(0) {}
};

struct PickledStorage {
  std::string_view type_name;  // "FloatStorage"
  ElementType type;
  std::string_view key;
  uint64_t numel;  // for UntypedStorage: bytes
};

struct PickledTensor {
  uint32_t storage;
  std::string_view type_name;
  ElementType type;
  uint64_t offset;  // in elements
  std::vector<uint64_t> shape, strides;
};

struct Pickle {
  PickleValue result;
  size_t bytes = 0;                                  // consumed
  std::vector<std::vector<PickleValue>> containers;  // dictionaries hold key, value, key, value ...
  std::vector<PickledStorage> storages;
  std::vector<PickledTensor> tensors;

  const std::vector<PickleValue>& items(const PickleValue& container) const {
    return containers[static_cast<size_t>(container.integer)];
  }
};

// Reads one pickle from the front of `bytes`. Containers may refer to themselves. Throws integrity for damaged data and
// failure for a pickle that names anything else than tensors need.
Pickle read_pickle(std::span<const std::byte> bytes, std::string_view where);

}  // namespace mynah::formats
