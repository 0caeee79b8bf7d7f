// A folder in Hugging Face layout, or one weights file of any known format, as one source of tensors.
#pragma once
#include <filesystem>

#include "formats/tensor_source.h"

namespace mynah::formats {

// `path`: a .safetensors, .gguf, .bin, .pt or .pth file, an index (*.index.json), or a folder, where the first of
// model.safetensors, model.safetensors.index.json, pytorch_model.bin, pytorch_model.bin.index.json is taken. A file's
// format is told by its first bytes, not by its name. Throws not_found when there are no weights, integrity for damaged
// ones.
std::shared_ptr<const TensorSource> open_checkpoint(const std::filesystem::path& path);

// "*.index.json": {"weight_map": {tensor: file}}. Files must lie next to the index, and each holds what the index says.
std::shared_ptr<const TensorSource> open_sharded(const std::filesystem::path& index_path);

}  // namespace mynah::formats
