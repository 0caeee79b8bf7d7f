// Reads a golden safetensors file for tests of layers below formats.
#pragma once
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "mynah/json.h"

namespace mynah::test {

class GoldenFile {
 public:
  // `name` is relative to tests/golden.
  explicit GoldenFile(const std::string& name) {
    std::ifstream in(std::string(MYNAH_TEST_DATA) + "/golden/" + name, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(in), {});
    if (bytes_.size() < 8) throw std::runtime_error("golden file " + name + " is missing");
    uint64_t size;
    std::memcpy(&size, bytes_.data(), 8);
    header_ = Json::parse(bytes_.substr(8, size));
    data_ = 8 + size;
  }

  std::vector<int64_t> shape(const std::string& tensor) const { return header_.at(tensor).at("shape"); }
  // All elements, as they lie in the file.
  template <class T>
  std::vector<T> get(const std::string& tensor) const {
    const auto range = header_.at(tensor).at("data_offsets");
    const size_t begin = range[0], end = range[1];
    std::vector<T> values((end - begin) / sizeof(T));
    std::memcpy(values.data(), bytes_.data() + data_ + begin, end - begin);
    return values;
  }

 private:
  std::string bytes_;
  Json header_;
  size_t data_ = 0;
};

}  // namespace mynah::test
