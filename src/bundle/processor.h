// Files and texts -> the named inputs of a model, by the processors that its folder describes.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"
#include "bundle/sound_processor.h"
#include "nn/model.h"

namespace mynah::bundle {

struct RawInputs {
  std::vector<std::string> images, sounds;  // paths of files
  std::vector<std::string> texts;           // each list makes one batch: a row per entry
};

// The settings of one processor of a folder: preprocessor_config.json, or the part of processor_config.json that newer folders have
// ("image_processor", "feature_extractor"). `what` names in the error what the model cannot take without it, and
// `name`, if there is one, the folder.
Json processor_settings(const std::filesystem::path& folder, const char* part, const char* what, const std::string& name = "");

// pixel_values, pixel_mask; input_features or input_values, attention_mask; input_ids, attention_mask, token_type_ids (i64).
// Rows are padded as the model's own processor pads. Throws not_found for missing files or a folder without the processor.
nn::NamedTensors process(const std::filesystem::path& folder, const RawInputs& inputs);

// How the model of a folder takes sound. Throws not_found for a folder that does not say.
SoundProcessor sound_processor(const std::filesystem::path& folder);

}  // namespace mynah::bundle
