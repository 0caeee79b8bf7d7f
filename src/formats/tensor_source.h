// Named tensors of an opened checkpoint, whatever the file format. Nothing is read until a tensor is asked for.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "mynah/tensor.h"

namespace mynah::formats {

struct TensorInfo {
  std::string name;
  Shape shape;                 // row-major (a GGUF's dimensions are reversed)
  std::string_view type;       // the file's own name of the element type: "BF16", "Q4_1", "HalfStorage"
  std::optional<DType> dtype;  // what tensor() gives; none when mynah cannot read this type
  uint64_t bytes = 0;          // in the file
};

class TensorSource {
 public:
  virtual ~TensorSource() = default;
  TensorSource(const TensorSource&) = delete;
  TensorSource& operator=(const TensorSource&) = delete;

  // In the order of the file.
  std::span<const TensorInfo> tensors() const { return tensors_; }
  const TensorInfo* find_tensor(std::string_view name) const;
  bool contains(std::string_view name) const { return find_tensor(name) != nullptr; }
  // The tensor, borrowed from the mapped file where its bytes can be used as they are (it keeps the mapping alive and
  // must not be written to), else a copy: f64 becomes f32, i16 and u16 i32, u32 and u64 i64. Always contiguous. Throws
  // not_found for a name that is not there, failure for an element type that mynah cannot read.
  Tensor tensor(std::string_view name) const;
  // The path, for messages.
  const std::string& where() const { return where_; }

 protected:
  explicit TensorSource(std::string where) : where_(std::move(where)) {}
  virtual Tensor load(size_t index) const = 0;
  // To be called once when tensors_ is complete; throws integrity for a name that occurs twice.
  void index_tensors();

  std::string where_;
  std::vector<TensorInfo> tensors_;

 private:
  std::unordered_map<std::string_view, uint32_t> index_;  // keys point into tensors_
};

}  // namespace mynah::formats
