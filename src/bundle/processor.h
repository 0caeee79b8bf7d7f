// Files and texts -> the named inputs of a model, by the processors that its folder describes.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "nn/model.h"

namespace mynah::bundle {

struct RawInputs {
  std::vector<std::string> images, sounds;  // paths of files
  std::vector<std::string> texts;           // each list makes one batch: a row per entry
};

// pixel_values, pixel_mask; input_features or input_values, attention_mask; input_ids, attention_mask, token_type_ids (i64).
// Rows are padded as the model's own processor pads. Throws not_found for missing files or a folder without the processor.
nn::NamedTensors process(const std::filesystem::path& folder, const RawInputs& inputs);

}  // namespace mynah::bundle
