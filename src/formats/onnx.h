// The weights of an ONNX file: the initialisers of its graph, under the names the weights had before the export. An exporter keeps
// most names; the matrices it turns round and quantises become "onnx::MatMul_743", folded windows of convolutions "onnx::Conv_8168", and
// are named after the module whose node reads them. Block-quantised matrices (MatMulNBits) and tables stored beside a scale (DequantizeLinear) are given as f32.
// Format: onnx.proto of github.com/onnx/onnx; MatMulNBits: the contrib operators of onnxruntime.
#pragma once
#include <filesystem>
#include <map>

#include "formats/tensor_source.h"

namespace mynah::formats {

enum class ElementType : uint8_t;

class OnnxFile final : public TensorSource {
 public:
  // Throws not_found, integrity for a damaged file, failure for weights kept in other files.
  static std::shared_ptr<const OnnxFile> open(const std::filesystem::path& path);
  // The same from memory; `where` stands in for the path, `owner` keeps the bytes alive.
  static std::shared_ptr<const OnnxFile> parse(std::span<const std::byte> bytes, std::string where, std::shared_ptr<const void> owner);

  // How the convolution that reads a weight slides over its input; null if none reads it.
  struct Window {
    std::vector<int64_t> strides, dilations;
  };
  const Window* window(const std::string& weight) const;

 private:
  friend class OnnxReader;
  // Stored numbers and their type, checked to be as many as the shape says.
  struct Stored {
    ElementType type;
    Shape shape;
    std::span<const std::byte> data;
    std::shared_ptr<const void> owner;  // of the data
  };
  struct Place {
    Stored value;
    bool transposed = false;       // stored [in, out], wanted [out, in]
    int64_t bits = 0;              // > 0: blocks of `block` numbers of so many bits: value [N, blocks, bytes], scale and zero per block
    int64_t block = 0;
    Stored scale, zero;            // of blocks, or of the whole tensor; zero may be empty
    bool scaled = false;
  };

  explicit OnnxFile(std::string where) : TensorSource(std::move(where)) {}
  Tensor load(size_t index) const override;

  std::shared_ptr<const void> owner_;
  std::vector<Place> places_;
  std::map<std::string, Window> windows_;
};

}  // namespace mynah::formats
