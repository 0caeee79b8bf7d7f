// Piper's voices: VITS exported to ONNX, beside a description VOICE.onnx.json of its phonemes. Names and sizes of the
// weights are those of the original implementation (github.com/jaywalnut310/vits); here they go by the names that nn
// modules ask for.
#pragma once
#include <filesystem>
#include <memory>
#include <optional>

#include "base/json.h"
#include "formats/tensor_source.h"

namespace mynah::bundle {

// The .onnx file of a voice: `path` itself, or the one in a folder that has no config.json. None if there is no
// description beside it. Throws usage when a folder holds several.
std::optional<std::filesystem::path> piper_voice(const std::filesystem::path& path);

struct PiperVoice {
  Json config;  // config.json's keys of VitsModel, and "piper": the description
  std::shared_ptr<const formats::TensorSource> weights;
};

// Throws integrity for a file that is no such voice.
PiperVoice open_piper(const std::filesystem::path& onnx);

}  // namespace mynah::bundle
