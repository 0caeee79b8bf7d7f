// The JSON header of a safetensors file, as raw entries: no size or offset is checked against the file here.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mynah::formats {

struct SafetensorsEntry {
  std::string name, dtype;
  std::vector<uint64_t> shape, offsets;
  bool has_dtype = false, has_shape = false, has_offsets = false;
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;
  std::map<std::string, std::string> metadata;
};

// Throws integrity for anything but {name: {dtype, shape, data_offsets}, "__metadata__": {string: string}}.
SafetensorsHeader parse_safetensors_header(std::string_view json, std::string_view where);

}  // namespace mynah::formats
