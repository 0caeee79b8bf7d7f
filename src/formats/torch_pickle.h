// pytorch_model.bin and .pt files, read as data: the zip format (PyTorch 1.6 and later) and the older plain stream. The
// pickle inside is interpreted by a reader that knows tensors and plain containers only; whatever else it names is
// refused, nothing is ever run.
#pragma once
#include <filesystem>

#include "formats/tensor_source.h"

namespace mynah::formats {

struct TorchParser;

class TorchFile final : public TensorSource {
 public:
  // Nested containers become dotted names ("model.weight", "optimizer.state.0.exp_avg"); values that are no tensors are
  // left out. Throws not_found, integrity for a damaged file, and failure for one that wants to run code.
  static std::shared_ptr<const TorchFile> open(const std::filesystem::path& path);
  // The same from memory; `where` stands in for the path, `owner` keeps the bytes alive.
  static std::shared_ptr<const TorchFile> parse(std::span<const std::byte> bytes, std::string where,
                                                std::shared_ptr<const void> owner);
  ~TorchFile() override;

 private:
  friend struct TorchParser;
  struct Place;
  explicit TorchFile(std::string where);
  Tensor load(size_t index) const override;

  std::shared_ptr<const void> owner_;
  std::vector<Place> places_;
};

}  // namespace mynah::formats
