// Tokenizers between tokenizer.json and GGUF metadata.
#pragma once
#include <filesystem>

#include "base/json.h"
#include "formats/gguf.h"

namespace mynah::bundle {

// Writes the tokenizer of a Hugging Face folder as tokenizer.ggml.* keys, padded or cut to `vocab_size` tokens. Throws failure for a
// kind of tokenizer that GGUF cannot express.
void tokenizer_to_gguf(const std::filesystem::path& folder, int64_t vocab_size, formats::GgufWriter* writer);

// Writes tokenizer.json, tokenizer_config.json (with the chat template) of a GGUF file into a folder.
void tokenizer_to_folder(const formats::GgufFile& file, const std::filesystem::path& folder);

}  // namespace mynah::bundle
