// CTranslate2's model.bin, versions 5 and 6: the name of a specification (WhisperSpec), variables by name, aliases for those that are
// stored once. No magic number: the file begins with its version. Matrices in int8 or int16 have a scale beside them, one per row or one
// for all, and are given as f32; the scales are then not listed. Format: model_spec.py of github.com/OpenNMT/CTranslate2.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "formats/tensor_source.h"

namespace mynah::formats {

enum class ElementType : uint8_t;

class Ctranslate2File final : public TensorSource {
 public:
  // Throws not_found, integrity for a damaged file, failure for another version of the format.
  static std::shared_ptr<const Ctranslate2File> open(const std::filesystem::path& path);
  // The same from memory; `where` stands in for the path, `owner` keeps the bytes alive.
  static std::shared_ptr<const Ctranslate2File> parse(std::span<const std::byte> bytes, std::string where, std::shared_ptr<const void> owner);

  const std::string& specification() const { return specification_; }  // "WhisperSpec"
  uint32_t revision() const { return revision_; }

 private:
  struct Place {
    ElementType type;
    const std::byte* data;
    const std::byte* scale = nullptr;  // of quantised matrices: f32, one or one per row
    bool by_row = false;
  };

  explicit Ctranslate2File(std::string where) : TensorSource(std::move(where)) {}
  Tensor load(size_t index) const override;
  void pair_scales();

  std::shared_ptr<const void> owner_;
  std::string specification_;
  uint32_t revision_ = 0;
  std::vector<Place> places_;
};

}  // namespace mynah::formats
