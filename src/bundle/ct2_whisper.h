// Whisper in CTranslate2's layout, as faster-whisper's checkpoints have it: model.bin, a config.json of its own, vocabulary.txt or .json.
// Given as a Hugging Face checkpoint would be, so that nothing else has to know.
#pragma once
#include <filesystem>
#include <memory>

#include "base/json.h"
#include "formats/tensor_source.h"

namespace mynah::bundle {

struct Ct2Whisper {
  Json config, generation_config;
  std::shared_ptr<const formats::TensorSource> source;  // weights by the names of WhisperForConditionalGeneration
};

// Whether the folder holds model.bin and a config.json that names no family.
bool is_ct2(const std::filesystem::path& folder);
// Throws integrity for damaged files, failure for another kind of model.
Ct2Whisper open_ct2_whisper(const std::filesystem::path& folder);

}  // namespace mynah::bundle
