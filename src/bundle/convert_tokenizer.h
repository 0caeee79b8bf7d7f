// Tokenizers between tokenizer.json and GGUF metadata.
#pragma once
#include <filesystem>

#include "formats/gguf.h"

namespace mynah::bundle {

// Values of tokenizer.ggml.token_type.
enum GgufTokenType : int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

// Writes the tokenizer of a Hugging Face folder as tokenizer.ggml.* keys, padded or cut to `vocab_size` tokens: byte-level BPE as
// kind gpt2, BPE over characters with escaped spaces as kind llama. Of a folder without a tokenizer only the special ids of
// generation_config.json and config.json. Warns when ids may differ; throws failure for a kind that GGUF cannot express.
void tokenizer_to_gguf(const std::filesystem::path& folder, int64_t vocab_size, formats::GgufWriter* writer);

// Writes tokenizer.json and tokenizer_config.json (with the chat template) of a GGUF file into a folder, such that the ids are
// those of Tokenizer::from_gguf. Nothing for a file without a tokenizer.
void tokenizer_to_folder(const formats::GgufFile& file, const std::filesystem::path& folder);

}  // namespace mynah::bundle
