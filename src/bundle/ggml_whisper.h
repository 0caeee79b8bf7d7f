// Whisper in whisper.cpp's files, given as a Hugging Face checkpoint would be: config, weights by its names, tokenizer, settings.
#pragma once
#include <filesystem>
#include <memory>

#include "base/json.h"
#include "formats/tensor_source.h"
#include "mynah/tokenizer.h"

namespace mynah::bundle {

struct GgmlWhisper {
  Json config, generation_config;
  std::shared_ptr<const formats::TensorSource> source;
  std::shared_ptr<const Tokenizer> tokenizer;
};

bool is_ggml_whisper(const std::filesystem::path& path);
// Throws integrity for a damaged file.
GgmlWhisper open_ggml_whisper(const std::filesystem::path& path);

}  // namespace mynah::bundle
