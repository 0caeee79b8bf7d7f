// whisper.cpp's files ("ggml-base.bin"): eleven sizes, mel filters, the tokens' bytes, then tensors by OpenAI's names until the file ends.
// Format: whisper.cpp of github.com/ggml-org/whisper.cpp (whisper_model_load).
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "formats/tensor_source.h"

namespace mynah::formats {

struct GgmlType;

class GgmlWhisperFile final : public TensorSource {
 public:
  struct Sizes {
    int32_t n_vocab, n_audio_ctx, n_audio_state, n_audio_head, n_audio_layer, n_text_ctx, n_text_state, n_text_head, n_text_layer, n_mels, ftype;
  };

  static bool is(std::span<const std::byte> bytes);  // by the first four of them
  // Throws not_found, or integrity for a damaged file.
  static std::shared_ptr<const GgmlWhisperFile> open(const std::filesystem::path& path);
  // The same from memory; `where` stands in for the path, `owner` keeps the bytes alive.
  static std::shared_ptr<const GgmlWhisperFile> parse(std::span<const std::byte> bytes, std::string where, std::shared_ptr<const void> owner);

  const Sizes& sizes() const { return sizes_; }
  const std::vector<std::string>& vocabulary() const { return vocabulary_; }  // bytes of each token, from 0 on; special ones may be missing

 private:
  struct Place {
    const GgmlType* type;
    const std::byte* data;
  };
  explicit GgmlWhisperFile(std::string where) : TensorSource(std::move(where)) {}
  Tensor load(size_t index) const override;

  std::shared_ptr<const void> owner_;
  Sizes sizes_{};
  std::vector<std::string> vocabulary_;
  std::vector<Place> places_;
};

}  // namespace mynah::formats
