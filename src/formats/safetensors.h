// safetensors: u64 length, JSON header {name: {dtype, shape, data_offsets}}, then the bytes. Reading is as strict as
// the reference library: header at most 100 MB and beginning with '{', no name twice, no holes, no overlaps, no bytes
// left over.
#pragma once
#include <filesystem>
#include <map>

#include "formats/output_tensor.h"
#include "formats/tensor_source.h"

namespace mynah::formats {

enum class ElementType : uint8_t;

class SafetensorsFile final : public TensorSource {
 public:
  // Throws not_found, or integrity when the file is damaged or not safetensors.
  static std::shared_ptr<const SafetensorsFile> open(const std::filesystem::path& path);
  // The same from memory; `where` stands in for the path, `owner` keeps the bytes alive.
  static std::shared_ptr<const SafetensorsFile> parse(std::span<const std::byte> bytes, std::string where,
                                                      std::shared_ptr<const void> owner);
  const std::map<std::string, std::string>& metadata() const { return metadata_; }  // "__metadata__"

 private:
  explicit SafetensorsFile(std::string where) : TensorSource(std::move(where)) {}
  Tensor load(size_t index) const override;

  struct Place {
    ElementType type;
    const std::byte* data;
  };
  std::shared_ptr<const void> owner_;
  std::vector<Place> places_;
  std::map<std::string, std::string> metadata_;
};

using Metadata = std::map<std::string, std::string>;

// Writes one file, whole or not at all. Tensors of larger elements come first so that every one is aligned, else the
// given order is kept. Throws usage for a block-quantised tensor or a name given twice.
void write_safetensors(const std::filesystem::path& path, std::span<const OutputTensor> tensors,
                       const Metadata& metadata = {});

// Writes model.safetensors into the folder, or, when the tensors exceed `max_shard_bytes`,
// model-00001-of-0000N.safetensors and at last model.safetensors.index.json; files of an older checkpoint of this kind
// are removed afterwards. Each file is whole or absent, the set is not: to replace a checkpoint, write to a new folder
// and rename that.
void write_sharded_safetensors(const std::filesystem::path& folder, std::span<const OutputTensor> tensors,
                               uint64_t max_shard_bytes, const Metadata& metadata = {});

}  // namespace mynah::formats
